"""All runs of a suite: what is finished is left alone, what another process runs is waited for, the rest is run."""

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import Suite, load_with_registry, registry_for
from ..config.load import Source
from ..errors import BenchbaseError
from ..registry import Registry
from .desk import WAIT, Desk
from .events import Listener, Silent
from .plan import Plan, make_plan, write_plan
from .pool import Pool
from .state import Work, count, find, pick


@dataclass(frozen=True)
class Result:
    """What a suite's runs came to: the folder they lie in, how many ended how, and what the user should know."""

    folder: Path
    suite: str
    statuses: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every run is finished: ok, or skipped with a reason."""
        return not set(self.statuses) - {"ok", "skipped"}

    def __str__(self) -> str:
        ended = ", ".join(f"{number} {status}" for status, number in self.statuses.items())
        return f"{self.suite}: {ended} in {self.folder}"


def run(
    suite: Source | Suite,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    only: Iterable[str] = (),
    refresh: bool = False,
    retry: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Result:
    """Run every cell of a suite that is not finished, into `out` (default `runs/<suite's name>`).

    `only`: selectors of cells; `retry` runs those again that failed, `refresh` those that other code made. Interrupted
    and given again, it goes on where it stopped. Workers are processes; results do not depend on how many there are.
    Errors: `ConfigError`, `DataError`, `PluginError` before anything runs, `RecordError` where the disk takes no more.
    """
    quiet_waiting()
    if workers < 1:
        raise BenchbaseError(f"workers: {workers} processes cannot run anything. Expected at least 1.")
    plan = plan_suite(suite, registry, only)
    folder = Path(out) if out is not None else Path("runs") / plan.suite.suite
    write_plan(plan, folder)
    work = pick(plan, folder, retry, refresh)
    workers = max(1, min(workers, len(work.cells)))
    if workers > 1 and registry is not None:
        raise BenchbaseError("workers: other processes load the installed plugins, not a registry that is handed over. "
                             "Expected workers=1 with a registry.")
    _run(plan, folder, work, workers, listener or Silent())
    ended = Counter(find(folder / "runs" / cell.run_id).status for cell in plan.selected)
    return Result(folder, plan.suite.suite, dict(sorted(ended.items())), tuple(work.notes))


def plan_suite(suite: Source | Suite, registry: Registry | None = None, only: Iterable[str] = ()) -> Plan:
    """The plan of a suite in any form; `only`: selectors, or a single one."""
    only = (only,) if isinstance(only, str) else only
    if isinstance(suite, Suite):
        return make_plan(suite, registry or registry_for(suite.canonical()), only)
    return make_plan(*load_with_registry(suite, registry), only)


def quiet_waiting() -> None:
    """Let idle threads of torch sleep, not spin: with a busy core elsewhere, spinning costs several times the work.

    It takes effect if torch is not loaded yet.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _run(plan: Plan, out: Path, work: Work, workers: int, listener: Listener) -> None:
    desk = Desk(plan.suite, plan.registry, out, listener, dict(plan.data))
    listener.begin([cell for cell, _ in work.cells], work.finished, workers)
    try:
        for note in work.notes:
            listener.note(note)
        if workers > 1:
            with Pool(desk, workers) as pool:
                pool.run(work.cells)
        else:
            _one_by_one(desk, work)
    finally:
        listener.end()


def _one_by_one(desk: Desk, work: Work) -> None:
    """Run the cells here; those that are busy elsewhere come round again."""
    queue, busy, told = deque(work.cells), 0, False
    while queue:
        cell, mark = queue.popleft()
        if desk.attempt(cell, mark) is not None:
            busy = 0
            continue
        queue.append((cell, mark))
        busy += 1
        if busy == len(queue):
            if not told:
                desk.listener.note(f"waiting for {count(busy, 'run')} that another process holds")
            told, busy = True, 0
            time.sleep(WAIT)
