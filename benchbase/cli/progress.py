"""How a running suite shows itself: bars in a terminal, lines elsewhere; both on stderr."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..leaderboard.words import duration, number
from ..runner import Cell, Listener, Silent, Step

EVERY = 15.0
"""Seconds between two lines of one run."""


def listener() -> Listener:
    """Bars where somebody watches, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class Clock:
    """Guesses the time left from what finished runs took; from the epochs at most to come where none has finished."""

    def __init__(self, waiting: list[Cell], workers: int):
        self.workers = workers
        self.to_train = {cell.run_id for cell in waiting if trains(cell)}
        self.began: dict[str, float] = {}
        self.guess: dict[str, float] = {}
        self.took: list[float] = []

    def start(self, cell: Cell) -> None:
        self.began[cell.run_id] = time.monotonic()

    def step(self, cell: Cell, step: Step) -> None:
        self.guess[cell.run_id] = step.seconds / max(step.epoch, 1) * step.epochs

    def finish(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        self.guess.pop(cell.run_id, None)
        began = self.began.pop(cell.run_id, None)
        if cell.run_id in self.to_train:
            self.to_train.discard(cell.run_id)
            if began is not None and facts["status"] == "ok":
                self.took.append(time.monotonic() - began)

    def left(self) -> float | None:
        """Seconds until all is done, or None where nothing is known yet."""
        each = sum(self.took) / len(self.took) if self.took else max(self.guess.values(), default=0.0)
        if not each or not self.to_train:
            return None
        now = time.monotonic()
        spent = sum(min(now - began, each) for run_id, began in self.began.items() if run_id in self.to_train)
        return max(len(self.to_train) * each - spent, 0.0) / self.workers


def trains(cell: Cell) -> bool:
    """Whether a run takes time that is worth a guess."""
    return not cell.reason and cell.configuration.recommender is None


class Lines(Silent):
    """A line when a run begins and ends, and every so often between."""

    def begin(self, waiting: list[Cell], finished: int, workers: int) -> None:
        self.clock = Clock(waiting, workers)
        self.total, self.done = len(waiting), 0
        self.said: dict[str, float] = {}
        kept = f"; {finished} finished before" if finished else ""
        processes = f" in {workers} processes" if workers > 1 else ""
        self.say(f"{len(waiting)} runs to do{processes}{kept}")

    def note(self, text: str) -> None:
        self.say(text)

    def started(self, cell: Cell) -> None:
        self.clock.start(cell)
        self.said[cell.run_id] = time.monotonic()

    def step(self, cell: Cell, step: Step) -> None:
        self.clock.step(cell, step)
        now = time.monotonic()
        if now - self.said.get(cell.run_id, now) >= EVERY:
            self.said[cell.run_id] = now
            self.say(f"{cell.name}: {progress_of(step)}{self._left()}")

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        self.clock.finish(cell, facts)
        self.done += 1
        elsewhere = " (another process ran it)" if cell.run_id not in self.said and facts["status"] == "ok" else ""
        self.say(f"[{self.done}/{self.total}] {cell.name}: {outcome(facts)}{elsewhere}{self._left()}")

    def say(self, text: str) -> None:
        with suppress(OSError):  # nobody reads any more: that stops no run
            print(text, file=sys.stderr, flush=True)

    def _left(self) -> str:
        left = self.clock.left()
        return "" if left is None else f"; about {duration(left)} left"


class Bars(Silent):
    """One bar for the suite and one for every run under way."""

    def begin(self, waiting: list[Cell], finished: int, workers: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.clock = Clock(waiting, workers)
        console = Console(stderr=True, highlight=False, markup=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                   TextColumn("{task.fields[said]}", markup=False))
        self.display = Progress(*columns, console=console, transient=True)
        self.tasks: dict[str, Any] = {}
        self.suite = self.display.add_task("all runs", total=len(waiting) + finished, completed=finished, said="")
        self.display.start()

    def note(self, text: str) -> None:
        self.display.console.print(text)

    def started(self, cell: Cell) -> None:
        self.clock.start(cell)
        self.tasks[cell.run_id] = self.display.add_task(cell.name, total=None, said="")

    def step(self, cell: Cell, step: Step) -> None:
        self.clock.step(cell, step)
        self.display.update(self.tasks[cell.run_id], total=step.epochs, completed=step.epoch, said=progress_of(step))
        self._tell_left()

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        self.clock.finish(cell, facts)
        if cell.run_id in self.tasks:
            self.display.remove_task(self.tasks.pop(cell.run_id))
        self.display.console.print(f"{cell.name}: {outcome(facts)}")
        self.display.advance(self.suite)
        self._tell_left()

    def end(self) -> None:
        self.display.stop()

    def _tell_left(self) -> None:
        left = self.clock.left()
        self.display.update(self.suite, said="" if left is None else f"about {duration(left)} left")


def progress_of(step: Step) -> str:
    """`epoch 3/60, ndcg@10 0.1234, best 0.1234`."""
    text = f"epoch {step.epoch}/{step.epochs}"
    if step.metric is not None:
        text += f", {step.metric_name} {number(step.metric)}"
    return text if step.best is None else f"{text}, best {number(step.best)}"


def outcome(facts: Mapping[str, Any]) -> str:
    """How a run ended, in one line."""
    if facts["status"] != "ok":
        return f"{facts['status']}: {facts['reason']}"
    metric = facts["protocol"]["metrics"][0]
    value = facts["metrics"].get(metric)
    shown = "not finite" if value is None else number(value)
    late = ", under-trained" if facts["training"]["under_trained"] else ""
    return f"{metric} {shown}{late} in {duration(facts['cost']['train_seconds'])}"
