"""Records read: a folder as the entries of a leaderboard, or as a data frame with one row per run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import Published, canonical_json
from ..errors import RecordError
from ..metrics import action_metric
from ..runner.check import check_tables
from ..runner.measures import user_values
from ..runner.plan import read_plan
from ..runner.publish import shown_events, shown_users
from ..runner.records import Record, read_all, records_folder
from ..stats.nested import same_users, stack

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Run:
    """One cell: its record, or why there is none that can be used."""

    label: str
    dataset: str
    seed: int
    run_id: str
    record: Record | None = None
    problem: str = ""

    @property
    def status(self) -> str:
        return self.record.status if self.record else "damaged" if self.problem else "pending"

    @property
    def reason(self) -> str:
        return str(self.record.facts["reason"]) if self.record else self.problem


@dataclass(frozen=True)
class Entry:
    """One configuration on one data set: all its seeds."""

    label: str
    dataset: str
    runs: tuple[Run, ...]

    @cached_property
    def good(self) -> tuple[Record, ...]:
        """The records that hold results, by seed."""
        return tuple(run.record for run in self.runs if run.record and run.status == "ok")

    @property
    def deterministic(self) -> bool:
        """Whether no seed moves its results, so that its one run stands for every seed."""
        return any(record.facts.get("deterministic", "recommender" in record.facts["configuration"])
                   for record in self.good)

    def values(self, metric: str, domain: int | None = None) -> dict[int, tuple[NDArray[Any], NDArray[Any]]]:
        """Seed -> users and their values, of a ranking metric perhaps over the events of one domain alone."""
        if action_metric(metric) is None:
            return {record.facts["seed"]: user_values(self._targets(record, domain), metric) for record in self.good}
        found = {}
        for record in self.good:
            table = self._users[record.run_id]
            own = table["metric"] == metric
            found[record.facts["seed"]] = table["user"][own], table["value"][own]
        return found

    def targets(self, domain: int) -> tuple[int, int]:
        """How many users have targets in a domain, and how many events that are."""
        events = self._targets(self.good[0], domain)
        return len(set(events["user"].tolist())), len(events["user"])

    def _targets(self, record: Record, domain: int | None) -> Mapping[str, NDArray[Any]]:
        events = self._events[record.run_id]
        if domain is None:
            return events
        own = events["domain"] == domain
        return {name: values[own] for name, values in events.items()}

    @cached_property
    def events(self) -> Mapping[int, dict[str, NDArray[Any]]]:
        """Seed -> the counts of its evaluated events, in the same order in all entries."""
        return {record.facts["seed"]: self._events[record.run_id] for record in self.good}

    @cached_property
    def across(self) -> Mapping[int, NDArray[np.float32]]:
        """Seed -> the share of attention that crosses domains before each of these events, of runs that tell it."""
        return {record.facts["seed"]: shown_events(record, "across.parquet")["across"] for record in self.good
                if "across.parquet" in record.facts["files"]}

    @cached_property
    def _users(self) -> Mapping[str, dict[str, NDArray[Any]]]:
        return {record.run_id: shown_users(record) for record in self.good}

    @cached_property
    def _events(self) -> Mapping[str, dict[str, NDArray[Any]]]:
        return {record.run_id: shown_events(record) for record in self.good}


def paired_values(entries: Sequence[Entry], metric: str, domain: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Label -> (seeds, users), users in one order. Entries over different users are a BenchbaseError naming both."""
    found: dict[str, NDArray[np.float64]] = {}
    first: tuple[str, NDArray[Any]] | None = None
    for entry in entries:
        users, values = stack(entry.values(metric, domain), f"leaderboard: '{entry.label}' on {entry.dataset}")
        first = first or (entry.label, users)
        same_users(f"leaderboard: '{first[0]}' and '{entry.label}' on {entry.dataset}", first[1], users)
        found[entry.label] = values
    return found


@dataclass(frozen=True)
class Folder:
    """Everything that a leaderboard is made of; `extra` are records that the plan does not name, `published` the
    figures from elsewhere that it holds.
    """

    path: Path
    suite: str
    baseline: str | None
    metrics: tuple[str, ...]
    guards: bool
    entries: tuple[Entry, ...]
    extra: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)
    published: tuple[Published, ...] = ()

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(entry.dataset for entry in self.entries))

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(entry.label for entry in self.entries))

    @property
    def records(self) -> list[Record]:
        return [run.record for entry in self.entries for run in entry.runs if run.record]

    def of(self, dataset: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.dataset == dataset]


