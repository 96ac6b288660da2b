"""The plan: every cell with its id, skips with their reasons, and the data it needs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.config import canonical_json, load_suite, run_id
from benchbase.errors import BenchbaseError, ConfigError, DataError, RecordError
from benchbase.registry import Registry
from benchbase.runner import Plan, plan_suite
from benchbase.runner.plan import context_of, plan_of, read_plan, write_plan
from benchbase.specs import Config, ModifierSpec, Needs, RecommenderSpec
from benchbase.testing.world import tiny_data, tiny_log


class Constant:
    """A recommender to which all items are alike."""

    def fit(self, train: Any, context: Any) -> None:
        self.n_items = context.n_items

    def scores(self, histories: Any, times: Any) -> Any:
        return np.zeros((histories.n_rows, self.n_items))


constant = RecommenderSpec(
    name="constant",
    config=Config,
    build=lambda config, context: Constant(),
    source="tests",
    guard=True,
    deterministic=True,
)
needs_pointwise = ModifierSpec(
    name="needs_pointwise",
    config=Config,
    build=lambda config, context: None,
    source="tests",
    sites={"bias"},
    needs=Needs(attention=frozenset({"pointwise"})),
)
timeless = replace(tiny_data, name="timeless", build=lambda config, context: replace(tiny_log(), timestamp=None))


def no_file(config: Any, context: Any) -> Any:
    raise DataError("no.csv: no such file.")


def stumble(config: Any, context: Any) -> Any:
    raise KeyError("boom")


absent = replace(tiny_data, name="absent", build=no_file)
broken = replace(tiny_data, name="broken", build=stumble)
lost = replace(tiny_data, name="lost", files=stumble)


@pytest.fixture
def rich(registry: Registry) -> Registry:
    return registry.with_specs([constant, needs_pointwise, timeless, absent])


def cells(plan: Plan) -> list[tuple[str, str, int, str]]:
    return [(cell.label, cell.dataset, cell.seed, cell.action) for cell in plan.cells]


def test_every_configuration_on_every_data_set_with_every_seed(suite: dict[str, Any], registry: Registry) -> None:
    plan = plan_suite(suite, registry)
    assert cells(plan) == [
        (label, "tiny_data", seed, "run") for label in ("tiny_causal", "tiny_bidirectional") for seed in (1, 2)
    ]
    ours = load_suite(suite, registry)
    for cell in plan.cells:
        assert cell.run_id == run_id(cell.configuration, ours, plan.data["tiny_data"].hash, cell.seed)
    assert len({cell.run_id for cell in plan.cells}) == len(plan.cells)


def test_only_what_is_deterministic_runs_once(suite: dict[str, Any], rich: Registry) -> None:
    rich = rich.with_specs([replace(constant, name="drawn", deterministic=False)])
    found = [cell for cell in cells(plan_suite(suite, rich)) if cell[0] in ("constant", "drawn")]
    assert found == [("constant", "tiny_data", 1, "run"), ("drawn", "tiny_data", 1, "run"),
                     ("drawn", "tiny_data", 2, "run")]


def test_what_does_not_fit_is_skipped_with_the_reason(suite: dict[str, Any], rich: Registry) -> None:
    suite = {
        **suite,
        "guards": False,
        "grid": {"modifiers": [[], ["needs_pointwise"]]},
        "base": {**suite["base"], "backbone": "tiny_causal"},
    }
    plan = plan_suite(suite, rich)
    skipped = [cell for cell in plan.cells if cell.action == "skip"]
    assert [cell.label for cell in skipped] == ["needs_pointwise"] * 2
    assert "needs_pointwise does not fit the softmax attention of tiny_causal" in skipped[0].reason


def test_data_that_no_configuration_can_use(suite: dict[str, Any], rich: Registry) -> None:
    """A split that needs times skips every cell of a data set without them; their ids are as good as any."""
    suite = {**suite, "datasets": ["timeless", "tiny_data"], "protocol": {**suite["protocol"], "split": "global_time"}}
    plan = plan_suite(suite, rich)
    assert {cell.dataset: cell.action for cell in plan.cells} == {"timeless": "skip", "tiny_data": "run"}
    assert "the data set has no timestamps" in plan.cells[0].reason
    assert len({cell.run_id for cell in plan.cells}) == len(plan.cells)


def test_only_selects_cells_and_leaves_the_plan_whole(suite: dict[str, Any], registry: Registry) -> None:
    plan = plan_suite(suite, registry, ["tiny_causal,seed=2", "backbone=tiny_bi*,seed=1"])
    assert [(cell.label, cell.seed) for cell in plan.selected] == [("tiny_causal", 2), ("tiny_bidirectional", 1)]
    assert len(plan.cells) == 4


def test_a_selector_that_selects_nothing(suite: dict[str, Any], registry: Registry) -> None:
    with pytest.raises(
        BenchbaseError, match=r"--only seed=9: selects no run. Expected a selector of some. Labels: tiny_"
    ):
        plan_suite(suite, registry, ["tiny_causal", "seed=9"])


def test_every_data_set_that_fails_is_told(suite: dict[str, Any], rich: Registry) -> None:
    suite = {**suite, "datasets": ["absent", "absent[repeats=last]"]}
    with pytest.raises(DataError) as told:
        plan_suite(suite, rich)
    assert str(told.value) == (
        "dataset absent: no.csv: no such file.\ndataset absent[repeats=last]: no.csv: no such file."
    )


@pytest.mark.parametrize(("spec", "what"), [(broken, "build"), (lost, "files")])
def test_a_data_set_whose_plugin_fails_is_told_with_the_others(
    suite: dict[str, Any], rich: Registry, spec: Any, what: str
) -> None:
    rich = rich.with_specs([spec])
    with pytest.raises(DataError) as told:
        plan_suite({**suite, "datasets": [spec.name, "absent", "tiny_data"]}, rich)
    first, second = str(told.value).split("\n")
    assert first.startswith(f"dataset {spec.name}: {what} of the plugin ")
    assert "failed: KeyError: 'boom' (line " in first and "of runner/test_plan.py, stumble)" in first
    assert second == "dataset absent: no.csv: no such file."
    assert isinstance(told.value.__cause__.__cause__, KeyError)  # type: ignore[union-attr]
    plan = plan_suite({**suite, "datasets": [spec.name, "tiny_data"]}, rich, ["dataset=tiny_data"])
    assert {cell.dataset for cell in plan.cells} == {"tiny_data"}


def test_data_sets_of_one_content_are_refused(suite: dict[str, Any], registry: Registry) -> None:
    twin = replace(tiny_data, name="twin")
    with pytest.raises(ConfigError, match=r"datasets: 'tiny_data' and 'twin' hold the same data \([0-9a-f]{12}\), so "
                                          r"that their runs would be counted twice. Expected each data set once."):
        plan_suite({**suite, "datasets": ["tiny_data", "twin"]}, registry.with_specs([twin]))


def oops(*given: Any) -> Any:
    raise KeyError("oops")


@pytest.mark.parametrize("changes", [
    {"needs": oops}, {"refuse": oops}, {"needs": lambda config: None}, {"refuse": lambda config, context: 7},
])  # fmt: skip
def test_a_broken_guard_costs_nothing_but_its_own_runs(
    suite: dict[str, Any], registry: Registry, changes: dict[str, Any]
) -> None:
    plan = plan_suite(suite, registry.with_specs([replace(constant, **changes)]))
    assert [cell.action for cell in plan.cells] == ["run"] * 5 and plan.cells[-1].label == "constant"


def test_a_data_set_that_fails_matters_only_where_it_is_asked_for(suite: dict[str, Any], rich: Registry) -> None:
    plan = plan_suite({**suite, "datasets": ["absent", "tiny_data"]}, rich, ["dataset=tiny_data"])
    assert {cell.dataset for cell in plan.cells} == {"tiny_data"}


def test_relative_paths_are_looked_up_in_the_suites_folder_then_in_benchbase_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHBASE_DATA", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert context_of(tmp_path).folders == (tmp_path, tmp_path / "a", tmp_path / "b")
    monkeypatch.delenv("BENCHBASE_DATA")
    assert context_of(None, 7).folders == (Path.cwd(),)
    assert context_of(None, 7).seed == 7


def test_the_plan_is_kept(suite: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    plan = plan_suite(suite, registry)
    write_plan(plan, tmp_path)
    kept = plan_of(tmp_path)
    assert canonical_json(kept) == canonical_json(plan.plain())
    assert kept["baseline"] == "tiny_causal"
    assert plan_suite({**suite, "baseline": "tiny_bidirectional"}, registry).plain()["baseline"] == "tiny_bidirectional"


def test_published_figures_stand_in_the_plan_and_change_no_run(
    suite: dict[str, Any], registry: Registry, tmp_path: Path
) -> None:
    figure = {"entry": "tiny_causal", "metric": suite["protocol"]["metrics"][0], "value": 0.1, "source": "a paper"}
    bare, plan = plan_suite(suite, registry), plan_suite({**suite, "published": [figure]}, registry)
    assert [cell.run_id for cell in plan.cells] == [cell.run_id for cell in bare.cells]
    write_plan(plan, tmp_path)
    (kept,) = plan_of(tmp_path)["published"]
    assert {name: value for name, value in kept.items() if name in figure} == figure
    write_plan(bare, tmp_path)
    assert "published" not in plan_of(tmp_path)


def test_a_folder_belongs_to_one_suite(suite: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    write_plan(plan_suite(suite, registry), tmp_path)
    with pytest.raises(RecordError, match=r"holds runs of the suite 'tiny', not of 'other'. Expected a folder of"):
        write_plan(plan_suite({**suite, "suite": "other"}, registry), tmp_path)


def test_runs_on_data_that_is_not_at_hand_stay_in_the_plan(
    suite: dict[str, Any], registry: Registry, tmp_path: Path
) -> None:
    """Elsewhere, or after the files moved: what was finished on them is not forgotten."""
    here = registry.with_specs([replace(tiny_data, name="absent")])
    gone = registry.with_specs([absent])
    suite = {**suite, "datasets": ["absent[min_user_events=8]", "tiny_data"]}
    write_plan(plan_suite(suite, here), tmp_path)
    before = plan_of(tmp_path)
    write_plan(plan_suite(suite, gone, ["dataset=tiny_data"]), tmp_path)
    assert plan_of(tmp_path) == before and len(before["cells"]) == 8
    write_plan(plan_suite(suite, gone, ["dataset=tiny_data"]), tmp_path)
    assert plan_of(tmp_path) == before
    fewer = {**suite, "seeds": [1], "grid": {"backbone": ["tiny_causal"]}}
    write_plan(plan_suite(fewer, gone, ["dataset=tiny_data"]), tmp_path)
    assert [(cell["dataset"], cell["label"], cell["seed"]) for cell in plan_of(tmp_path)["cells"]] == [
        ("absent", "tiny_causal", 1), ("tiny_data", "tiny_causal", 1)
    ]
    other = {**suite, "train": {**suite["train"], "epochs": 4}}  # its runs are others, and these are not known
    write_plan(plan_suite(other, gone, ["dataset=tiny_data"]), tmp_path)
    assert {cell["dataset"] for cell in plan_of(tmp_path)["cells"]} == {"tiny_data"}


@pytest.mark.parametrize("text", ["{", '{"schema": 9}', "[]", '{"schema": 1}', "[" * 100_000])
def test_a_damaged_plan_is_written_anew(
    suite: dict[str, Any], registry: Registry, tmp_path: Path, text: str
) -> None:
    plan = plan_suite(suite, registry)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "plan.json").write_text(text)
    write_plan(plan, tmp_path)
    assert plan_of(tmp_path) == plan.plain()


def test_plans_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    with pytest.raises(RecordError, match=r"no plan.json in it. Expected a folder that `benchbase run` wrote"):
        plan_of(tmp_path)
    for text, message in (
        ("{", "not readable"),
        ('{"schema": 9}', "no plan of schema 1"),
        ('{"schema": 1}', "suite is missing. Expected "),
        ('{"schema": 1, "suite": "s", "baseline": null, "metrics": ["x@1"], "guards": true, '
         '"cells": [{"run_id": "x"}]}',
         "cells.0.run_id is 'x'. Expected "),
    ):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(RecordError, match=message):
            read_plan(tmp_path)
