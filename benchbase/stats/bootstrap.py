"""Means over resampled users and seeds, the one engine of all bootstrap intervals here."""

from collections.abc import Sequence

import numpy as np

from ..errors import BenchbaseError
from .nested import Floats

BLOCK = 1 << 22  # users drawn at once


def resampled_means(entries: Sequence[Floats], resamples: int, seed: int) -> Floats:
    """Means of each entry (seeds, users) over users and seeds drawn with replacement; (resamples, entries).

    Every entry sees the same users, and entries of equally many seeds the same seeds; an entry's means depend on
    no other entry. A seed moves all users together, so seeds are drawn once, not within each user.
    Source: Owen 2007, The pigeonhole bootstrap.
    """
    check_resamples(resamples)
    users = entries[0].shape[1]
    rng, step = np.random.default_rng([seed, 0]), max(1, BLOCK // users)
    weights = {n: _seed_weights(n, resamples, seed) for n in {len(entry) for entry in entries}}
    means = np.empty((resamples, len(entries)))
    for start in range(0, resamples, step):
        block = slice(start, min(start + step, resamples))
        drawn = _drawn(rng, block.stop - start, users)
        for column, entry in enumerate(entries):  # one product each: equal entries get equal bits
            by_seed = drawn @ np.ascontiguousarray(entry.T)
            means[block, column] = (by_seed * weights[len(entry)][block]).sum(1) / users
    return means


def percentiles(means: Floats, level: float) -> tuple[float, float]:
    """The central interval that holds `level` of the resampled means."""
    check_level(level)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_level(level: float) -> None:
    """Raise a BenchbaseError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise BenchbaseError(f"stats: a level of {level:g}. Expected a share between 0 and 1, such as 0.95.")


def check_resamples(resamples: int) -> None:
    """Raise a BenchbaseError unless resamples >= 1."""
    if resamples < 1:
        raise BenchbaseError(f"stats: {resamples} resamples. Expected at least 1, better thousands.")


def _drawn(rng: np.random.Generator, resamples: int, users: int) -> Floats:
    """How often each user is drawn; (resamples, users)."""
    counts = np.empty((resamples, users))
    for row, index in zip(counts, rng.integers(0, users, (resamples, users), dtype=np.uint32), strict=True):
        row[:] = np.bincount(index, minlength=users)
    return counts


def _seed_weights(seeds: int, resamples: int, seed: int) -> Floats:
    """The share of draws each seed gets; (resamples, seeds)."""
    return np.random.default_rng([seed, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
