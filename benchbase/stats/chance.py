"""Where a scorer that knows nothing may land: exact intervals of a metric's total over events of random rank."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError
from ..metrics.ranking import Floats, Ints, Metric, chance, gains, parse
from .bootstrap import check_level

UNSEEN = 40.0  # the law is cut where its tail is below exp(-UNSEEN), far below rounding
WORK = 1 << 26  # grid points times distinct numbers of candidates, about
FEW = 64  # so many distinct numbers or fewer have a grid of the same size
SPARED = 0.01  # the share of each tail kept for what rounding to the grid may do


@dataclass(frozen=True)
class ChanceInterval:
    """The expected total over events at chance and the ends it stays between, both included; hits, for recall."""

    expected: float
    low: float
    high: float


def exact_interval(
    metric: Metric | str, n_events: int, candidates: ArrayLike, level: float = 0.999, tests: int = 1
) -> ChanceInterval:
    """The central interval that a metric's total over independent events leaves with a chance of 1 - level.

    candidates: one number or (n_events,), the target counted; leave misses out. With `tests` the level holds for
    that many intervals together (Bonferroni). Recall is exact, a sum of Bernoulli(k / candidates). Other metrics are
    summed on a fine grid, and the interval widened by a bound on the rounding: a little wide, never too narrow.
    Source: Hong 2013, On computing the distribution function for the Poisson binomial distribution, section 2.
    """
    metric = parse(metric) if isinstance(metric, str) else metric
    check_level(level)
    sizes, number = _sizes(n_events, candidates, tests)
    gain, top = gains(metric, int(sizes[-1])), _top(metric.cutoff, sizes, number)
    scale = 1 if (gain == 1).all() else max(1, WORK // (FEW + len(sizes)) // top)
    grid = np.rint(gain * scale).astype(np.int64)
    rest, tail = gain - grid / scale, (1 - level) / 2 / tests
    spared = SPARED * tail if rest.any() else 0.0
    low, high = _ends(_law(grid, sizes, number, top * scale), tail - spared)
    shift = float(_means(rest, sizes) @ number)
    slack = _bernstein(float(_means(rest**2, sizes) @ number), 1 / scale, -math.log(spared)) if spared else 0.0
    expected = float(chance(metric, sizes) @ number)
    return ChanceInterval(expected, low / scale + shift - slack, high / scale + shift + slack)


def _ends(law: Floats, tail: float) -> tuple[int, int]:
    """The highest low and the lowest high with at most `tail` below the one and at most `tail` above the other."""
    below, beyond = np.cumsum(law), np.cumsum(law[::-1])[::-1] - law  # P(total <= x), P(total > x)
    return int((below <= tail).sum()), int((beyond > tail).sum())


def _law(gain: Ints, sizes: Ints, number: Ints, top: int) -> Floats:
    """The probabilities of totals 0, 1, ..., by the discrete Fourier transform; gain: (k,) whole numbers."""
    length = 1 << top.bit_length()  # above top: a total is never taken for another
    known: dict[int, NDArray[np.complex128]] = {}
    law = np.ones(length // 2 + 1, dtype=np.complex128)
    for n, times in zip(sizes.tolist(), number.tolist(), strict=True):
        hits = min(n, len(gain))
        if hits not in known:
            known[hits] = np.fft.rfft(np.bincount(gain[:hits], minlength=length))
        law *= ((known[hits] + (n - hits)) / n) ** times
    return np.maximum(np.fft.irfft(law, length), 0)


def _top(cutoff: int, sizes: Ints, number: Ints) -> int:
    """A number of hits, which no total exceeds, that is passed with a chance below exp(-UNSEEN)."""
    share = np.minimum(cutoff, sizes) / sizes
    hits, variance = float(share @ number), float((share * (1 - share)) @ number)
    return min(int(number.sum()), math.ceil(hits + _bernstein(variance, 1.0, UNSEEN)))


def _bernstein(variance: float, bound: float, exponent: float) -> float:
    """How far above its mean a sum of terms within `bound` of theirs gets with a chance below exp(-exponent)."""
    part = exponent * bound / 3
    return part + math.sqrt(part**2 + 2 * exponent * variance)


def _means(value: Floats, sizes: Ints) -> Floats:
    """The mean of value (k,), 0 beyond k, over ranks 1 .. n for each n of sizes."""
    means: Floats = np.append(0.0, np.cumsum(value))[np.minimum(sizes, len(value))] / sizes
    return means


def _sizes(n_events: int, candidates: ArrayLike, tests: int) -> tuple[Ints, Ints]:
    """The distinct numbers of candidates, ascending, and how many events have each."""
    each = np.asarray(candidates, dtype=np.int64)
    if n_events < 1 or tests < 1 or each.size == 0 or each.min() < 1:
        raise BenchbaseError("stats.exact_interval: events, candidates and tests start at 1. Expected whole numbers.")
    if each.shape not in ((), (n_events,)):
        raise BenchbaseError(
            f"stats.exact_interval: candidates of shape {each.shape} for {n_events} events. "
            "Expected one number, or one per event."
        )
    return np.unique(np.broadcast_to(each, n_events), return_counts=True)
