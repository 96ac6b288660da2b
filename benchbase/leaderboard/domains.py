"""The suite's first metric within each domain of the evaluated events, and which differences there are real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..metrics import action_metric
from ..stats import crossed_test, holm, seed_differences
from .load import Entry, paired_values
from .verdicts import verdict


@dataclass(frozen=True)
class Within:
    """An entry in a domain: its mean over users and seeds, and the test against the baseline, if it was compared.

    `p_holm` is corrected over all entries and domains of the data set.
    """

    mean: float
    difference: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def verdict(self) -> str:
        """As for the whole; nothing without a test."""
        if self.p_holm is None or self.difference is None:
            return ""
        return verdict(self.difference, self.p_holm, higher_is_better=True)  # as of every metric of rankings


@dataclass(frozen=True)
class Domains:
    """All entries by domain: `users` and `events` that have targets in each, `tests` made in all."""

    names: tuple[str, ...]
    users: tuple[int, ...]
    events: tuple[int, ...]
    entries: Mapping[str, tuple[Within, ...]]
    tests: int


def domains_of(entries: Sequence[Entry], metric: str, baseline: str | None, level: float) -> Domains | None:
    """What the records of a data set's entries say; None for actions, and where targets are of fewer than two domains.

    Errors: `BenchbaseError` for entries evaluated on different users.
    """
    records = [record for entry in entries for record in entry.good]
    names = records[0].facts["data"].get("card", {}).get("domains", ()) if records else ()
    if action_metric(metric) is not None or len(names) < 2:
        return None
    counts = {code: entries[0].targets(code) for code in range(len(names))}
    found = {code: count for code, count in counts.items() if count[1]}
    if len(found) < 2:
        return None
    columns = [_column(entries, metric, code, baseline, level) for code in found]
    tested = [within.p for column in columns for within in column.values() if within.p is not None]
    corrected = iter(holm(tested).tolist() if tested else [])
    columns = [{label: replace(each, p_holm=next(corrected)) if each.p is not None else each
                for label, each in column.items()} for column in columns]
    return Domains(
        tuple(names[code] for code in found), tuple(users for users, _ in found.values()),
        tuple(events for _, events in found.values()),
        {entry.label: tuple(column[entry.label] for column in columns) for entry in entries}, len(tested),
    )


def _column(entries: Sequence[Entry], metric: str, code: int, baseline: str | None, level: float) -> dict[str, Within]:
    values, column = paired_values(entries, metric, code), {}
    for label, each in values.items():
        mean = float(each.mean())
        if baseline not in values or label == baseline or each.shape[1] < 2:
            column[label] = Within(mean)
            continue
        test = crossed_test(seed_differences(each, values[str(baseline)]), level)
        column[label] = Within(mean, test.mean, test.p)
    return column
