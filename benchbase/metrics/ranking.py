"""Ranking metrics of events with one target, from counts of the candidates scored above it and level with it.

With `above` candidates strictly better and `tied` others level, the target's rank under random order of the
tied block is uniform on above + 1 .. above + tied + 1; a metric's value is its mean over these, exactly.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError, nearest
from .columns import columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALIASES = {"hr": "recall"}  # one target per event: the hit rate is the recall
GAINS: dict[str, Callable[[Floats], Floats]] = {
    "recall": lambda rank: np.ones_like(rank),
    "ndcg": lambda rank: 1 / np.log2(1 + rank),
    "mrr": lambda rank: 1 / rank,
}


@dataclass(frozen=True, order=True)
class Metric:
    """A ranking metric and its cutoff, a value to compare and to use as a key; `hr@k` keeps its name."""

    name: str
    cutoff: int

    @property
    def canonical(self) -> str:
        """The name under which equal metrics are equal: `hr@10` is `recall@10`."""
        return f"{ALIASES.get(self.name, self.name)}@{self.cutoff}"

    def __str__(self) -> str:
        return f"{self.name}@{self.cutoff}"


def parse(name: str) -> Metric:
    """Read a name such as `ndcg@10`; an unknown name, a missing cutoff or a wrong one is a BenchbaseError."""
    family, at, cutoff = name.partition("@")
    known = {*GAINS, *ALIASES}
    if family not in known:
        raise BenchbaseError(f"metrics: no ranking metric named '{family}'. {nearest(family.lower(), known)}")
    if not at:
        raise BenchbaseError(f"metrics: '{name}' has no cutoff. Expected name@k. Nearest: '{name}@10'.")
    if not re.fullmatch("[1-9][0-9]*", cutoff):
        raise BenchbaseError(
            f"metrics: '{name}' has the cutoff '{cutoff}'. Expected a whole number from 1. Nearest: '{family}@10'."
        )
    return Metric(family, int(cutoff))


def gains(metric: Metric, ranks: int) -> Floats:
    """The metric's value at rank 1, 2, ... up to its cutoff, after which it is 0; at most `ranks` of them."""
    family = ALIASES.get(metric.name, metric.name)
    return GAINS[family](np.arange(1, min(metric.cutoff, ranks) + 1, dtype=np.float64))


def values(metric: Metric, above: ArrayLike, tied: ArrayLike, candidates: ArrayLike) -> Floats:
    """The metric of each event, in expectation over random order of ties.

    above, tied, candidates: (events,) whole numbers; `tied` leaves the target out, `candidates` counts it.
    An event with above >= candidates is a miss, its target no candidate: 0.
    Counts that cannot be are a BenchbaseError.
    """
    first, others, total = _counts(above, tied, candidates)
    gain = gains(metric, int(total.max(initial=1)))
    start = np.minimum(first, len(gain))
    stop = np.minimum(first + others + 1, len(gain))
    prefix = np.concatenate(([0.0], np.cumsum(gain)))
    expected = (prefix[stop] - prefix[start]) / (others + 1)
    alone = np.append(gain, 0.0)[start]  # a target without ties: its gain itself, not a difference of sums
    return np.where(first >= total, 0.0, np.where(others == 0, alone, expected))


def chance(metric: Metric, candidates: ArrayLike) -> Floats:
    """What a constant scorer gets per event, the mean over a uniformly random rank; candidates: (events,)."""
    total = np.asarray(candidates, dtype=np.int64)
    return values(metric, np.zeros_like(total), total - 1, total)


def user_mean(user: ArrayLike, values: ArrayLike) -> tuple[Ints, Floats]:
    """The users in ascending order and each one's mean over their events; user, values: (events,)."""
    owner, value = columns("metrics.user_mean", user=user, values=values)
    users, index, events = np.unique(owner, return_inverse=True, return_counts=True)
    return users.astype(np.int64), np.bincount(index, value, len(users)) / events


def user_values(
    metric: Metric, user: ArrayLike, above: ArrayLike, tied: ArrayLike, candidates: ArrayLike
) -> tuple[Ints, Floats]:
    """The users in ascending order and each one's mean of the metric; all columns (events,), counts as in `values`."""
    return user_mean(user, values(metric, above, tied, candidates))


def mean_over_users(
    metric: Metric, user: ArrayLike, above: ArrayLike, tied: ArrayLike, candidates: ArrayLike
) -> float:
    """The mean over users of each one's mean; nan without events. Columns as in `user_values`."""
    _, means = user_values(metric, user, above, tied, candidates)
    return float(means.mean()) if len(means) else float("nan")


def _counts(above: ArrayLike, tied: ArrayLike, candidates: ArrayLike) -> tuple[Ints, Ints, Ints]:
    arrays = columns("metrics.values", above=above, tied=tied, candidates=candidates)
    first, others, total = (array.astype(np.int64) for array in arrays)
    if (first < 0).any() or (others < 0).any() or (total < 1).any():
        raise BenchbaseError(
            "metrics.values: a count is too small. Expected above and tied from 0, and candidates from 1, "
            "since it counts the target."
        )
    wrong = np.flatnonzero((first < total) & (first + others >= total))
    if wrong.size:
        raise BenchbaseError(
            f"metrics.values: above + tied reaches candidates in {wrong.size} of {total.size} events. "
            "Expected at most candidates - 1, since `tied` leaves the target out."
        )
    return first, others, total
