"""How near a found graph is to the true one; edges (n, n), the diagonal is not looked at; pure numpy.

Either entry of a pair stands for one direction; a graph without directions is symmetric.
"""

import numpy as np


def structural_hamming(found: np.ndarray, truth: np.ndarray) -> int:
    """Edges to add, remove or turn round, each pair of nodes once; `found`, `truth` (n, n) bool."""
    differs = found != truth
    return int(np.triu(differs | differs.T, 1).sum())


def edge_precision_recall(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The share of the found edges that are true, and of the true ones that are found; nan where there are none."""
    found, truth = _edges(found), _edges(truth)
    right = int((found & truth).sum())
    return _share(right, int(found.sum())), _share(right, int(truth.sum()))


def edge_average_precision(strength: np.ndarray, truth: np.ndarray) -> float:
    """Precision at each true edge, taken from the strongest on, averaged; edges of equal strength are taken together.

    `strength` (n, n): how sure each edge is. By chance it is the density of the true graph; nan without a true edge.
    """
    order = np.argsort(-_edges(strength), kind="stable")
    strength, true = _edges(strength)[order], _edges(truth)[order]
    if not true.any():
        return float("nan")
    last = np.append(np.flatnonzero(np.diff(strength)), len(strength) - 1)
    hits = np.cumsum(true)[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hits[-1])


def skeleton(graph: np.ndarray) -> np.ndarray:
    """The graph without its directions, (n, n): bool, or the stronger of both directions."""
    return np.asarray(np.maximum(graph, graph.T))


def density(truth: np.ndarray) -> float:
    """The share of ordered pairs of nodes that are edges."""
    return float(_edges(truth).mean()) if len(truth) > 1 else float("nan")


def _edges(matrix: np.ndarray) -> np.ndarray:
    """All entries off the diagonal, one after the other."""
    return matrix[~np.eye(len(matrix), dtype=bool)]


def _share(some: int, of: int) -> float:
    return some / of if of else float("nan")
