"""What the graph behind the world `causal` says of the relation that a model found, and of its attention."""

from collections.abc import Mapping

import numpy as np

from benchbase.data import Catalogue
from benchbase.metrics import (
    density,
    edge_average_precision,
    edge_precision_recall,
    skeleton,
    structural_hamming,
)

from .config import CausalConfig
from .graph import make_graph

THRESHOLD = 0.3
"""A relation counts as an edge above this share of the strongest."""

DIRECTED = 1e-3
"""A relation has directions where both of a pair differ by more than this share of the strongest."""


class GraphTruth:
    """Compares with the graph the relation R between events of a sequence, R[i, j] what j does to i.

    The relation of two items is the mean of R over the sequences that hold both, each with the mean over its pairs of
    events; by its size edges are ranked, and those above a share of the strongest are found. `skeleton_*` forget
    directions; the others are told only where the relation has some. `spurious`: the share of the found pairs that are
    mere companions. `attention_own`, `attention_next`: the weight of the last layer on true causes of an event's own
    item, or of the one after it, the mean over the events that have such causes before them.
    """

    traces = frozenset({"relation"})

    def __init__(self, config: CausalConfig, catalogue: Catalogue, seed: int):
        graph, ids = make_graph(config, seed), catalogue.item_ids[1:] - 1
        self.edges, self.companions = (each[np.ix_(ids, ids)] for each in (graph.edges, graph.companions))
        n = len(ids)
        self.total, self.sequences = np.zeros((n, n)), np.zeros((n, n))
        self.attention = {"attention_own": _Share(), "attention_next": _Share()}

    def observe(self, items: np.ndarray, traces: Mapping[str, np.ndarray], attention: np.ndarray | None) -> None:
        if "relation" in traces:
            holds = _one_hot(items, len(self.edges))
            pairs = holds.sum(axis=1)
            pairs = pairs[:, :, None] * pairs[:, None, :]
            sums = holds.transpose(0, 2, 1) @ traces["relation"] @ holds
            self.total += (sums / np.maximum(pairs, 1)).sum(axis=0)
            self.sequences += (pairs > 0).sum(axis=0)
        if attention is not None:
            self._attends(items, attention[-1])

    def metrics(self) -> dict[str, float]:
        shares = {name: share.value for name, share in self.attention.items() if share.events}
        return shares | (self._graph() if self.sequences.any() else {})

    def chance(self) -> dict[str, float]:
        """Edges ranked at random, no edge found, weight spread evenly over the events in sight."""
        pairs = skeleton(self.edges)
        return {"skeleton_ap": density(pairs), "ap": density(self.edges), "skeleton_shd": float(pairs.sum() // 2),
                "shd": float(pairs.sum() // 2), **{name: share.even for name, share in self.attention.items()}}

    def _graph(self) -> dict[str, float]:
        strength = np.abs(self.total) / np.maximum(self.sequences, 1)
        strength[np.eye(len(strength), dtype=bool)] = 0
        found = strength > THRESHOLD * strength.max()
        pairs = skeleton(found)
        spurious, _ = edge_precision_recall(pairs, self.companions)
        made = {**_scores("skeleton_", skeleton(strength), pairs, skeleton(self.edges)), "spurious": spurious}
        if np.abs(strength - strength.T).max() > DIRECTED * strength.max():
            made |= _scores("", strength, found, self.edges)
        return made

    def _attends(self, items: np.ndarray, weight: np.ndarray) -> None:
        """Take in the weights (B, T, T) of one layer."""
        there = items > 0
        sight = there[:, None, :] & there[:, :, None]
        if not np.triu(weight, 1).any():  # a causal backbone sees none of what follows
            sight &= np.tri(items.shape[1], dtype=bool)
        index = np.maximum(items - 1, 0)
        causes = self.edges[index[:, :, None], index[:, None, :]] & sight
        self.attention["attention_own"].add(weight, causes, sight)
        after = self.edges[index[:, 1:, None], index[:, None, :]] & sight[:, :-1] & there[:, 1:, None]
        after &= np.tri(items.shape[1], dtype=bool)[:-1]  # what comes after the next item does not cause it
        self.attention["attention_next"].add(weight[:, :-1], after, sight[:, :-1])


class _Share:
    """The mean share of weight on chosen events, and what an even weight would give."""

    def __init__(self) -> None:
        self.total = self.by_even = 0.0
        self.events = 0

    def add(self, weight: np.ndarray, chosen: np.ndarray, sight: np.ndarray) -> None:
        """Weights and which of them are chosen and in sight, all (B, T, T); rows without a chosen one do not count."""
        rows = chosen.any(axis=2)
        weight, chosen, sight = weight[rows].astype(float), chosen[rows], sight[rows]
        total = (weight * sight).sum(axis=1)
        self.total += float(((weight * chosen).sum(axis=1) / np.where(total == 0, 1, total)).sum())
        self.by_even += float((chosen.sum(axis=1) / sight.sum(axis=1)).sum())
        self.events += len(weight)

    @property
    def value(self) -> float:
        return self.total / self.events

    @property
    def even(self) -> float:
        return self.by_even / self.events if self.events else float("nan")


def _scores(prefix: str, strength: np.ndarray, found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    precision, recall = edge_precision_recall(found, truth)
    return {f"{prefix}ap": edge_average_precision(strength, truth), f"{prefix}precision": precision,
            f"{prefix}recall": recall, f"{prefix}shd": float(structural_hamming(found, truth))}


def _one_hot(items: np.ndarray, n_items: int) -> np.ndarray:
    """Which item each event holds, (B, T, n_items) float32; none where there is no event."""
    return np.asarray(items[:, :, None] == np.arange(1, n_items + 1), np.float32)
