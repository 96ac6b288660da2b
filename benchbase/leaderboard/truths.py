"""What the truth behind a generated data set says of each entry, beside chance, and whether accuracy goes with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..runner.measures import TRUTH
from ..runner.records import Record
from ..stats import Interval, rank_correlation
from .load import Entry

FEWEST = 5
"""Runs that a correlation is told of, at least."""


@dataclass(frozen=True)
class Judged:
    """An entry's figures: the mean over its seeds, the least and the greatest."""

    label: str
    figures: Mapping[str, Interval]


@dataclass(frozen=True)
class Truths:
    """All entries that have such figures, what some would be by chance, and Spearman's rank correlation over all runs
    of each figure with the suite's first metric.
    """

    names: tuple[str, ...]
    entries: tuple[Judged, ...]
    chance: Mapping[str, float]
    agreement: Mapping[str, float]


def truths_of(entries: Sequence[Entry], metric: str) -> Truths | None:
    """What the records of a data set's entries say, or None where no truth is known."""
    found = [(entry, [_figures(record) for record in entry.good]) for entry in entries]
    names = sorted({name for _, runs in found for run in runs for name in run})
    if not names:
        return None
    records = [record for entry in entries for record in entry.good]
    judged = tuple(Judged(entry.label, _means(runs, names)) for entry, runs in found if any(runs))
    chances = [record.facts["evaluation"].get("by_chance", {}) for record in records]
    chance = {name: fmean(known) for name in names if (known := [each[name] for each in chances if name in each])}
    return Truths(tuple(names), judged, chance, _agreement(records, names, metric))


def _figures(record: Record) -> dict[str, float]:
    return {name.removeprefix(TRUTH): value for name, value in record.facts["metrics"].items()
            if name.startswith(TRUTH) and value is not None}


def _means(runs: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, Interval]:
    known = {name: [run[name] for run in runs if name in run] for name in names}
    return {name: Interval(fmean(each), min(each), max(each)) for name, each in known.items() if each}


def _agreement(records: Sequence[Record], names: Sequence[str], metric: str) -> dict[str, float]:
    """Of the runs whose record has both figures; none where all runs are level."""
    found = {}
    for name in names:
        pairs = [(record.facts["metrics"].get(metric), _figures(record).get(name)) for record in records]
        known = [(one, two) for one, two in pairs if one is not None and two is not None]
        if len(known) >= FEWEST and (agreement := rank_correlation(*zip(*known, strict=True))) is not None:
            found[name] = agreement
    return found