def load_folder(folder: str | Path) -> Folder:
    """The entries of a folder of records, in the plan's order if there is a plan. RecordError where it holds none."""
    path = Path(folder)
    place = records_folder(path)
    found = {run_id: _checked(each) for run_id, each in read_all(place)}
    plan = read_plan(place)
    if not found and plan is None:
        raise RecordError(f"{path}: no records in it. Expected a folder that `benchbase run` or `benchbase report "
                          "--publish` wrote.")
    damaged = {run_id: str(each).replace(f"{place}/", "") for run_id, each in found.items()
               if isinstance(each, RecordError)}
    records = {run_id: each for run_id, each in found.items() if isinstance(each, Record)}
    runs = list(_planned(plan, records, damaged) if plan else _found(path, records))
    _check_one_protocol(path, runs)
    facts = [record.facts for record in records.values()]
    return Folder(
        path,
        plan["suite"] if plan else " + ".join(sorted({str(each.get("suite", "")) for each in facts})),
        plan["baseline"] if plan else None,
        tuple(plan["metrics"]) if plan else tuple(facts[0]["protocol"]["metrics"]) if facts else (),
        bool(plan["guards"]) if plan else True,
        tuple(_entries(runs)),
        tuple(sorted(records.keys() - {run.run_id for run in runs})),
        damaged,
        tuple(map(Published.model_validate, plan.get("published", ()))) if plan else (),
    )


def _checked(record: Record | RecordError) -> Record | RecordError:
    """The record, or what is wrong with the tables that figures are made of."""
    if isinstance(record, Record):
        try:
            check_tables(record)
        except RecordError as error:
            return error
    return record


def _planned(plan: Mapping[str, Any], records: Mapping[str, Record], damaged: Mapping[str, str]) -> Iterator[Run]:
    for cell in plan["cells"]:
        run_id = cell["run_id"]
        yield Run(cell["label"], cell["dataset"], cell["seed"], run_id, records.get(run_id), damaged.get(run_id, ""))


def _found(path: Path, records: Mapping[str, Record]) -> Iterator[Run]:
    """Runs without a plan: each is what its record calls it."""
    known: dict[tuple[str, str, int], str] = {}
    for run_id, record in records.items():
        facts = record.facts
        key = (facts["configuration"]["label"], facts["data"]["dataset"], facts["seed"])
        if key in known:
            raise RecordError(f"{path}: the records {known[key]} and {run_id} are both '{key[0]}' on {key[1]}, seed "
                              f"{key[2]}. Expected one of them, or the plan.json of the suite that names one.")
        known[key] = run_id
        yield Run(*key, run_id, record)


def _entries(runs: list[Run]) -> Iterator[Entry]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.label), []).append(run)
    for (dataset, label), group in groups.items():
        yield Entry(label, dataset, tuple(sorted(group, key=lambda run: run.seed)))


def _check_one_protocol(path: Path, runs: list[Run]) -> None:
    """Results are compared under one protocol and on one version of the data."""
    first: dict[str, Run] = {}
    for run in runs:
        if run.record is None:
            continue
        other = first.setdefault(run.dataset, run)
        assert other.record is not None
        for what, ours, theirs in (
            ("protocols", run.record.facts["protocol"], other.record.facts["protocol"]),
            ("versions of the data", run.record.facts["data"]["hash"], other.record.facts["data"]["hash"]),
        ):
            if canonical_json(ours) != canonical_json(theirs):
                raise RecordError(f"{path}: '{other.label}' ({other.run_id}) and '{run.label}' ({run.run_id}) on "
                                  f"{run.dataset} come from different {what}. Expected one. Run both under one suite.")


def load_records(folder: str | Path) -> "DataFrame":
    """One row per run: label, dataset, seed, status, reason, run_id, the metrics by name, and what is nested in its
    record as `cost.train_seconds`, `configuration.backbone`, ...

    Runs of the plan without a record are `pending`; those whose record cannot be trusted are `damaged`. Errors:
    `RecordError` where the folder holds no records.
    """
    import pandas

    rows = []
    for entry in load_folder(folder).entries:
        for run in entry.runs:
            facts = run.record.facts if run.record else {}
            row = {"label": run.label, "dataset": run.dataset, "seed": run.seed, "status": run.status,
                   "reason": run.reason, "run_id": run.run_id, "code": facts.get("code")}
            metrics = {name: value for name, value in facts.get("metrics", {}).items() if name not in row}
            rows.append({**row, **metrics, **_flat(facts)})
    return pandas.DataFrame(rows)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a table can hold of the nested facts: numbers and text as they are, parts as canonical JSON."""
    flat = {}
    for group in ("cost", "training", "evaluation", "configuration", "environment"):
        for name, value in facts.get(group, {}).items():
            if (group, name) not in (("configuration", "label"), ("environment", "sources")):
                plain = value is None or isinstance(value, (str, int, float, bool))
                flat[f"{group}.{name}"] = value if plain else canonical_json(value)
    return flat
