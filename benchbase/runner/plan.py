"""The plan: every cell of a suite (configuration x data set x seed) with its run id, to run or to skip and why."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Configuration, Part, Suite, canonical_json, parse_selector, run_id
from ..data import prepare
from ..errors import BenchbaseError, ConfigError, DataError, PluginError, RecordError, Refusal
from ..registry import Registry
from ..specs import DataContext, RecommenderSpec, defaults
from .facts import plan_problem, read_json
from .records import SCHEMA, records_folder, write_file

FILE = "plan.json"


@dataclass(frozen=True)
class Data:
    """A data set of the suite: what `assemble` needs of it, or why nothing can use it; `seconds` to open it."""

    label: str
    part: Part
    hash: str
    loaded: Any = None
    refusal: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One run of the suite; `reason` says why it is skipped, and is empty where it runs."""

    run_id: str
    label: str
    dataset: str
    seed: int
    configuration: Configuration
    reason: str = ""
    selected: bool = True

    @property
    def action(self) -> str:
        return "skip" if self.reason else "run"

    @property
    def name(self) -> str:
        return f"{self.label} · {self.dataset} · seed {self.seed}"

    def plain(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "label": self.label, "dataset": self.dataset, "seed": self.seed,
                "action": self.action, "reason": self.reason}


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, in the suite's order, and the data they run on."""

    suite: Suite
    registry: Registry
    cells: tuple[Cell, ...]
    data: Mapping[str, Data] = field(repr=False)

    @property
    def selected(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.selected]

    def plain(self) -> dict[str, Any]:
        """What the plan says to those that see records only: the suite's name, order, baseline, published figures, and
        every cell.
        """
        labels = list(dict.fromkeys(cell.label for cell in self.cells))
        suite = self.suite
        figures = {"published": [defaults(figure) for figure in suite.published]} if suite.published else {}
        return {"schema": SCHEMA, "suite": suite.suite, "baseline": suite.baseline or labels[0], "entries": labels,
                "datasets": suite.dataset_labels, "metrics": list(suite.protocol.metrics), "seeds": list(suite.seeds),
                "guards": suite.guards, "hashes": {label: data.hash for label, data in self.data.items()},
                "cells": [cell.plain() for cell in self.cells], **figures}


def make_plan(suite: Suite, registry: Registry, only: Iterable[str] = ()) -> Plan:
    """Prepare the data and check every cell; nothing is trained. `only`: selectors of the cells that are meant.

    ConfigError and the like for selectors that select nothing, and for data sets that are one and the same; DataError
    for every data set that cannot be used.
    """
    configurations = suite.configurations(registry)
    chosen = _chosen(suite, registry, configurations, only)
    data = _load(suite, registry, chosen)
    _check_distinct(data)
    cells = []
    for label, dataset in data.items():
        for configuration in configurations:
            reason = dataset.refusal or _refusal(configuration, suite, registry, dataset)
            for seed in seeds_of(configuration, suite, registry):
                cells.append(Cell(run_id(configuration, suite, dataset.hash, seed), configuration.label, label, seed,
                                  configuration, reason, (configuration.label, label, seed) in chosen))
    return Plan(suite, registry, tuple(cells), data)


def seeds_of(configuration: Configuration, suite: Suite, registry: Registry) -> Sequence[int]:
    """The seeds to run: what is deterministic runs once, and its one result stands for every seed."""
    return suite.seeds[:1] if is_deterministic(configuration, registry) else suite.seeds


def is_deterministic(configuration: Configuration, registry: Registry) -> bool:
    """Whether no seed moves its results, as its recommender promises."""
    if configuration.recommender is None:
        return False
    spec = registry.get("recommender", configuration.recommender.name)
    return isinstance(spec, RecommenderSpec) and spec.deterministic


def context_of(folder: Path | None, seed: int = 0) -> DataContext:
    """Where data may lie: in the suite's folder (else the current one), then in the folders of BENCHBASE_DATA."""
    listed = filter(None, os.environ.get("BENCHBASE_DATA", "").split(os.pathsep))
    return DataContext(folders=(folder or Path.cwd(), *map(Path, listed)), seed=seed)


def load_one(suite: Suite, registry: Registry, label: str) -> Data:
    """One data set of the suite, by label."""
    from ..assemble import load_data

    part = dict(zip(suite.dataset_labels, suite.datasets, strict=True))[label]
    context, began = context_of(suite.folder, suite.data_seed), time.perf_counter()
    try:
        loaded = load_data(suite, part, registry, context)
    except Refusal as error:
        spec: Any = registry.get("dataset", part.name)
        config: Any = part.config
        return Data(label, part, prepare(spec, config, context).hash, refusal=str(error))
    return Data(label, part, loaded.prepared.hash, loaded, seconds=time.perf_counter() - began)


