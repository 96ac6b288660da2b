"""Which part earned it: what the levels of a grid's factors gain, alone and together, from matched configurations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..errors import BenchbaseError
from .crossed import contrast_test
from .nested import Floats, Runs, stack
from .paired import ROUNDING

Row = tuple[Mapping[str, str], Runs]  # factor -> level, and values (seeds, users), users in one order throughout
Key = tuple[tuple[str, str], ...]
Cells = dict[Key, Floats]  # in the order of names, so that no sum depends on the order of rows
Levels = dict[str, tuple[str, ...]]


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


@dataclass(frozen=True)
class Interaction:
    """What two levels gain together beyond what each gains alone, over so many matched sets of four."""

    factors: tuple[str, str]
    bases: tuple[str, str]
    levels: tuple[str, str]
    difference: float
    low: float
    high: float
    fours: int


def main_effects(
    table: Sequence[Row], level: float = 0.95, references: Mapping[str, str] | None = None
) -> list[Effect]:
    """The effect of every two levels of a factor that meet with all other factors equal, in order of names.

    A factor's reference is the base of its pairs, which come first. The grid may be partial: configurations without a
    match do not count. The interval is that of `contrast_test`, for users and seeds are both samples; it speaks of
    these configurations and no others. Rows of other factors, a configuration given twice, fewer than two users and
    unequal users are BenchbaseErrors.
    """
    cells = read_cells(table)
    effects = []
    for factor, levels in levels_of(cells, references).items():
        for base, other in combinations(levels, 2):
            if matched := _matched(cells, {factor: (base, other)}):
                effects.append(Effect(factor, base, other, *_tested(cells, matched, level), len(matched)))
    return effects


def interactions(
    table: Sequence[Row], level: float = 0.95, references: Mapping[str, str] | None = None
) -> list[Interaction]:
    """The difference of differences of every level of two factors against their references, in order of names.

    0 where gains add up. Matching, intervals and errors are those of `main_effects`; a factor without a reference has
    its first level in order of names for one.
    """
    cells = read_cells(table)
    found = []
    for (one, ours), (other, theirs) in combinations(levels_of(cells, references).items(), 2):
        for first in ours[1:]:
            for second in theirs[1:]:
                if matched := _matched(cells, {one: (ours[0], first), other: (theirs[0], second)}):
                    found.append(Interaction((one, other), (ours[0], theirs[0]), (first, second),
                                             *_tested(cells, matched, level), len(matched)))
    return found


def read_cells(table: Sequence[Row]) -> Cells:
    """Factors and levels -> values (seeds, users), in order of names. Errors: those of `main_effects`."""
    cells: Cells = {}
    for factors, values in table:
        key = tuple(sorted(factors.items()))
        if key in cells:
            raise BenchbaseError(f"stats.attribution: {dict(key)} stands twice. Expected one row per configuration.")
        cells[key] = stack(values, f"stats.attribution: {dict(key)}")[1]
    names = {tuple(name for name, _ in key) for key in cells}
    users = {values.shape[1] for values in cells.values()}
    if len(names) != 1:
        raise BenchbaseError(f"stats.attribution: rows name the factors {sorted(names)}. Expected the same in each.")
    if len(users) != 1:
        raise BenchbaseError(f"stats.attribution: values over {sorted(users)} users. Expected the same in each row.")
    return {key: cells[key] for key in sorted(cells)}


def levels_of(cells: Iterable[Key], references: Mapping[str, str] | None = None) -> Levels:
    """Each factor's levels in order of names, its reference first. BenchbaseError for a reference that is no level."""
    found: dict[str, set[str]] = {}
    for key in cells:
        for factor, level in key:
            found.setdefault(factor, set()).add(level)
    references = references or {}
    for factor, reference in references.items():
        if reference not in found.get(factor, ()):
            raise BenchbaseError(f"stats.attribution: the reference of {factor} is '{reference}'. Expected one of its "
                                 f"levels: {', '.join(sorted(found.get(factor, ()))) or 'none'}.")
    return {factor: tuple(sorted(found[factor], key=lambda level: (level != references.get(factor), level)))
            for factor in sorted(found)}


def _matched(cells: Cells, changes: Mapping[str, tuple[str, str]]) -> list[list[tuple[Key, int]]]:
    """All sets of configurations that differ by these changes alone, each with its sign in the difference, of
    differences where two factors change.
    """
    found = []
    for key in cells:
        if all((factor, base) in key for factor, (base, _) in changes.items()):
            corners = _corners(key, changes)
            if all(corner in cells for corner, _ in corners):
                found.append(corners)
    return found


def _corners(key: Key, changes: Mapping[str, tuple[str, str]]) -> list[tuple[Key, int]]:
    """The configurations reached by each choice of changes, and their signs."""
    corners = [(key, (-1) ** len(changes))]
    for factor, (_, level) in changes.items():
        corners += [(tuple((name, level if name == factor else value) for name, value in corner), -sign)
                    for corner, sign in corners]
    return corners


def _tested(cells: Cells, matched: Sequence[list[tuple[Key, int]]], level: float) -> tuple[float, float, float]:
    """The mean difference and the ends of its interval; what is rounding, against the values, is 0."""
    parts = [(sign / len(matched), cells[key]) for corners in matched for key, sign in corners]
    found, scale = contrast_test(parts, level), max(float(np.abs(values).max()) for _, values in parts)
    mean, low, high = (each if abs(each) > ROUNDING * scale else 0.0 for each in (found.mean, found.low, found.high))
    return mean, low, high
