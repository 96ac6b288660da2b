"""Bootstrap intervals of a system's mean and of the ranks of many, over users and seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import BenchbaseError
from .bootstrap import check_level, percentiles, resampled_means
from .nested import Floats, Runs, same_users, stack

DIGITS = 12  # means that agree so far are tied: the rest is rounding


@dataclass(frozen=True)
class Interval:
    """A point estimate and the ends of its interval."""

    point: float
    low: float
    high: float


def mean_interval(runs: Runs, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean over seeds and users of one system, with the percentile interval over both drawn anew.

    Of one seed it says nothing about training; of few, too little: the variance falls short by 1 / seeds.
    """
    values = stack(runs, "stats.mean_interval")[1]
    means = resampled_means([values], resamples, seed)[:, 0]
    return Interval(float(values.mean()), *percentiles(means, level))


def rank_intervals(
    entries: Mapping[str, Runs],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    higher_is_better: bool = True,
) -> dict[str, Interval]:
    """Each entry's rank from 1 by its mean, with the interval of its rank over users and seeds drawn anew.

    The users drawn are the same for all. Tied means share the average of their ranks. Names and order of the
    entries move nothing. The ends are ranks that occurred, widened to hold the point. Entries over other users are
    a BenchbaseError.
    """
    check_level(level)
    values = _same_users(entries)
    sign = -1.0 if higher_is_better else 1.0
    drawn = _ranks(sign * resampled_means(values, resamples, seed))
    point = _ranks(sign * np.array([[value.mean() for value in values]]))[0]
    low = np.minimum(np.quantile(drawn, (1 - level) / 2, axis=0, method="lower"), point)
    high = np.maximum(np.quantile(drawn, (1 + level) / 2, axis=0, method="higher"), point)
    return {name: Interval(float(point[i]), float(low[i]), float(high[i])) for i, name in enumerate(entries)}


def _ranks(cost: Floats) -> Floats:
    """Average ranks along the last axis, the smallest cost first; cost: (rows, entries)."""
    from scipy import stats

    scale = np.abs(cost).max() or 1.0
    ranks: Floats = stats.rankdata(np.round(cost / scale, DIGITS), axis=-1)
    return ranks


def _same_users(entries: Mapping[str, Runs]) -> list[Floats]:
    if not entries:
        raise BenchbaseError("stats.rank_intervals: no entries. Expected at least one.")
    stacked = {name: stack(runs, f"stats.rank_intervals: '{name}'") for name, runs in entries.items()}
    first = next(iter(stacked))
    for name, (users, _) in stacked.items():
        same_users(f"stats.rank_intervals: '{first}' and '{name}'", stacked[first][0], users)
    return [values for _, values in stacked.values()]
