"""One run: from a cell of the plan to a record, whatever happens on the way."""

import errno
import math
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ..config import Suite
from ..data import with_split
from ..errors import BenchbaseError, RecordError, Refusal, RunError
from ..registry import Registry
from ..specs import defaults
from .measures import largest_cutoff, means
from .plan import Cell, Data, is_deterministic
from .provenance import code_hash, environment, sources
from .records import Record, cannot_write, write_record
from .tables import curve_table, events_table, topk_table

MAX_LIST = 100
"""The longest list of items a record keeps per event."""

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)

Report = Callable[[Any], None]
"""Called with the trainer's progress after every evaluation."""


@dataclass(frozen=True)
class Code:
    """The plugins that a cell uses and the hashes of all sources that decide its result."""

    plugins: Mapping[str, str]
    sources: Mapping[str, str]

    @property
    def hash(self) -> str:
        return code_hash(self.sources)


def code_of(cell: Cell, data: Data, registry: Registry) -> Code:
    """The code at hand that would run this cell."""
    offers = [registry.offer(part.kind, part.name) for part in (data.part, *cell.configuration.parts())]
    plugins = {offer.distribution: offer.version for offer in offers}
    return Code(dict(sorted(plugins.items())), sources(offer.module.partition(".")[0] for offer in offers))


def run_cell(
    cell: Cell, suite: Suite, registry: Registry, data: Data, out: Path, report: Report | None = None
) -> Record:
    """Run a cell and write its record: a failure is a row, not a crash.

    A checkpoint that a killed run left is resumed; it belongs to this run and this code, and goes once the record
    stands.
    Errors: `RecordError` where the disk takes no more; the run is then not lost, its checkpoint stays.
    """
    code = code_of(cell, data, registry)
    checkpoint = out / "checkpoints" / f"{cell.run_id}-{code.hash}"
    _forget(cell, out, keep=checkpoint)
    facts = _facts(cell, suite, registry, data, code)
    tables: dict[str, Any] = {}
    try:
        outcome, tables = _compute(cell, suite, registry, data, checkpoint, report)
    except RecordError:  # the disk takes no more checkpoints
        raise
    except OSError as error:
        if error.errno in DISK:
            raise cannot_write(checkpoint, error) from error
        outcome = _failure(error)
    except (Exception, SystemExit) as error:
        outcome = _failure(error)
    where = environment(code.plugins, code.sources, outcome.pop("device", ""), suite.train.threads)
    record = write_record(out / "runs" / cell.run_id, {**facts, **outcome, "environment": where}, tables)
    _forget(cell, out)
    return record


def record_death(cell: Cell, suite: Suite, registry: Registry, data: Data, out: Path, cause: str) -> Record:
    """The record of a run whose process was ended from outside; its checkpoint stays for the next try."""
    code = code_of(cell, data, registry)
    where = environment(code.plugins, code.sources, "", suite.train.threads)
    facts = {**_facts(cell, suite, registry, data, code), "reason": cause, "environment": where}
    return write_record(out / "runs" / cell.run_id, facts, {})


def _compute(cell: Cell, suite: Suite, registry: Registry, data: Data, checkpoint: Path,
             report: Report | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and rank; what the record says of it, and its tables."""
    if cell.reason:
        raise Refusal(cell.reason)
    from ..assemble import assemble
    from ..evaluate import rank
    from ..train import fit

    began = perf_counter()
    experiment = assemble(cell.configuration, suite, registry, data.loaded, cell.seed)
    assembled = perf_counter() - began
    fitted = fit(experiment, checkpoint, report)
    metrics = suite.protocol.metrics
    ranking = rank(experiment, "test", min(MAX_LIST, largest_cutoff(metrics)))
    events = events_table(ranking)
    if not len(events["user"]):
        raise RunError("evaluation: no test event is left, since every target was seen before. Expected at least one. "
                       "Use protocol.filter_seen: none.")
    found = means(events, metrics)
    if len(data.loaded.split.valid_events):
        found |= means(events_table(rank(experiment, "valid")), metrics, "valid.")
    tables = {"events.parquet": events, "topk.parquet": topk_table(ranking),
              "curve.parquet": curve_table(fitted.curve)}
    outcome = {"status": "ok", "metrics": _finite(found), "cost": _cost(data, assembled, fitted, ranking),
               "training": _training(fitted), "evaluation": _plain(ranking.facts), "route": list(fitted.route),
               "device": fitted.device}
    return outcome, {name: table for name, table in tables.items() if table is not None}


def _facts(cell: Cell, suite: Suite, registry: Registry, data: Data, code: Code) -> dict[str, Any]:
    """What is known before anything runs, and what a run that fails says of the rest."""
    choice = cell.configuration
    return {
        "run_id": cell.run_id, "code": code.hash, "status": "failed", "reason": "", "suite": suite.suite,
        "seed": cell.seed, "configuration": {**choice.canonical(), "label": cell.label, "ablate": choice.ablate},
        "deterministic": is_deterministic(choice, registry),
        "protocol": defaults(suite.protocol), "train": defaults(suite.train), "data": _data(suite, data), "metrics": {},
        "cost": {}, "training": {}, "evaluation": {}, "route": [],
    }


def _data(suite: Suite, data: Data) -> dict[str, Any]:
    facts = {"dataset": data.label, "hash": data.hash, "data_seed": suite.data_seed}
    if data.loaded is None:
        return facts
    return {**facts, "card": _plain(with_split(data.loaded.prepared.card, data.loaded.split.facts)),
            "n_users": data.loaded.prepared.interactions.n_users}


def _cost(data: Data, assembled: float, fitted: Any, ranking: Any) -> dict[str, Any]:
    """What the run took; `data_seconds` opened the data set, once for all runs of a process."""
    return {"data_seconds": round(data.seconds, 3), "prepare_seconds": round(assembled, 3),
            "train_seconds": round(fitted.seconds, 3), "rank_seconds": round(ranking.seconds, 3),
            "peak_memory_bytes": int(fitted.peak_memory), "parameters": int(fitted.parameters),
            "tokens_per_sequence": fitted.tokens_per_sequence}


def _training(fitted: Any) -> dict[str, Any]:
    return {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch, "under_trained": bool(fitted.under_trained),
            "stopped": fitted.stopped}


def _failure(error: BaseException) -> dict[str, Any]:
    """How an error stands in the record; those that are no mistake of the user bring their traceback."""
    if isinstance(error, Refusal):
        return {"status": "skipped", "reason": str(error)}
    if isinstance(error, RunError):
        return {"status": error.status, "reason": str(error)}
    if isinstance(error, BenchbaseError):
        return {"status": "failed", "reason": str(error)}
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    return {"status": "failed", "reason": reason, "traceback": "".join(traceback.format_exception(error))}


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _plain(value: Any) -> Any:
    """Facts as JSON holds them: numpy's numbers as Python's, tuples as lists, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _forget(cell: Cell, out: Path, keep: Path | None = None) -> None:
    """Remove the checkpoints of a run, those of other code among them."""
    for folder in (out / "checkpoints").glob(f"{cell.run_id}-*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
