"""Figures that a record holds beside its metrics, all under one prefix: of each entry, beside chance, and whether
accuracy goes with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..metrics import higher_is_better
from ..runner.records import Record
from ..stats import Interval, rank_correlation
from .load import Entry

FEWEST = 5
"""Runs that a correlation is told of, at least."""

PROBE = "probe_auc"
"""What the area under the curve of a fresh probe is called, of each of what users are grouped by."""


@dataclass(frozen=True)
class Figures:
    """An entry's figures: the mean over its seeds, the least and the greatest."""

    label: str
    figures: Mapping[str, Interval]


@dataclass(frozen=True)
class Measured:
    """All entries that have such figures, what some would be by chance, and Spearman's rank correlation over all runs
    of each figure with the suite's first metric.
    """

    names: tuple[str, ...]
    entries: tuple[Figures, ...]
    chance: Mapping[str, float]
    agreement: Mapping[str, float]


def measured(entries: Sequence[Entry], prefix: str, metric: str) -> Measured | None:
    """What the records of a data set's entries say under a prefix, or None where they say nothing."""
    found = [(entry, [_figures(record, prefix) for record in entry.good]) for entry in entries]
    names = sorted({name for _, runs in found for run in runs for name in run})
    if not names:
        return None
    records = [record for entry in entries for record in entry.good]
    each = tuple(Figures(entry.label, _means(runs, names)) for entry, runs in found if any(runs))
    chance = {name: fmean(known) for name in names if (known := _chances(records, prefix, name))}
    return Measured(tuple(names), each, chance, _agreement(records, names, prefix, metric))


def told_of(found: Measured | None) -> dict[str, dict[str, float]]:
    """What a fresh probe tells of each entry by label, by what users are grouped by; where two entries differ in it."""
    told: dict[str, dict[str, float]] = {}
    for each in found.entries if found else ():
        for name, figure in each.figures.items():
            column, _, what = name.rpartition(".")
            if what == PROBE:
                told.setdefault(column, {})[each.label] = figure.point
    return {column: figures for column, figures in told.items() if len(set(figures.values())) > 1}


def forgotten_of(found: Measured | None, metric: str) -> dict[str, float]:
    """By how much each entry, by label, is worse on what is retained after the stream; where two differ in it."""
    sign, lost = 1 if higher_is_better(metric) else -1, {}
    for each in found.entries if found else ():
        before, after = (each.figures.get(f"retained_{when}.{metric}") for when in ("before", "after"))
        if before is not None and after is not None:
            lost[each.label] = sign * (before.point - after.point)
    return lost if len(set(lost.values())) > 1 else {}


def _figures(record: Record, prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in record.facts["metrics"].items()
            if name.startswith(prefix) and value is not None}


def _chances(records: Sequence[Record], prefix: str, name: str) -> list[float]:
    """What a figure would be by chance; the truth's stand under their bare names."""
    told = [record.facts["evaluation"].get("by_chance", {}) for record in records]
    return [each.get(prefix + name, each.get(name)) for each in told if prefix + name in each or name in each]


def _means(runs: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, Interval]:
    known = {name: [run[name] for run in runs if name in run] for name in names}
    return {name: Interval(fmean(each), min(each), max(each)) for name, each in known.items() if each}


def _agreement(records: Sequence[Record], names: Sequence[str], prefix: str, metric: str) -> dict[str, float]:
    """Of the runs whose record has both figures; none where all runs are level."""
    found = {}
    for name in names:
        pairs = [(record.facts["metrics"].get(metric), _figures(record, prefix).get(name)) for record in records]
        known = [(one, two) for one, two in pairs if one is not None and two is not None]
        if len(known) >= FEWEST and (agreement := rank_correlation(*zip(*known, strict=True))) is not None:
            found[name] = agreement
    return found
