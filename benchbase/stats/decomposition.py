"""How the spread of a grid's means divides among its factors and interactions: an analysis of variance of means."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod

import numpy as np

from .attribution import Cells, Levels, Row, levels_of, read_cells
from .bootstrap import check_resamples, percentiles
from .crossed import mean_squares
from .nested import Floats
from .paired import ROUNDING


@dataclass(frozen=True)
class Source:
    """What one factor, two together or, without names, all interactions of more than two have of the spread.

    `sum_sq`: of the cells' means; `luck`: what of it users and seeds are expected to add; `share` of all that is left
    after luck, with its interval.
    """

    factors: tuple[str, ...]
    df: int
    sum_sq: float
    luck: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """The sources of the spread over a complete grid of these levels. Shares add up to 1, or are 0 where luck explains
    all of it; `luck`: its part of the whole sum of squares, at most 1.
    """

    levels: Mapping[str, tuple[str, ...]]
    cells: int
    luck: float
    sources: tuple[Source, ...]


def spread(
    table: Sequence[Row],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    references: Mapping[str, str] | None = None,
) -> Spread | None:
    """The effect-coded decomposition of the cells' means over seeds and users, with bootstrap intervals of the shares.

    Of a partial grid it takes a complete part: the emptiest level is left out until no combination is missing. None
    where no two factors are left, or nothing spreads. Luck adds to squares; drawing means anew around those found adds
    as much again, which tells how much: it is taken off once from the sums, and twice from those drawn. With one seed
    nothing is known of the luck of seeds. Errors: those of `main_effects`.
    Source: Efron & Tibshirani 1993, An introduction to the bootstrap, sections 6.5 (parametric) and 10.2 (bias).
    """
    cells = read_cells(table)
    levels = _complete(cells, levels_of(cells, references))
    varying = {factor: names for factor, names in levels.items() if len(names) > 1}
    if len(varying) < 2:
        return None
    keys = [tuple(zip(levels, names, strict=True)) for names in product(*levels.values())]
    sizes = tuple(len(names) for names in varying.values())
    point = np.array([[cells[key].mean() for key in keys]])
    if np.ptp(point) <= ROUNDING * np.abs(point).max():
        return None
    drawn = _drawn_means([cells[key] for key in keys], resamples, seed).reshape(-1, *sizes)
    named = [(tuple(list(varying)[axis] for axis in axes), df) for axes, df, _ in _squares(drawn)]
    sums, anew = (np.stack([found for _, _, found in _squares(means)]) for means in (point.reshape(1, *sizes), drawn))
    sums = _no_rounding(sums, float(sums.sum()))
    luck = _no_rounding(anew.mean(1, keepdims=True) - sums, float(sums.sum()))
    shares, ends = _shares(sums - luck)[:, 0], _shares(anew - 2 * luck)
    sources = []
    for (factors, df), sum_sq, noise, share, each in zip(named, sums[:, 0].tolist(), luck[:, 0].tolist(),
                                                         shares.tolist(), ends, strict=True):
        low, high = percentiles(each, level)
        sources.append(Source(factors, df, sum_sq, noise, share, min(low, share), max(high, share)))
    return Spread(levels, len(keys), min(max(float(luck.sum() / sums.sum()), 0.0), 1.0), tuple(sources))


def _drawn_means(cells: Sequence[Floats], resamples: int, seed: int) -> Floats:
    """Means (resamples, cells) out of the normal law around those found, by what users and seeds make of them.

    Seeds are drawn apart for each cell. Drawing them again out of the few there are would show too little of their
    luck, and what moves a user with one seed alone thrice: the components of variance tell both.
    """
    check_resamples(resamples)
    users = cells[0].shape[1]
    law = np.zeros((len(cells), len(cells)))
    if users > 1:
        law += np.cov([values.mean(0) for values in cells]) / users
        law += np.diag(_of_seeds(cells))
    found: Floats = np.random.default_rng(seed).multivariate_normal(
        [values.mean() for values in cells], law, resamples, method="eigh"
    )
    return found


def _of_seeds(cells: Sequence[Floats]) -> Floats:
    """The variance (cells,) that seeds give to each cell's mean; together not below 0, and none alone."""
    each = np.zeros(len(cells))
    for place, values in enumerate(cells):
        if len(values) > 1:
            of_seeds, error = mean_squares(values)
            each[place] = (of_seeds - error) / values.size
    kept = np.maximum(each, 0)
    return kept * max(float(each.sum()), 0) / kept.sum() if kept.any() else kept


Square = tuple[tuple[int, ...], int, Floats]  # axes, degrees of freedom, sums of squares (draws,)


def _squares(means: Floats) -> Iterator[Square]:
    """The sum of squares of every factor, every two, and the rest; means: (draws, levels, levels, ...)."""
    factors, around = range(means.ndim - 1), tuple(range(1, means.ndim))
    rest = ((means - means.mean(around, keepdims=True)) ** 2).sum(around)
    left = means[0].size - 1
    for axes in (*combinations(factors, 1), *combinations(factors, 2)):
        effect = means
        for axis in factors:
            mean = effect.mean(axis + 1, keepdims=True)
            effect = effect - mean if axis in axes else mean
        found = (effect**2).sum(around) * (means[0].size / effect[0].size)
        df = prod(means.shape[axis + 1] - 1 for axis in axes)
        rest, left = rest - found, left - df
        yield axes, df, found
    if left:
        yield (), left, np.maximum(rest, 0)


def _no_rounding(sums: Floats, total: float) -> Floats:
    """The sums, with 0 for those that are rounding against the total."""
    kept: Floats = np.where(np.abs(sums) > ROUNDING * total, sums, 0.0)
    return kept


def _shares(sums: Floats) -> Floats:
    """Each source's share of their sum (sources, draws), none of them below 0; all 0 where nothing is left."""
    found = np.maximum(sums, 0)
    total = found.sum(0)
    shares: Floats = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    return shares


def _complete(cells: Cells, levels: Levels) -> Levels:
    """The levels of a complete grid; the emptiest level goes first, of several the last of the factor with most."""
    kept, keys = dict(levels), set(cells)
    while len(keys) < prod(map(len, kept.values())):
        factor, gone = min(
            ((factor, name) for factor, names in kept.items() if len(names) > 1 for name in names),
            key=lambda each: (_fill(keys, kept, *each), -len(kept[each[0]]), each[0], -kept[each[0]].index(each[1])),
        )
        kept[factor] = tuple(name for name in kept[factor] if name != gone)
        keys = {key for key in keys if (factor, gone) not in key}
    return kept


def _fill(keys: Collection[object], kept: Levels, factor: str, name: str) -> float:
    """The share of the combinations with this level that are there."""
    wanted = prod(len(names) for other, names in kept.items() if other != factor)
    return sum((factor, name) in key for key in keys) / wanted  # type: ignore[operator]
