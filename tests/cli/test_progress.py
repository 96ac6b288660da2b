"""The display of a running suite: what it says, and what it guesses."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchbase.cli import progress
from benchbase.cli.progress import Bars, Clock, Lines, outcome, progress_of, trains
from benchbase.runner import Step


def cell(run_id: str, recommender: Any = None, reason: str = "") -> Any:
    return SimpleNamespace(
        run_id=run_id, name=f"run {run_id}", reason=reason, configuration=SimpleNamespace(recommender=recommender)
    )


def ok(metric: float | None = 0.25, late: bool = False) -> dict[str, Any]:
    return {
        "status": "ok",
        "reason": "",
        "protocol": {"metrics": ["ndcg@10"]},
        "metrics": {"ndcg@10": metric},
        "training": {"under_trained": late},
        "cost": {"train_seconds": 90.0},
    }


FAILED = {"status": "diverged", "reason": "the loss is nan."}
STEP = Step(3, 60, "ndcg@10", 0.12345, 0.2, 30.0)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test turns."""
    time = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_the_time_left(now: list[float]) -> None:
    waiting = [cell("a"), cell("b"), cell("c"), cell("r", recommender="popularity"), cell("s", reason="no")]
    clock = Clock(waiting, workers=2)
    assert clock.left() is None
    clock.start(waiting[0])
    now[0] += 30
    clock.step(waiting[0], STEP)  # 10 s an epoch, 60 epochs at most, for each of three runs
    assert clock.left() == pytest.approx((3 * 600 - 30) / 2)
    now[0] += 70
    clock.finish(waiting[0], ok())  # it took 100 s, so will the two others
    assert clock.left() == pytest.approx(2 * 100 / 2)
    clock.start(waiting[1])
    now[0] += 500  # longer than the others: nothing more is known of it
    assert clock.left() == pytest.approx(100 / 2)
    clock.finish(waiting[1], FAILED)
    clock.finish(waiting[2], FAILED)
    assert clock.left() is None


def test_what_takes_no_time_is_not_guessed() -> None:
    assert trains(cell("a"))
    assert not trains(cell("a", recommender="x")) and not trains(cell("a", reason="skipped"))


def test_how_runs_are_told() -> None:
    assert progress_of(STEP) == "epoch 3/60, ndcg@10 0.1235, best 0.2000"
    assert progress_of(STEP._replace(metric=None, best=None)) == "epoch 3/60"
    assert outcome(ok()) == "ndcg@10 0.2500 in 90 s"
    assert outcome(ok(None, late=True)) == "ndcg@10 not finite, under-trained in 90 s"
    assert outcome(FAILED) == "diverged: the loss is nan."


def tell(display: Lines | Bars, now: list[float]) -> None:
    """A suite of two runs, one finished before."""
    one, two = cell("a"), cell("b")
    display.begin([one, two], 1, 2)
    display.note("a note")
    display.started(one)
    display.step(one, STEP)
    now[0] += 20
    display.step(one, STEP)
    display.finished(one, ok())
    display.finished(two, FAILED)  # taken over from a process that died before it said anything
    display.end()


def test_lines(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(Lines(), now)
    assert capsys.readouterr().err.splitlines() == [
        "2 runs to do in 2 processes; 1 finished before",
        "a note",
        "run a: epoch 3/60, ndcg@10 0.1235, best 0.2000; about 9.8 min left",
        "[1/2] run a: ndcg@10 0.2500 in 90 s; about 10 s left",
        "[2/2] run b: diverged: the loss is nan.",
    ]


def test_a_run_that_another_process_did_is_told_as_such(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines()
    display.begin([cell("a")], 0, 1)
    display.finished(cell("a"), ok())
    assert "[1/1] run a: ndcg@10 0.2500 in 90 s (another process ran it)" in capsys.readouterr().err


def test_bars(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    tell(Bars(), now)
    printed = capsys.readouterr().err
    assert "a note" in printed and "run a: ndcg@10 0.2500 in 90 s" in printed and "run b: diverged" in printed


def test_nobody_watches_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress.listener(), Lines)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(progress.listener(), Bars)
