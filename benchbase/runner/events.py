"""What is told while a suite runs; results never depend on who listens."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .plan import Cell


class Step(NamedTuple):
    """A run's progress after an epoch; `seconds` since it began, sittings before this one included."""

    epoch: int
    epochs: int
    metric_name: str
    metric: float | None
    best: float | None
    seconds: float


class Listener(Protocol):
    """Hears of every run: `waiting` are those still to do when it begins."""

    def begin(self, waiting: list[Cell], finished: int, workers: int) -> None: ...

    def note(self, text: str) -> None: ...

    def started(self, cell: Cell) -> None: ...

    def step(self, cell: Cell, step: Step) -> None: ...

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None: ...

    def end(self) -> None: ...


class Silent:
    """A listener that says nothing."""

    def begin(self, waiting: list[Cell], finished: int, workers: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def started(self, cell: Cell) -> None:
        pass

    def step(self, cell: Cell, step: Step) -> None:
        pass

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        pass

    def end(self) -> None:
        pass


def to_step(progress: Any) -> Step:
    """The trainer's progress as plain numbers that any process can read."""
    return Step(*(getattr(progress, name) for name in Step._fields))
