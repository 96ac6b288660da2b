"""Tables: entries by metrics with intervals, and which differences from the baseline are real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BenchbaseError, nearest
from ..metrics import higher_is_better
from ..runner.measures import GROUPS, LISTS, STREAM, TRUTH
from ..stats import (
    Interval,
    crossed_test,
    effect_size,
    holm,
    rank_intervals,
    seed_differences,
    wins_ties_losses,
)
from ..stats.bootstrap import percentiles, resampled_means
from . import notes
from .across import Across, across_of
from .attribution import Attribution, attribute
from .curves import Curve, curves_of
from .domains import Domains, domains_of
from .explained import Explanations, explanations_of
from .figures import Figure, figures_of
from .load import Entry, Folder, load_folder, paired_values
from .measured import Measured, measured
from .verdicts import verdict

LEVEL = 0.95
RESAMPLES = 2000
TIED = 1e-12
"""Means closer than this are level."""


@dataclass(frozen=True)
class Versus:
    """An entry less the baseline on the suite's first metric.

    `p`: of the test over users and seeds (`stats.crossed_test`), which `low` and `high` invert, and `p_holm` corrected
    for the family; `effect_size`: Cohen's d_z; `detectable`: the smallest true difference found four times in five.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect_size: float
    detectable: float
    wins: int
    ties: int
    losses: int
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """Better or worse only where the corrected test says so."""
        return verdict(self.difference, self.p_holm, self.higher_is_better)


@dataclass(frozen=True)
class Row:
    """An entry: in `best` no other is better, and it is not under-trained; `flags` qualify, `reasons` explain gaps."""

    label: str
    status: str
    seeds: tuple[int, ...]
    metrics: Mapping[str, Interval]
    best: frozenset[str]
    rank: Interval | None
    versus: Versus | None
    cost: Mapping[str, Any]
    flags: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """All entries on one data set, the best first, then those without a result; which part earned the gains, where
    several share a part, published figures, learning curves, what the truth behind the data says, domains, the
    attention that crosses them, what the lists hold, what they are for groups of users, how a stream went, and what
    explainers said.
    """

    dataset: str
    users: int
    card: str
    protocol: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    attribution: Attribution | None = None
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    truths: Measured | None = None
    domains: Domains | None = None
    across: Across | None = None
    lists: Measured | None = None
    groups: Measured | None = None
    stream: Measured | None = None
    explanations: Explanations | None = None


@dataclass(frozen=True)
class Leaderboard:
    """What a folder of records says."""

    suite: str
    metrics: tuple[str, ...]
    baseline: str | None
    family: int
    statuses: Mapping[str, int]
    seconds: float
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def make_leaderboard(folder: str | Path | Folder, baseline: str | None = None) -> Leaderboard:
    """The leaderboard of a folder of records; `baseline` replaces the suite's. Errors: `BenchbaseError` for an unknown
    baseline, for entries evaluated on different users, and where the folder holds no records.
    """
    folder = folder if isinstance(folder, Folder) else load_folder(folder)
    chosen = baseline or folder.baseline
    if chosen is not None and chosen not in folder.labels:
        raise BenchbaseError(f"baseline: no entry is called '{chosen}'. {nearest(chosen, folder.labels, 'Entries')}")
    tables = [_table(folder, dataset, chosen) for dataset in folder.datasets]
    tables = _corrected(tables)
    return Leaderboard(
        folder.suite, folder.metrics, chosen, len(_tests(tables)), notes.statuses(folder),
        notes.seconds(folder), tuple(tables), tuple(notes.of_folder(folder)),
    )


