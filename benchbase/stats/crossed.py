"""The mean difference of two systems where both users and seeds are drawn: a test, and the interval that it inverts."""

import math
from collections.abc import Sequence
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
    d = _checked(differences)
    return _tested(float(d.mean()), *_variance(d), level)


def contrast_test(parts: Sequence[tuple[float, ArrayLike]], level: float = 0.95) -> Crossed:
    """Whether a weighted sum of the means of systems is 0; parts: a weight, and values (seeds, users), of each.

    As `crossed_test`, but each system, whose seeds are independent of all others', tells of its own seeds' luck: the
    more systems, the more is known of it with few seeds. Where seeds differ a lot and each system has few, it errs in
    fewer tests than it may. Users are the same in all; seeds need not be equally many, and one run stands for every
    seed.
    """
    checked = [(weight, _checked(values)) for weight, values in parts]
    if len({values.shape[1] for _, values in checked}) != 1:
        raise BenchbaseError(f"stats.contrast_test: values of shapes {[values.shape for _, values in checked]}. "
                             "Expected (seeds, users) over the same users, of one system or more.")
    by_user = np.sum([weight * values.mean(0) for weight, values in checked], axis=0)
    users = by_user.size
    of_users = float(by_user.var(ddof=1)) / users
    squares = [(weight**2 / values.size, len(values) - 1, *mean_squares(values)) for weight, values in checked
               if len(values) > 1]
    of_seeds = sum(factor * (seeds - error) for factor, _, seeds, error in squares)
    spread = of_users**2 / (users - 1) + sum(
        factor**2 * (seeds**2 + error**2 / (users - 1)) / df for factor, df, seeds, error in squares
    )
    rounding = max(_rounding(weight * values) for weight, values in checked)
    if of_seeds <= rounding:
        return _tested(float(by_user.mean()), of_users if of_users * users > rounding else 0.0, users - 1, level)
    variance = of_users + of_seeds
    return _tested(float(by_user.mean()), variance, max(math.floor(variance**2 / spread), 1), level)


def _tested(mean: float, variance: float, df: float, level: float) -> Crossed:
    """The test of a mean of that variance, which is known with so many degrees of freedom."""
    from scipy import stats

    check_level(level)
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
    n = d.size
    of_users = seeds * float(d.mean(0).var(ddof=1))
    if seeds > 1:
        of_seeds, error = mean_squares(d)
        if of_seeds - error > _rounding(d) * n:
            total = of_users + of_seeds - error
            spread = of_users**2 / (users - 1) + of_seeds**2 / (seeds - 1) + error**2 / ((seeds - 1) * (users - 1))
            return total / n, max(math.floor(total**2 / spread), 1)
    variance = of_users / n
    return (variance if variance * users > _rounding(d) else 0.0), users - 1


def mean_squares(d: Floats) -> tuple[float, float]:
    """Those of seeds, and of what neither seeds nor users explain; d: (seeds, users), of two seeds or more."""
    seeds, users = d.shape
    by_user, by_seed = d.mean(0), d.mean(1)
    rest = d - by_user - by_seed[:, None] + d.mean()
    return users * float(by_seed.var(ddof=1)), float((rest**2).sum()) / ((seeds - 1) * (users - 1))


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
