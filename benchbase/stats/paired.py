"""One system against another on the same users: tests, intervals and sizes of the mean per-user difference.

differences: (users,), from `user_differences`; above 0 the first system's value is the larger. Tests are two-sided.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BenchbaseError
from .bootstrap import check_level, check_resamples, percentiles, resampled_means
from .nested import Floats

TINY = float(np.finfo(np.float64).tiny)  # the smallest p-value reported: no evidence makes chance impossible
ROUNDING = 1e-12  # differences and spreads below this are rounding, not data
BLOCK = 1 << 22  # signs drawn at once


@dataclass(frozen=True)
class Comparison:
    """What stands beside a difference: two p-values, two intervals, its size and what could have been seen."""

    users: int
    mean: float
    sd: float
    p_t: float
    p_randomisation: float
    t_interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    effect_size: float
    wins: int
    ties: int
    losses: int
    minimal_detectable_difference: float
    matters: float | None


def compare(
    differences: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    matters: float | None = None,
) -> Comparison:
    """All measures of one pair; `matters`, the smallest difference the user cares about, is carried along."""
    d = _checked(differences)
    wins, ties, losses = wins_ties_losses(d)
    return Comparison(
        users=d.size,
        mean=float(d.mean()),
        sd=_sd(d),
        p_t=paired_t(d),
        p_randomisation=sign_flip(d, resamples, seed),
        t_interval=t_interval(d, level),
        bootstrap_interval=bootstrap_interval(d, level, resamples, seed),
        effect_size=effect_size(d),
        wins=wins,
        ties=ties,
        losses=losses,
        minimal_detectable_difference=minimal_detectable_difference(d, 1 - level),
        matters=matters,
    )


def paired_t(differences: ArrayLike) -> float:
    """The p-value of the paired t-test; 1 where all differences are 0, never below TINY."""
    from scipy import stats

    d = _checked(differences)
    mean, sd = abs(float(d.mean())), _sd(d)
    if sd == 0:
        return TINY if mean > 0 else 1.0
    return max(2 * float(stats.t.sf(mean / sd * math.sqrt(d.size), d.size - 1)), TINY)


def sign_flip(differences: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """The p-value (b + 1) / (n + 1) of the randomisation test that flips signs: b of n sums are as far from 0.

    It depends on the sizes of the differences only: neither the order of users nor of the systems moves it.
    Source: Phipson & Smyth 2010, Permutation p-values should never be zero.
    """
    d = _checked(differences)
    size = np.sort(np.abs(d[d != 0]))  # a zero has no sign to flip
    far = abs(float(d.sum())) - ROUNDING * float(size.sum())
    check_resamples(resamples)
    rng, words = np.random.default_rng(seed), -(-size.size // 64)
    step = max(1, BLOCK // max(1, size.size))
    beyond = 0
    for start in range(0, resamples, step):
        draws = rng.integers(0, 2**64, (min(step, resamples - start), words), dtype=np.uint64)
        signs = np.unpackbits(draws.view(np.uint8), axis=1, count=size.size)
        beyond += int((np.abs(2 * (signs @ size) - size.sum()) >= far).sum())
    return (beyond + 1) / (resamples + 1)


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean difference that the paired t-test inverts."""
    from scipy import stats

    d = _checked(differences)
    check_level(level)
    half = float(stats.t.ppf((1 + level) / 2, d.size - 1)) * _sd(d) / math.sqrt(d.size)
    return float(d.mean()) - half, float(d.mean()) + half


def bootstrap_interval(
    differences: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of the mean difference over resampled users; their order does not move it."""
    d = np.sort(_checked(differences))
    return percentiles(resampled_means([d[None, :]], resamples, seed)[:, 0], level)


def effect_size(differences: ArrayLike) -> float:
    """Cohen's d_z: the mean over the standard deviation of the differences; infinite if these are all alike."""
    d = _checked(differences)
    mean, sd = float(d.mean()), _sd(d)
    if sd == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / sd


def wins_ties_losses(differences: ArrayLike) -> tuple[int, int, int]:
    """How many users are better, as well and worse off with the first system, rounding apart."""
    d = _checked(differences)
    wins, losses = int((d > ROUNDING).sum()), int((d < -ROUNDING).sum())
    return wins, d.size - wins - losses, losses


def minimal_detectable_difference(differences: ArrayLike, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean that a paired t-test over as many users, as widely spread, finds with this power.

    (t(1 - alpha / 2) + t(power)) * sd / sqrt(users), with users - 1 degrees of freedom: the usual central
    approximation to the non-central t.
    Source: Bloom 1995, Minimum detectable effects.
    """
    from scipy import stats

    d = _checked(differences)
    check_level(1 - alpha)
    check_level(power)
    steps = stats.t.ppf(1 - alpha / 2, d.size - 1) + stats.t.ppf(power, d.size - 1)
    return float(steps) * _sd(d) / math.sqrt(d.size)


def _sd(d: Floats) -> float:
    sd = float(d.std(ddof=1))
    return sd if sd > ROUNDING * abs(float(d.mean())) else 0.0


def _checked(differences: ArrayLike) -> Floats:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size < 2:
        raise BenchbaseError(f"stats.paired: differences of shape {d.shape}. Expected one per user, of two or more.")
    if not np.isfinite(d).all():
        raise BenchbaseError("stats.paired: a difference is nan or infinite. Expected a finite one for each user.")
    return d
