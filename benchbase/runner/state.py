"""Which runs are done: what stands on disk for a cell, and whether it is to be run (again)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import RecordError
from .locks import held, is_held
from .one import code_of
from .plan import Cell, Plan
from .provenance import differing
from .records import FACTS, FINISHED, Record, UnknownSchema, clean, left_beside, read_record

DAMAGED = "damaged"

Mark = tuple[int, int] | None
"""What tells one version of a record from the next: None where there is none."""


@dataclass(frozen=True)
class Found:
    """What stands for a cell: its record, or why that cannot be trusted, or nothing; `mark` changes with the record."""

    record: Record | None = None
    problem: str = ""
    mark: Mark = None

    @property
    def status(self) -> str:
        return self.record.status if self.record else DAMAGED if self.problem else "pending"


@dataclass
class Work:
    """The cells to run with the marks of their records, how many are finished, and what the user should know."""

    cells: list[tuple[Cell, Mark]] = field(default_factory=list)
    finished: int = 0
    notes: list[str] = field(default_factory=list)


def find(folder: Path) -> Found:
    """The record in a run's folder. Errors: UnknownSchema, since such a record is never written over."""
    mark = mark_of(folder)
    if mark is None and not folder.exists():
        return Found()
    try:
        return Found(read_record(folder), mark=mark)
    except UnknownSchema:
        raise
    except RecordError as error:
        return Found(problem=str(error), mark=mark)


def mark_of(folder: Path) -> Mark:
    """The version of the record in a run's folder."""
    try:
        stat = (folder / FACTS).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def pick(plan: Plan, out: Path, retry: bool = False, refresh: bool = False) -> Work:
    """The selected cells that are to be run: those without a record, and those that are asked for again."""
    work = Work()
    stale: list[Record] = []
    failed: list[Record] = []
    for cell in plan.selected:
        found = find(_settled(out, cell.run_id))
        if found.record is None:
            if found.problem:
                work.notes.append(f"damaged, run again: {found.problem}")
        else:
            differs = found.record.facts["code"] != code_of(cell, plan.data[cell.dataset], plan.registry).hash
            again = (retry and found.status not in FINISHED) or (refresh and differs)
            if not again:
                work.finished += 1
                stale += [found.record] if differs else []
                failed += [found.record] if found.status not in FINISHED else []
                continue
        work.cells.append((cell, found.mark))
    return Work(work.cells, work.finished, [*work.notes, *_stale(stale), *_failed(failed)])


def _settled(out: Path, run_id: str) -> Path:
    """A run's folder, after what a killed writer left beside it is put in order."""
    folder = out / "runs" / run_id
    if left_beside(folder):
        with held(lock_of(out, run_id)) as ours:
            if ours:
                clean(folder)
    return folder


def is_running(out: Path, run_id: str) -> bool:
    """Whether some process runs this cell right now."""
    return is_held(lock_of(out, run_id))


def lock_of(out: Path, run_id: str) -> Path:
    return out / "runs" / f"{run_id}.lock"


def has_checkpoint(out: Path, run_id: str) -> bool:
    """Whether a run was begun, so that it goes on where it stopped."""
    return any((out / "checkpoints").glob(f"{run_id}-*/*"))


def _stale(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    where = sorted({name for record in records for name in differing(record.facts)}) or ["the parts they use"]
    return [f"{count(len(records), 'finished run')} came from other code than that at hand ({', '.join(where)} "
            "differs): --refresh runs such runs again"]


def _failed(records: Sequence[Record]) -> list[str]:
    return [f"{count(len(records), 'run')} did not end well before: --retry runs such runs again"] if records else []


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
