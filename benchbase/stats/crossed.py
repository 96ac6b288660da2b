"""The mean difference of two systems where both users and seeds are drawn: a test, and the interval that it inverts."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BenchbaseError
from .bootstrap import check_level
from .nested import Floats
from .paired import ROUNDING, TINY

POWER = 0.8
"""How often the test finds a true difference as large as `detectable`."""


@dataclass(frozen=True)
class Crossed:
    """A mean difference: its standard error and degrees of freedom, the p-value, the interval that agrees with it, and
    the smallest true difference that the test finds four times in five.
    """

    mean: float
    se: float
    df: float
    p: float
    low: float
    high: float
    detectable: float


def crossed_test(differences: ArrayLike, level: float = 0.95) -> Crossed:
    """Whether the mean of differences (seeds, users) is 0, seeds and users both being samples of many.

    var(mean) = (MS_users + MS_seeds - MS_error) / (seeds * users), Satterthwaite's degrees of freedom rounded down. A
    seed component that is estimated below 0 is 0: this is then the paired t-test over seed-averaged users, as it is
    with one seed, of which nothing can be known. Under no difference it errs in at most some 6 % of tests at 0.05 with
    three seeds or more; with two seeds that differ a lot, which one number must judge, in up to 12 %.

    Source: Cornfield & Tukey 1956, Average values of mean squares in factorials; Satterthwaite 1946, An approximate
    distribution of estimates of variance components.
    """
    from scipy import stats

    d = _checked(differences)
    check_level(level)
    mean, (variance, df) = float(d.mean()), _variance(d)
    se = math.sqrt(variance)
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    p = max(2 * float(stats.t.sf(abs(mean) / se, df)), TINY) if se else TINY if mean else 1.0
    return Crossed(mean, se, df, p, mean - half, mean + half, half + float(stats.t.ppf(POWER, df)) * se)


def seed_differences(first: Floats, second: Floats) -> Floats:
    """`first` (seeds, users) less `second` (seeds, users), seed by seed in their order; (seeds, users).

    The seeds of two systems are independent, so any pairing has the right variance in expectation. One run stands for
    every seed. Where one system has more seeds, the shorter list sets how many rows there are, and each user's mean is
    still that over all runs: the part of the seeds is then judged by the fewer of them.
    """
    if len(first) == len(second) or 1 in (len(first), len(second)):
        return first - second
    rows = min(len(first), len(second))
    paired = first[:rows] - second[:rows]
    whole: Floats = paired - paired.mean(0) + (first.mean(0) - second.mean(0))
    return whole


def _variance(d: Floats) -> tuple[float, float]:
    """The variance of the mean, and its degrees of freedom."""
    seeds, users = d.shape
    by_user, by_seed, n = d.mean(0), d.mean(1), d.size
    of_users = seeds * float(by_user.var(ddof=1))
    if seeds > 1:
        rest = d - by_user - by_seed[:, None] + d.mean()
        of_seeds, error = users * float(by_seed.var(ddof=1)), float((rest**2).sum()) / ((seeds - 1) * (users - 1))
        if of_seeds - error > _rounding(d) * n:
            total = of_users + of_seeds - error
            spread = of_users**2 / (users - 1) + of_seeds**2 / (seeds - 1) + error**2 / ((seeds - 1) * (users - 1))
            return total / n, max(math.floor(total**2 / spread), 1)
    variance = of_users / n
    return (variance if variance * users > _rounding(d) else 0.0), users - 1


def _rounding(d: Floats) -> float:
    """Variances below this are rounding, not data."""
    return float((ROUNDING * np.abs(d).max()) ** 2)


def _checked(differences: ArrayLike) -> Floats:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.shape[0] < 1 or d.shape[1] < 2:
        raise BenchbaseError(f"stats.crossed: differences of shape {d.shape}. Expected (seeds, users), of two users or "
                             "more.")
    if not np.isfinite(d).all():
        raise BenchbaseError("stats.crossed: a difference is nan or infinite. Expected a finite one for each user.")
    return d
