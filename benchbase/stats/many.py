"""Many systems over many data sets; scores: (data sets, systems), one number each."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BenchbaseError
from .bootstrap import check_level
from .nested import Floats

DATA_SETS = 5  # with fewer, the test's chi-square law and its power are both out of reach


@dataclass(frozen=True)
class Friedman:
    """The test that all systems are alike, and each one's mean rank from 1 over the data sets."""

    statistic: float
    p: float
    mean_ranks: tuple[float, ...]


def friedman(scores: ArrayLike, higher_is_better: bool = True) -> Friedman:
    """Friedman's test, corrected for ties, of three or more systems over five or more data sets.

    Source: Demsar 2006, Statistical comparisons of classifiers over multiple data sets, section 3.2.
    """
    from scipy import stats

    ranks = _ranks(scores, higher_is_better)
    means = tuple(ranks.mean(0).tolist())
    if (ranks == ranks[0, 0]).all():  # every data set a tie of all systems
        return Friedman(0.0, 1.0, means)
    statistic, p = stats.friedmanchisquare(*ranks.T)
    return Friedman(float(statistic), float(p), means)


def nemenyi(scores: ArrayLike, higher_is_better: bool = True) -> Floats:
    """The p-value of each pair of systems, corrected for all pairs; (systems, systems), 1 on the diagonal."""
    from scipy import stats

    ranks = _ranks(scores, higher_is_better)
    means = ranks.mean(0)
    q = np.abs(means[:, None] - means) / _error(*ranks.shape)
    p: Floats = stats.studentized_range.sf(q, ranks.shape[1], np.inf)
    np.fill_diagonal(p, 1.0)
    return p


def critical_difference(systems: int, data_sets: int, alpha: float = 0.05) -> float:
    """How far apart two mean ranks must be for Nemenyi's test to tell them apart.

    Source: Demsar 2006, section 3.2.2.
    """
    from scipy import stats

    _check_size(data_sets, systems)
    check_level(alpha)
    return float(stats.studentized_range.ppf(1 - alpha, systems, np.inf)) * _error(data_sets, systems)


def _error(data_sets: int, systems: int) -> float:
    return math.sqrt(systems * (systems + 1) / (12 * data_sets))


def _ranks(scores: ArrayLike, higher_is_better: bool) -> Floats:
    from scipy import stats

    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise BenchbaseError(
            f"stats.many: scores of shape {table.shape}, or one that is not finite. "
            "Expected (data sets, systems), all finite. Nearest: leave out systems that lack a data set."
        )
    _check_size(*table.shape)
    ranks: Floats = stats.rankdata(-table if higher_is_better else table, axis=1)
    return ranks


def _check_size(data_sets: int, systems: int) -> None:
    if data_sets < DATA_SETS or systems < 3:
        raise BenchbaseError(
            f"stats.many: {systems} systems over {data_sets} data sets. Expected at least 3 over {DATA_SETS}. "
            "Nearest: paired tests over users, with holm."
        )
