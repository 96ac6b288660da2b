"""Which part earned it: main effects of the factors of a grid, from matched pairs of configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BenchbaseError
from .bootstrap import percentiles, resampled_means
from .nested import Floats

Row = tuple[Mapping[str, str], ArrayLike]  # factor -> level, and values (users,), users in one order throughout
Cells = dict[tuple[tuple[str, str], ...], Floats]


@dataclass(frozen=True)
class Effect:
    """The mean gain from `base` to `level` of one factor, all others equal, over so many matched pairs."""

    factor: str
    base: str
    level: str
    difference: float
    low: float
    high: float
    pairs: int


def main_effects(table: Sequence[Row], level: float = 0.95, resamples: int = 2000, seed: int = 0) -> list[Effect]:
    """The effect of every two levels of a factor that meet with all other factors equal, in order of names.

    The grid may be partial: configurations without a match do not count. The interval resamples users, each with
    their mean difference over the pairs, so it speaks of these configurations and no others. Rows of other factors,
    a configuration given twice and values of unequal shape are BenchbaseErrors.
    """
    cells = _cells(table)
    effects = []
    for factor in sorted({name for key in cells for name, _ in key}):
        levels = sorted({dict(key)[factor] for key in cells})
        for base, other in combinations(levels, 2):
            matched = _matched(cells, factor, base, other)
            if matched:
                mean = np.mean(matched, axis=0)
                ends = percentiles(resampled_means([mean[None, :]], resamples, seed)[:, 0], level)
                effects.append(Effect(factor, base, other, float(mean.mean()), *ends, len(matched)))
    return effects


def _matched(cells: Cells, factor: str, base: str, level: str) -> list[Floats]:
    """The differences (users,) of all pairs of configurations that differ in this factor alone."""
    pairs = []
    for key, values in cells.items():
        twin = tuple((name, level if name == factor else value) for name, value in key)
        if (factor, base) in key and twin in cells:
            pairs.append(cells[twin] - values)
    return pairs


def _cells(table: Sequence[Row]) -> Cells:
    cells: Cells = {}
    for factors, values in table:
        key = tuple(sorted(factors.items()))
        if key in cells:
            raise BenchbaseError(f"stats.main_effects: {dict(key)} stands twice. Expected one row per configuration.")
        cells[key] = np.asarray(values, dtype=np.float64)
    names = {tuple(name for name, _ in key) for key in cells}
    shapes = {values.shape for values in cells.values()}
    if len(names) != 1:
        raise BenchbaseError(f"stats.main_effects: rows name the factors {sorted(names)}. Expected the same in each.")
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise BenchbaseError(
            f"stats.main_effects: values of shapes {sorted(shapes)}. Expected the same (users,) in each."
        )
    return cells