def write_plan(plan: Plan, out: Path) -> None:
    """Keep the plan beside the records, in place of one that cannot be read too. What an earlier plan says of data sets
    that are not at hand now stays in it, as far as the suite still asks for it. RecordError where the folder holds runs
    of another suite.
    """
    try:
        before = read_plan(out / "runs")
    except RecordError:
        before = None
    if before and before["suite"] != plan.suite.suite:
        raise RecordError(f"{out}: holds runs of the suite '{before['suite']}', not of '{plan.suite.suite}'. "
                          "Expected a folder of one suite. Give another with --out.")
    merged = _with_absent(plan, before) if before else plan.plain()
    write_file(out / "runs" / FILE, (canonical_json(merged) + "\n").encode())


def _with_absent(plan: Plan, before: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as plain data, with the earlier cells of those of its data sets that are not at hand."""
    now, suite = plan.plain(), plan.suite
    hashes = {label: hash_ for label, hash_ in before.get("hashes", {}).items()
              if label in suite.dataset_labels and label not in plan.data and hash_ not in now["hashes"].values()}
    known = {configuration.label: configuration for configuration in suite.configurations(plan.registry)}

    def asked(cell: Mapping[str, Any]) -> bool:
        """Whether the suite still asks for this run: the same configuration, protocol and training."""
        configuration = known.get(cell["label"])
        if configuration is None or cell["seed"] not in seeds_of(configuration, suite, plan.registry):
            return False
        return bool(cell["run_id"] == run_id(configuration, suite, hashes[cell["dataset"]], cell["seed"]))

    kept = [cell for cell in before["cells"] if cell["dataset"] in hashes and asked(cell)]
    order = {label: place for place, label in enumerate(suite.dataset_labels)}
    return {**now, "hashes": {**hashes, **now["hashes"]},
            "cells": sorted([*now["cells"], *kept], key=lambda cell: order[cell["dataset"]])}


def read_plan(folder: Path) -> dict[str, Any] | None:
    """The plan kept in a folder of records, or None. RecordError where it cannot be read."""
    path = folder / FILE
    if not path.exists():
        return None
    anew = "`benchbase run` writes it anew."
    try:
        plan = read_json(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not readable: {error}. Expected a plan. {anew}") from error
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
        raise RecordError(f"{path}: no plan of schema {SCHEMA}. {anew}")
    if problem := plan_problem(plan):
        raise RecordError(f"{path}: {problem} {anew}")
    return plan


def plan_of(out: Path) -> dict[str, Any]:
    """The plan of a folder that was run. RecordError where there is none."""
    plan = read_plan(records_folder(out))
    if plan is None:
        raise RecordError(f"{out}: no {FILE} in it. Expected a folder that `benchbase run` wrote.")
    return plan


def _chosen(suite: Suite, registry: Registry, configurations: Sequence[Configuration],
            only: Iterable[str]) -> set[tuple[str, str, int]]:
    """Label, data set and seed of every cell that some selector means. BenchbaseError where one of them means none."""
    cells = [(configuration, label, part, seed)
             for label, part in zip(suite.dataset_labels, suite.datasets, strict=True)
             for configuration in configurations for seed in seeds_of(configuration, suite, registry)]
    chosen = set()
    for text in tuple(only) or ("*",):
        selector = parse_selector(text)
        meant = {(configuration.label, label, seed) for configuration, label, part, seed in cells
                 if selector.matches(configuration, part, seed)}
        if not meant:
            labels = "; ".join(each.label for each in configurations)  # a label may hold commas
            raise BenchbaseError(f"--only {text}: selects no run. Expected a selector of some. Labels: {labels}.")
        chosen |= meant
    return chosen


def _load(suite: Suite, registry: Registry, chosen: set[tuple[str, str, int]]) -> dict[str, Data]:
    """Every data set; those that fail are told together, and matter only where a chosen cell runs on them."""
    found, problems, causes = {}, [], []
    for label, part in zip(suite.dataset_labels, suite.datasets, strict=True):
        try:
            found[label] = load_one(suite, registry, label)
        except (DataError, PluginError) as error:
            if any(dataset == label for _, dataset, _ in chosen):
                problems.append(f"dataset {part.text}: {str(error).removeprefix(f'dataset {part.name}: ')}")
                causes.append(error)
    if problems:
        raise DataError("\n".join(problems)) from causes[0]
    return found


def _check_distinct(data: Mapping[str, Data]) -> None:
    """Refuse data sets of one content: their runs would be the same ones, and count as several in every test."""
    first: dict[str, str] = {}
    problems = []
    for label, each in data.items():
        if (other := first.setdefault(each.hash, label)) != label:
            problems.append(f"datasets: '{other}' and '{label}' hold the same data ({each.hash[:12]}), so that their "
                            "runs would be counted twice. Expected each data set once. Leave one of them out.")
    if problems:
        raise ConfigError(problems)


def _refusal(configuration: Configuration, suite: Suite, registry: Registry, data: Data) -> str:
    from ..assemble import check

    try:
        check(configuration, suite, registry, data.loaded)
    except Refusal as error:
        return str(error)
    except Exception:  # a part that is broken, no misfit: its run meets the same error, and records it
        return ""
    return ""
