"""Runs from end to end on tiny parts: what is kept, what is run again, what an interruption costs, how they fail."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

import benchbase
from benchbase import train
from benchbase.errors import BenchbaseError, RecordError, RunError
from benchbase.registry import Registry
from benchbase.runner import Cell, Result, Silent, Step, provenance, read_record, run
from benchbase.runner.desk import Desk
from benchbase.runner.locks import held
from benchbase.runner.many import plan_suite
from benchbase.runner.records import UnknownSchema

STABLE = ("events.parquet", "topk.parquet", "curve.parquet")


class Ear(Silent):
    """Remembers what it hears; `on_step` may raise."""

    def __init__(self, on_step: Callable[[Cell, Step], None] | None = None):
        self.began: list[str] = []
        self.ended: list[Mapping[str, Any]] = []
        self.notes: list[str] = []
        self.steps: list[Step] = []
        self.on_step = on_step

    def note(self, text: str) -> None:
        self.notes.append(text)

    def started(self, cell: Cell) -> None:
        self.began.append(cell.run_id)

    def step(self, cell: Cell, step: Step) -> None:
        self.steps.append(step)
        if self.on_step:
            self.on_step(cell, step)

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        self.ended.append(facts)


def go(suite: Any, out: Path, registry: Registry, **options: Any) -> tuple[Result, Ear]:
    ear = options.pop("ear", None) or Ear()
    return run(suite, out, registry=registry, listener=ear, **options), ear


def only_record(out: Path) -> Any:
    (folder,) = (path for path in (out / "runs").iterdir() if path.is_dir())
    return read_record(folder)


def files(out: Path) -> dict[str, bytes]:
    """What must not depend on interruptions or workers."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in sorted((out / "runs").glob("*/*"))
        if path.name in STABLE
    }


def test_a_suite_runs_and_its_records_say_all(suite: dict[str, Any], registry: Registry, out: Path) -> None:
    result, ear = go(suite, out, registry)
    assert result.statuses == {"ok": 4}
    assert result.good
    assert str(result) == f"tiny: 4 ok in {out}"
    assert len(ear.steps) == 12
    record = read_record(out / "runs" / ear.began[0])
    facts = record.facts
    assert facts["configuration"]["label"] == "tiny_causal"
    lists = {f"lists.{name}@5" for name in ("coverage", "novelty", "lift", "diversity.genre")}
    assert set(facts["metrics"]) == {"ndcg@5", "recall@5", "valid.ndcg@5", "valid.recall@5", *lists}
    assert facts["train"]["epochs"] == 3 and facts["protocol"]["window"] == 8
    assert facts["data"]["n_users"] == 24 and "leave_one_out" in facts["data"]["card"]["splits"]
    assert facts["cost"]["parameters"] > 0 and facts["cost"]["train_seconds"] > 0
    assert facts["environment"]["threads"] == 1 and facts["environment"]["libraries"]["torch"]
    assert facts["training"]["epochs"] == 3 and facts["route"]
    assert len(record.table("events.parquet")["user"]) == 24
    assert len(record.table("topk.parquet")["items"][0]) == 5
    assert not list((out / "checkpoints").iterdir())


def test_no_machine_path_stands_in_a_record(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    text = (only_record(out).folder / "record.json").read_text()
    assert str(Path(benchbase.__file__).parent) not in text
    assert str(out) not in text


def test_what_is_finished_is_not_run_again(suite: dict[str, Any], registry: Registry, out: Path) -> None:
    go({**suite, "seeds": [1]}, out, registry)
    before = files(out)
    result, ear = go(suite, out, registry)
    assert len(ear.began) == 2  # the new seed only
    assert result.statuses == {"ok": 4}
    assert before.items() <= files(out).items()


def test_the_same_suite_twice_gives_the_same_bytes(suite: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    go(suite, tmp_path / "a", registry)
    go(suite, tmp_path / "b", registry)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a")


def test_an_interrupted_run_goes_on_and_ends_the_same(one: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    def stop(cell: Cell, step: Step) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(one, tmp_path / "a", registry, ear=Ear(stop))
    assert not files(tmp_path / "a")
    result, ear = go(one, tmp_path / "a", registry)
    assert [step.epoch for step in ear.steps] == [3]
    go(one, tmp_path / "b", registry)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert only_record(tmp_path / "a").facts["metrics"] == only_record(tmp_path / "b").facts["metrics"]
    assert result.statuses == {"ok": 1}


def test_a_checkpoint_of_other_code_is_not_resumed(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(cell: Cell, step: Step) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(one, out, registry, ear=Ear(stop))
    monkeypatch.setattr(provenance, "_core", lambda: "edited")
    _, ear = go(one, out, registry)
    assert [step.epoch for step in ear.steps] == [1, 2, 3]
    assert not list((out / "checkpoints").iterdir())


def test_an_error_of_the_listener_is_no_failure_of_the_run(one: dict[str, Any], registry: Registry, out: Path) -> None:
    def stumble(cell: Cell, step: Step) -> None:
        raise ZeroDivisionError("the display")

    with pytest.raises(ZeroDivisionError, match=r"the display"):
        go(one, out, registry, ear=Ear(stumble))
    assert go(one, out, registry)[0].statuses == {"ok": 1}


@pytest.mark.parametrize(("error", "status", "reason", "traced"), [
    (RunError("the loss is nan.", "diverged"), "diverged", "the loss is nan.", False),
    (RunError("over 1 minute.", "timeout"), "timeout", "over 1 minute.", False),
    (benchbase.Refusal("a + b: no."), "skipped", "a + b: no.", False),
    (BenchbaseError("a plugin: wrong."), "failed", "a plugin: wrong.", False),
    (ValueError("in the middle\nof it"), "failed", "ValueError: in the middle", True),
    (MemoryError(), "failed", "MemoryError: ", True),
    (SystemExit(3), "failed", "SystemExit: 3", True),
    (OSError(errno.ENOENT, "gone"), "failed", "FileNotFoundError: [Errno 2] gone", True),
])  # fmt: skip
def test_a_failure_is_a_row(
    one: dict[str, Any],
    registry: Registry,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
    reason: str,
    traced: bool,
) -> None:
    def fail(*given: Any) -> Any:
        raise error

    monkeypatch.setattr(train, "fit", fail)
    result, _ = go(one, out, registry)
    facts = only_record(out).facts
    assert result.statuses == {status: 1}
    assert (facts["status"], facts["reason"]) == (status, reason)
    assert ("Traceback" in facts.get("traceback", "")) is traced
    assert result.good is (status == "skipped")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RecordError("no room for it.")])
def test_a_full_disk_is_no_failure_of_the_run(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*given: Any) -> Any:
        raise error

    monkeypatch.setattr(train, "fit", fail)
    with pytest.raises(RecordError, match=r"No space left|no room"):
        go(one, out, registry)
    monkeypatch.undo()
    assert go(one, out, registry)[0].statuses == {"ok": 1}


def test_a_disk_that_fills_at_the_end_costs_no_training(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbase.runner import records

    write = records.write_bytes

    def fill(path: Path, content: bytes) -> None:
        if path.name == "record.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(records, "write_bytes", fill)
    with pytest.raises(RecordError, match=r"cannot be written: No space left on device"):
        go(one, out, registry)
    monkeypatch.setattr(records, "write_bytes", write)
    result, ear = go(one, out, registry)
    assert result.statuses == {"ok": 1}
    assert ear.steps == []  # all epochs were in the checkpoint


def test_failed_runs_are_run_again_only_when_asked(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise RunError("bad luck.")

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", fail)
        go(one, out, registry)
    result, ear = go(one, out, registry)
    assert (ear.began, result.statuses) == ([], {"failed": 1})
    assert result.notes == ("1 run did not end well before: --retry runs such runs again",)
    assert go(one, out, registry, retry=True)[0].statuses == {"ok": 1}
    assert go(one, out, registry, retry=True)[1].began == []


def test_runs_of_other_code_are_told_and_refreshed(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(one, out, registry)
    assert go(one, out, registry, refresh=True)[1].began == []
    monkeypatch.setattr(provenance, "_core", lambda: "edited")
    result, ear = go(one, out, registry)
    assert ear.began == []
    assert result.notes == (
        "1 finished run came from other code than that at hand (core differs): --refresh runs such runs again",
    )
    assert ear.notes == list(result.notes)
    assert len(go(one, out, registry, refresh=True)[1].began) == 1
    assert go(one, out, registry)[0].notes == ()


def test_a_damaged_record_is_named_and_run_again(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    before, record = files(out), only_record(out)
    (record.folder / "events.parquet").write_bytes(b"damaged")
    result, ear = go(one, out, registry)
    assert ear.began == [record.run_id]
    assert "damaged, run again" in result.notes[0] and f"{record.run_id}/events.parquet" in result.notes[0]
    assert files(out) == before


def test_a_record_that_a_killed_writer_hid_is_found(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    record = only_record(out)
    aside = record.folder.with_name(f".{record.run_id}-dead")
    aside.mkdir()
    record.folder.rename(aside / record.run_id)
    assert go(one, out, registry)[1].began == []
    assert only_record(out).facts == record.facts and not aside.exists()


def test_an_empty_run_folder_is_run_again(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    record = only_record(out)
    shutil.rmtree(record.folder)
    record.folder.mkdir()
    assert go(one, out, registry)[0].statuses == {"ok": 1}


def test_a_record_of_a_foreign_schema_is_never_written_over(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    path = only_record(out).folder / "record.json"
    path.write_text(path.read_text().replace('"schema":1,', '"schema":2,'))
    with pytest.raises(UnknownSchema, match=r"its schema is 2"):
        go(one, out, registry)
    assert '"schema":2' in path.read_text()


def test_a_run_that_another_process_holds_is_waited_for(one: dict[str, Any], registry: Registry, out: Path) -> None:
    go(one, out, registry)
    record = only_record(out)
    shutil.rmtree(record.folder)
    ear = Ear()
    with held(record.folder.with_name(f"{record.run_id}.lock")) as ours:
        assert ours
        waiter = threading.Thread(target=lambda: go(one, out, registry, ear=ear))
        waiter.start()
        waiter.join(1.5)
        assert waiter.is_alive() and ear.began == []
    waiter.join(60)
    assert ear.notes == ["waiting for 1 run that another process holds"]
    assert only_record(out).status == "ok"


def test_what_another_process_did_meanwhile_is_taken(
    one: dict[str, Any], registry: Registry, out: Path, tmp_path: Path
) -> None:
    """The other one wrote the record between our look at the folder and our lock."""
    go(one, tmp_path / "other", registry)
    theirs = only_record(tmp_path / "other")

    class Late(Ear):
        def begin(self, waiting: list[Cell], finished: int, workers: int) -> None:
            shutil.copytree(theirs.folder, out / "runs" / theirs.run_id)

    result, ear = go(one, out, registry, ear=Late())
    assert ear.began == [] and ear.ended == [theirs.facts]
    assert result.statuses == {"ok": 1}


@pytest.mark.parametrize("seconds", [0.2, 60.0])
def test_a_death_is_recorded_unless_another_process_has_the_run(
    one: dict[str, Any], registry: Registry, out: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """One who only looks whether a run is going on holds its lock for a moment: that is no other process's run."""
    plan, ear, clock = plan_suite(one, registry), Ear(), [0.0]
    cell = plan.selected[0]
    with ExitStack() as other:
        assert other.enter_context(held(out / "runs" / f"{cell.run_id}.lock"))

        def sleep(time: float) -> None:
            clock[0] += time
            if clock[0] >= seconds:
                other.close()

        monkeypatch.setattr("benchbase.runner.desk.time.sleep", sleep)
        buried = Desk(plan.suite, registry, out, ear).bury(cell, "its process was ended.")
    assert buried is (seconds < 1)
    assert [facts["reason"] for facts in ear.ended] == ["its process was ended."] * buried


def test_events_that_are_all_filtered_fail_with_the_reason(one: dict[str, Any], registry: Registry, out: Path) -> None:
    from dataclasses import replace

    from benchbase.testing.world import tiny_data, tiny_log

    again = replace(
        tiny_data, name="again", build=lambda config, context: replace(tiny_log(), item=tiny_log().user.copy() % 3)
    )
    suite = {**one, "datasets": ["again"], "protocol": {**one["protocol"], "filter_seen": "history"}}
    _, ear = go(suite, out, registry.with_specs([again]))
    assert ear.steps == []  # told before any training
    assert only_record(out).facts["reason"] == (
        "evaluation: no test event is left, since every target was seen before. Expected at least one. "
        "Use protocol.filter_seen: none."
    )


def test_workers_need_installed_plugins(suite: dict[str, Any], registry: Registry, out: Path) -> None:
    with pytest.raises(BenchbaseError, match=r"other processes load the installed plugins, not a registry that is"):
        run(suite, out, registry=registry, workers=2)
    with pytest.raises(BenchbaseError, match=r"workers: 0 processes cannot run anything. Expected at least 1."):
        run(suite, out, registry=registry, workers=0)


def test_the_default_folder_is_named_after_the_suite(
    one: dict[str, Any], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(one, registry=registry).folder == Path("runs/tiny")
    assert (tmp_path / "runs" / "tiny" / "runs" / "plan.json").exists()


def test_one_selector_needs_no_list(suite: dict[str, Any], registry: Registry) -> None:
    plan = plan_suite(suite, registry, "tiny_causal")
    assert {cell.label for cell in plan.selected} == {"tiny_causal"}


def test_a_suite_is_read_once(suite: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    """What comes through a pipe can be read once only."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(yaml.safe_dump(suite)), daemon=True)
    writer.start()
    assert plan_suite(pipe, registry).suite.suite == suite["suite"]
