"""Where a process runs cells: it takes the lock of each, leaves alone what others did meanwhile, and runs the rest."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Suite
from ..errors import RecordError
from ..registry import Registry
from .events import Listener, to_step
from .locks import held
from .one import record_death, run_cell
from .plan import Cell, Data, load_one
from .records import Record, clean, read_record
from .state import Mark, lock_of, mark_of

WAIT = 0.5
"""Seconds between looks at a run that another process holds."""


TRIES = 10
"""Looks at a lock before it counts as another process's: one who only asks who holds it has it for a moment."""


class Unheard(BaseException):
    """An error of the listener on its way out: no error of the run, so nothing that handles those may catch it."""


@dataclass
class Desk:
    """A suite, its registry, the folder of its results, and the data sets opened so far."""

    suite: Suite
    registry: Registry
    out: Path
    listener: Listener
    data: dict[str, Data] = field(default_factory=dict)

    def attempt(self, cell: Cell, mark: Mark) -> Record | None:
        """Run a cell; None where another process runs it right now, that one's record where it has done so."""
        folder = self.out / "runs" / cell.run_id
        with held(lock_of(self.out, cell.run_id)) as ours:
            if not ours:
                return None
            clean(folder)
            if mark_of(folder) not in (None, mark) and (theirs := _trusted(folder)):
                self.listener.finished(cell, theirs.facts)
                return theirs
            self.listener.started(cell)
            try:
                record = run_cell(cell, self.suite, self.registry, self.data_of(cell), self.out, self._teller(cell))
            except Unheard as error:
                raise (error.__cause__ or error) from None
        self.listener.finished(cell, record.facts)
        return record

    def bury(self, cell: Cell, cause: str) -> bool:
        """Record that a cell's process died; False where yet another process has taken it up."""
        for _ in range(TRIES):
            with held(lock_of(self.out, cell.run_id)) as ours:
                if ours:
                    clean(self.out / "runs" / cell.run_id)
                    record = record_death(cell, self.suite, self.registry, self.data_of(cell), self.out, cause)
                    self.listener.finished(cell, record.facts)
                    return True
            time.sleep(WAIT / TRIES)
        return False

    def data_of(self, cell: Cell) -> Data:
        if cell.dataset not in self.data:
            self.data[cell.dataset] = load_one(self.suite, self.registry, cell.dataset)
        return self.data[cell.dataset]

    def _teller(self, cell: Cell) -> Any:
        def tell(progress: Any) -> None:
            try:
                self.listener.step(cell, to_step(progress))
            except Exception as error:
                raise Unheard from error

        return tell


def _trusted(folder: Path) -> Record | None:
    try:
        return read_record(folder)
    except RecordError:
        return None
