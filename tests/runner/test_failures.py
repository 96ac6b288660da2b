"""What plugins, data and machines do wrong while a suite runs: rows with a reason, and nothing else is lost."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase import evaluate, train
from benchbase.errors import BenchbaseError, DataError, RunError
from benchbase.registry import Registry
from benchbase.runner import Cell, Silent, Step, read_record, run
from benchbase.runner.desk import Desk
from benchbase.runner.many import plan_suite
from benchbase.specs import Config, ModifierSpec, RecommenderSpec
from benchbase.testing.world import tiny_data


class Constant:
    """A recommender to which all items are alike."""

    def fit(self, train: Any, context: Any) -> None:
        self.n_items = context.n_items

    def scores(self, histories: Any, times: Any) -> Any:
        return np.zeros((histories.n_rows, self.n_items))


class Steps(Silent):
    """Remembers the epochs it hears of; `on_step` may raise."""

    def __init__(self, on_step: Callable[[Step], None] | None = None):
        self.epochs: list[int] = []
        self.on_step = on_step

    def step(self, cell: Cell, step: Step) -> None:
        self.epochs.append(step.epoch)
        if self.on_step:
            self.on_step(step)


def reasons(out: Path) -> dict[str, tuple[str, str, str]]:
    """Label -> status, reason and traceback."""
    found = {}
    for path in (out / "runs").iterdir():
        if path.is_dir():
            facts = read_record(path).facts
            found[facts["configuration"]["label"]] = facts["status"], facts["reason"], facts.get("traceback", "")
    return found


def oops(*given: Any) -> Any:
    raise KeyError("oops")


@pytest.mark.parametrize(("changes", "told"), [
    ({"needs": oops}, "needs failed: KeyError: 'oops'. Expected an answer, not an error. Mend the plugin."),
    ({"refuse": oops}, "refuse failed: KeyError: 'oops'. Expected an answer, not an error. Mend the plugin."),
    ({"needs": lambda config: None}, "needs failed: RecommenderSpec 'wild': needs is None. Expected benchbase.Needs"),
    ({"refuse": lambda config, context: 7}, "refuse returned 7. Expected the reason as text, or None."),
])  # fmt: skip
def test_a_part_that_cannot_say_what_it_fits_fails_alone(
    one: dict[str, Any], registry: Registry, out: Path, changes: dict[str, Any], told: str
) -> None:
    guard = RecommenderSpec(name="wild", config=Config, build=oops, source="tests", guard=True, deterministic=True)
    ended = run(one, out, registry=registry.with_specs([replace(guard, **changes)], "benchbase-wild"))
    assert ended.statuses == {"failed": 1, "ok": 1}
    status, reason, traced = reasons(out)["wild"]
    assert status == "failed" and reason.startswith(f"recommender wild of benchbase-wild: {told}")
    assert ("oops" in traced) is ("KeyError" in told)


def test_a_modifier_whose_sites_are_wrong_fails_alone(one: dict[str, Any], registry: Registry, out: Path) -> None:
    wild = ModifierSpec(name="wild", config=Config, build=oops, source="tests", sites=lambda config: None)
    entries = {"entries": [{"label": "wild", "backbone": "tiny_causal", "modifiers": ["wild"]}]}
    ended = run({**one, **entries}, out, registry=registry.with_specs([wild], "benchbase-wild"))
    assert ended.statuses == {"failed": 1, "ok": 1}
    assert reasons(out)["wild"][1].startswith("modifier wild of benchbase-wild: sites failed: ModifierSpec 'wild': "
                                              "sites is None. Expected a set of names.")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(("error", "status", "reason"), [
    (ValueError("bad \ud800 text"), "failed", "ValueError: bad \\ud800 text"),
    (BenchbaseError("bad \ud800 text."), "failed", "bad \\ud800 text."),
    (Mute(), "failed", "Mute: its message cannot be shown (RuntimeError)"),
    (RunError("mine.", status="ok"), "failed",
     "mine. (the error's status is 'ok'. Expected failed, diverged, timeout.)"),
    (RunError("mine.", status="weird"), "failed",
     "mine. (the error's status is 'weird'. Expected failed, diverged, timeout.)"),
])  # fmt: skip
def test_no_error_of_a_plugin_ends_the_suite(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str,
    reason: str,
) -> None:
    def fail(*given: Any) -> Any:
        raise error

    monkeypatch.setattr(train, "fit", fail)
    assert run(one, out, registry=registry).statuses == {status: 1}
    assert reasons(out)["tiny_causal"][:2] == (status, reason)
    assert run(one, out, registry=registry).statuses == {status: 1}  # a record that stands, not one that is damaged


def test_a_result_that_no_file_can_hold_is_a_failure(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = train.fit

    def odd(*given: Any) -> Any:
        return replace(fit(*given), curve=[(1, "train.\ud800", 0.5)])

    monkeypatch.setattr(train, "fit", odd)
    assert run(one, out, registry=registry).statuses == {"failed": 1}
    assert reasons(out)["tiny_causal"][1].startswith("UnicodeEncodeError")


def test_data_that_changed_since_the_plan_is_refused(one: dict[str, Any], registry: Registry, out: Path) -> None:
    """A worker opens the data itself: a file edited meanwhile must not stand under the id of what it was."""
    plan = plan_suite(one, registry)
    (cell,) = plan.selected
    # the same name and parameters, another content
    other = registry_with(registry, replace(tiny_data, build=lambda config, context: shorter()))
    desk = Desk(plan.suite, other, out, Silent())
    changed = r"dataset tiny_data: its content changed since the plan was made, it is now [0-9a-f]{12}. Expected files"
    with pytest.raises(DataError, match=changed):
        desk.attempt(cell, None)
    with pytest.raises(DataError, match=changed):
        desk.bury(cell, "its process was ended.")
    assert not (out / "runs" / cell.run_id).exists()


def registry_with(registry: Registry, spec: Any) -> Registry:
    kept = [offer.spec for offer in registry.offers() if offer.spec.name != spec.name]
    return Registry.of([*kept, spec])


def shorter() -> Any:
    from benchbase.testing.world import tiny_log

    return tiny_log(seed=1)


def held_back(out: Path) -> list[str]:
    """The checkpoints that are kept."""
    return sorted(path.name for path in (out / "checkpoints").glob("*/*"))


def failing(error: Exception) -> Callable[..., Any]:
    """An assessment that fails once all is learned."""
    assess = evaluate.assess

    def fail(experiment: Any, part: str, *given: Any) -> Any:
        if part == "test":
            raise error
        return assess(experiment, part, *given)

    return fail


@pytest.mark.parametrize("error", [
    MemoryError(), OSError(errno.EMFILE, "Too many open files"), RunError("over.", "timeout")
])  # fmt: skip
def test_a_failure_at_the_end_keeps_what_was_learned(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "assess", failing(error))
        run(one, out, registry=registry)
        assert held_back(out) == ["epoch-000003"]
    ear = Steps()
    assert run(one, out, registry=registry, retry=True, listener=ear).statuses == {"ok": 1}
    assert ear.epochs == [] and held_back(out) == []  # nothing was trained again, and nothing stays


def test_a_checkpoint_that_brought_a_try_no_further_is_given_up(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the cause itself, and a time limit that is spent stays spent: the next try begins anew."""
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "assess", failing(MemoryError()))
        run(one, out, registry=registry)
        assert held_back(out) == ["epoch-000003"]
        run(one, out, registry=registry, retry=True)
        assert held_back(out) == []
    ear = Steps()
    assert run(one, out, registry=registry, retry=True, listener=ear).statuses == {"ok": 1}
    assert ear.epochs == [1, 2, 3]


def test_a_run_that_diverged_keeps_no_checkpoint(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = train.fit

    def diverge(*given: Any) -> Any:
        fit(*given)
        raise RunError("the loss is nan.", "diverged")

    monkeypatch.setattr(train, "fit", diverge)
    assert run(one, out, registry=registry).statuses == {"diverged": 1}
    assert held_back(out) == []
