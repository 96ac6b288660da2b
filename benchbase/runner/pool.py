"""Several processes for one suite: each runs one cell at a time; one that dies costs its cell, not the suite."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from ..config import load_with_registry
from ..errors import BenchbaseError
from .desk import WAIT, Desk
from .events import Silent, Step
from .plan import Cell
from .state import Mark

Task = tuple[Cell, Mark]


@dataclass
class Worker:
    """A process, the way to talk to it, what it is doing, and whether it ever spoke."""

    process: Any
    connection: "Connection[Any, Any]"
    task: Task | None = None
    ready: bool = False


class Pool:
    """A fixed number of worker processes; leaving it ends them, whatever they do."""

    def __init__(self, desk: Desk, size: int):
        self.desk, self.size = desk, size
        self.workers: list[Worker] = []
        self.queue: deque[tuple[float, Task]] = deque()

    def __enter__(self) -> Self:
        self.workers = [self._start() for _ in range(self.size)]
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()

    def run(self, tasks: Iterable[Task]) -> None:
        """Run every task; returns once all have a record. Errors: those of a worker that concern all."""
        self.queue.extend((0.0, task) for task in tasks)
        while self.queue or any(worker.task for worker in self.workers):
            self._hand_out()
            heard: dict[Any, Worker] = {}
            for worker in self.workers:
                heard |= {worker.connection: worker, worker.process.sentinel: worker}
            ready = {id(heard[one]): heard[one] for one in wait(list(heard), timeout=WAIT)}
            for worker in ready.values():
                self._listen(worker)

    def _hand_out(self) -> None:
        """Give every idle worker the first task that is due."""
        for worker in self.workers:
            due = next((entry for entry in self.queue if entry[0] <= time.monotonic()), None)
            if worker.task is None and worker.ready and due is not None:
                self.queue.remove(due)
                worker.task = due[1]
                with suppress(OSError):  # it died while idle: that shows in a moment
                    worker.connection.send(due[1])

    def _listen(self, worker: Worker) -> None:
        """Take in all that a worker has said; replace it where it is dead."""
        try:
            while worker.connection.poll():
                self._take(worker, *worker.connection.recv())
        except (EOFError, OSError):
            worker.process.join()
        if not worker.process.is_alive():
            self._replace(worker)

    def _take(self, worker: Worker, what: str, content: Any) -> None:
        listener = self.desk.listener
        if what == "ready":
            worker.ready = True
        elif what == "error":
            raise content
        elif worker.task is not None:
            cell = worker.task[0]
            if what == "started":
                listener.started(cell)
            elif what == "step":
                listener.step(cell, Step(*content))
            elif what == "finished":
                listener.finished(cell, content)
            elif what == "busy":
                self.queue.append((time.monotonic() + WAIT, worker.task))
                worker.task = None
            else:
                worker.task = None

    def _replace(self, worker: Worker) -> None:
        """Record what a dead worker was doing as failed, and put another in its place."""
        self.workers.remove(worker)
        worker.connection.close()
        cause = _cause(worker.process.exitcode)
        if not worker.ready:
            raise BenchbaseError(f"workers: a process could not start: it {cause}. Expected a script that starts "
                                 "its work under `if __name__ == '__main__':`.")
        why = f"its process {cause}. Expected it to live. Run again with --retry."
        if worker.task is not None and not self.desk.bury(worker.task[0], why):
            self.queue.append((time.monotonic() + WAIT, worker.task))
        self.workers.append(self._start())

    def _start(self) -> Worker:
        context, suite = multiprocessing.get_context("spawn"), self.desk.suite
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, suite.canonical(), suite.folder, self.desk.out))
        process.start()
        theirs.close()
        return Worker(process, ours)


class _Telling(Silent):
    """Tells the parent process; OSError where that is gone."""

    def __init__(self, connection: "Connection[Any, Any]"):
        self.connection = connection

    def started(self, cell: Cell) -> None:
        self.connection.send(("started", None))

    def step(self, cell: Cell, step: Step) -> None:
        self.connection.send(("step", tuple(step)))

    def finished(self, cell: Cell, facts: Mapping[str, Any]) -> None:
        self.connection.send(("finished", dict(facts)))


def _work(connection: "Connection[Any, Any]", suite: Mapping[str, Any], folder: Path | None, out: Path) -> None:
    """The life of a worker: read the suite itself, then run what it is given, as long as somebody gives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends the worker
    sys.stdout = sys.stderr  # what plugins print must not stand in the parent's output
    try:
        loaded, registry = load_with_registry(suite)
        ours = loaded.model_copy(update={"folder": folder})
        desk = Desk(ours, registry, out, _Telling(connection))
        connection.send(("ready", None))
        while True:
            cell, mark = connection.recv()
            connection.send(("busy" if desk.attempt(cell, mark) is None else "idle", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the parent is gone: nobody is left to tell
    except BenchbaseError as error:
        connection.send(("error", error))
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        connection.send(("error", RuntimeError(f"in a worker process:\n{text}")))


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with status {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (the system may have run out of memory)" if name == "SIGKILL" else "")