def _table(folder: Folder, dataset: str, baseline: str | None) -> Table:
    entries, metrics = folder.of(dataset), folder.metrics
    good = [entry for entry in entries if entry.good]
    values = {metric: paired_values(good, metric) for metric in metrics}
    users = next(iter(values[metrics[0]].values())).shape[1] if good and metrics else 0
    rows = _rows(good, values, baseline) if users else []
    missing = [_missing(entry) for entry in entries if not entry.good]
    ordered = sorted(rows, key=lambda row: (_cost(metrics[0], row.metrics[metrics[0]].point), row.label))
    records = [record for entry in good for record in entry.good]
    gains = {label: -_cost(metrics[0], each) for label, each in values[metrics[0]].items()} if users else {}
    earned = attribute(good, gains, baseline, LEVEL, RESAMPLES) if users else None
    late = {entry.label for entry in good if notes.under_trained(entry)}
    figures = figures_of(folder, dataset, {row.label: row.metrics for row in rows}, late)
    found = (*notes.of_table(folder, dataset, entries, baseline), *(earned.notes if earned else ()))
    return Table(dataset, users, notes.card(records), notes.protocol(records), (*ordered, *missing), found, earned,
                 tuple(figures), tuple(curves_of(good, metrics[0])) if users else (),
                 truths=measured(good, TRUTH, metrics[0]) if users else None,
                 domains=domains_of(good, metrics[0], baseline, LEVEL) if users else None,
                 across=across_of(good, metrics[0], baseline) if users else None,
                 lists=measured(good, LISTS, metrics[0]) if users else None,
                 groups=measured(good, GROUPS, metrics[0]) if users else None,
                 stream=measured(good, STREAM, metrics[0]) if users else None,
                 explanations=explanations_of(good) if users else None)


def _rows(entries: Sequence[Entry], values: Mapping[str, Mapping[str, NDArray[np.float64]]],
          baseline: str | None) -> list[Row]:
    metrics, labels = list(values), [entry.label for entry in entries]
    drawn = _drawn(values)
    ranks = rank_intervals(values[metrics[0]], LEVEL, RESAMPLES, higher_is_better=higher_is_better(metrics[0]))
    points = {metric: {label: float(values[metric][label].mean()) for label in labels} for metric in metrics}
    least = {metric: min(_cost(metric, point) for point in points[metric].values()) for metric in metrics}
    rows = []
    for entry in entries:
        label = entry.label
        intervals = {metric: Interval(points[metric][label], *percentiles(drawn[metric, label], LEVEL))
                     for metric in metrics}
        best = {metric for metric in metrics if not notes.under_trained(entry)
                and _cost(metric, points[metric][label]) <= least[metric] + TIED}
        versus = None
        if baseline in labels and label != baseline:
            versus = _versus(values[metrics[0]], label, str(baseline), higher_is_better(metrics[0]))
        seeds = tuple(record.facts["seed"] for record in entry.good)
        rows.append(Row(label, "ok", seeds, intervals, frozenset(best), ranks[label], versus, notes.cost(entry),
                        tuple(notes.flags(entry)), tuple(notes.reasons(entry))))
    return rows


def _drawn(values: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Means over users and seeds drawn anew, the same ones for every entry and metric: (metric, label) -> (draws,)."""
    keys = [(metric, label) for metric, by_label in values.items() for label in by_label]
    means = resampled_means([values[metric][label] for metric, label in keys], RESAMPLES, 0)
    return {key: means[:, place] for place, key in enumerate(keys)}


def _cost(metric: str, value: Any) -> Any:
    """A value, or an array of them, so that less is better."""
    return -value if higher_is_better(metric) else value


def _versus(values: Mapping[str, NDArray[np.float64]], label: str, baseline: str, higher: bool) -> Versus | None:
    """The comparison of one entry with the baseline, not yet corrected; None where there are no two users."""
    differences = seed_differences(values[label], values[baseline])
    if differences.shape[1] < 2:
        return None
    test, users = crossed_test(differences, LEVEL), differences.mean(0)
    return Versus(test.mean, test.low, test.high, test.p, test.p, effect_size(users), test.detectable,
                  *wins_ties_losses(users if higher else -users), higher)


def _tests(tables: Sequence[Table]) -> list[Versus]:
    return [row.versus for table in tables for row in table.rows if row.versus]


def _corrected(tables: Sequence[Table]) -> list[Table]:
    """The tables with Holm's correction over all their tests against the baseline."""
    tests = _tests(tables)
    adjusted = iter(holm([test.p for test in tests]).tolist() if tests else [])
    return [replace(table, rows=tuple(
        replace(row, versus=replace(row.versus, p_holm=next(adjusted))) if row.versus else row for row in table.rows
    )) for table in tables]


def _missing(entry: Entry) -> Row:
    """The row of an entry without any result: the worst that became of its runs, and why."""
    order = ("failed", "diverged", "timeout", "damaged", "pending", "skipped")
    status = min((run.status for run in entry.runs), key=order.index)
    return Row(entry.label, status, (), {}, frozenset(), None, None, {}, (), tuple(notes.reasons(entry)))
