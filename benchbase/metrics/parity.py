"""Demographic parity: how far apart what groups of users are shown and told is.

group: (rows,) whole numbers from 0, -1 for rows of nobody's group. Of more than two groups a gap is that of the two
farthest apart.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .beyond import top
from .columns import columns
from .ranking import Floats


def exposure_gap(lists: ArrayLike, group: ArrayLike, n_items: int, k: int) -> float:
    """How far apart what two groups are shown is: the total variation distance of the items in their lists' first k.

    lists: (rows, K) item ids from 1, padded with 0. 0 is the same, 1 has nothing in common; nan where fewer than two
    groups have lists. Groups drawn at random are apart as well, the more the fewer rows they have: see
    `exposure_gap_by_chance`.
    """
    items = top("exposure_gap", lists, n_items, k)
    (codes,) = columns("metrics.exposure_gap", group=group)
    return _farthest(_shares(items, codes, n_items))


def exposure_gap_by_chance(lists: ArrayLike, group: ArrayLike, n_items: int, k: int, draws: int = 20,
                           seed: int = 0) -> float:
    """The mean gap where rows that have a group are put into groups of the same sizes at random."""
    items = top("exposure_gap_by_chance", lists, n_items, k)
    (codes,) = columns("metrics.exposure_gap_by_chance", group=group)
    known, random = np.flatnonzero(codes >= 0), np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = codes.copy()
        drawn[known] = random.permutation(codes[known])
        found.append(_farthest(_shares(items, drawn, n_items)))
    return float(np.mean(found))


def threshold_gap(scores: ArrayLike, group: ArrayLike, threshold: float | None = None) -> float:
    """How far apart two groups' shares of scores above a threshold are, of all scores their median by default.

    scores: (rows, any). nan where fewer than two groups have rows.
    Source: |P(r > t | s1) - P(r > t | s2)|, as demographic parity has it.
    """
    values = np.asarray(scores)
    (codes,) = columns("metrics.threshold_gap", group=group)
    some = codes >= 0
    if not some.any():
        return float("nan")
    bound = np.median(values[some]) if threshold is None else threshold
    above = (values > bound).mean(axis=1)
    rates = [float(above[codes == code].mean()) for code in np.unique(codes[some])]
    return max(rates) - min(rates) if len(rates) > 1 else float("nan")


def _shares(items: NDArray[np.int64], codes: NDArray[np.int64], n_items: int) -> Floats:
    """What each group that has lists is shown, as shares of its lists' places, (groups, n_items)."""
    found = [np.bincount(items[codes == code].ravel(), minlength=n_items + 1)[1:]
             for code in np.unique(codes[codes >= 0])]
    counts = np.array([each for each in found if each.any()], np.float64).reshape(-1, n_items)
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _farthest(shares: Floats) -> float:
    gaps = [np.abs(one - other).sum() / 2 for place, one in enumerate(shares) for other in shares[:place]]
    return float(max(gaps)) if gaps else float("nan")
