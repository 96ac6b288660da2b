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

from ..config import Suite, run_id
from ..data import with_split
from ..errors import BenchbaseError, DataError, RecordError, Refusal, RunError, message_of
from ..metrics import parse
from ..registry import Registry
from ..specs import defaults
from .measures import EXPLANATIONS, GROUPS, LISTS, STREAM, TRUTH, largest_cutoff
from .plan import Cell, Data, is_deterministic
from .provenance import code_hash, environment, sources
from .records import Record, cannot_write, write_record
from .tables import across_table, curve_table, tables_of

MAX_LIST = 100
"""The longest list of items a record keeps per event."""

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)

UNFINISHED = ("failed", "diverged", "timeout")
"""How a run that cannot go on may be marked."""

Judged = tuple[dict[str, float], dict[str, float]]
"""Figures, and what some of them would be by chance."""

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

    A checkpoint that a killed run left is resumed; it belongs to this run and this code, and goes once the record of a
    result stands. It stays where the run failed or ran out of time after it had got further, for the next try.
    Errors: `RecordError` where the disk takes no more; the run is then not lost, its checkpoint stays. `DataError`
    where the data is not what the cell was planned on: its result would stand under the name of another run.
    """
    _check_data(cell, suite, data)
    code = code_of(cell, data, registry)
    checkpoint = out / "checkpoints" / f"{cell.run_id}-{code.hash}"
    _forget(cell, out, keep=checkpoint)
    before = _reached(checkpoint)
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
    facts["environment"] = environment(code.plugins, code.sources, outcome.pop("device", ""), suite.train.threads)
    record = _write(out / "runs" / cell.run_id, facts, outcome, tables)
    # One that brought a try no further may be the cause of its failure; a run that diverged would diverge again.
    again = record.status in ("failed", "timeout") and _reached(checkpoint) != before
    _forget(cell, out, keep=checkpoint if again else None)
    return record


def _check_data(cell: Cell, suite: Suite, data: Data) -> None:
    """Files may change while a suite runs, and each process opens them itself."""
    if run_id(cell.configuration, suite, data.hash, cell.seed) != cell.run_id:
        raise DataError(f"dataset {cell.dataset}: its content changed since the plan was made, it is now "
                        f"{data.hash[:12]}. Expected files that stay as they are while a suite runs. Give the same "
                        "command again: what is finished is kept, and the runs on the new content are planned.")


def _write(folder: Path, facts: Mapping[str, Any], outcome: Mapping[str, Any], tables: Mapping[str, Any]) -> Record:
    """Write the record; a result that no file can hold is a failure of the run."""
    try:
        return write_record(folder, {**facts, **outcome}, tables)
    except RecordError:
        raise
    except Exception as error:
        return write_record(folder, {**facts, **_failure(error)}, {})


def record_death(cell: Cell, suite: Suite, registry: Registry, data: Data, out: Path, cause: str) -> Record:
    """The record of a run whose process was ended from outside; its checkpoint stays for the next try."""
    _check_data(cell, suite, data)
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
    from ..evaluate import check_askable, flops_per_sequence, metric_values, per_action, watching
    from ..train import fit

    began = perf_counter()
    experiment = assemble(cell.configuration, suite, registry, data.loaded, cell.seed)
    check_askable(experiment)  # nobody should train for nothing
    assembled = perf_counter() - began
    fitted = fit(experiment, checkpoint, report)
    metrics, watch = suite.protocol.metrics, watching(experiment)
    valid, judged = _valid(experiment, metrics), _judged(experiment, suite, data)  # before a stream changes the model
    tested, streamed = _test(experiment, fitted, min(MAX_LIST, largest_cutoff(metrics)), watch)
    found = per_action(tested, metrics) | metric_values(tested, metrics) | valid
    values, by_chance, further = _further(experiment, tested, watch, judged, suite)
    cost, curve = _cost(data, assembled, fitted, tested), fitted.curve
    if streamed is not None:
        found |= {f"{STREAM}{name}": value for name, value in streamed.figures.items()}
        cost |= {"stream_seconds": round(streamed.seconds, 3),
                 "peak_memory_bytes": int(max(fitted.peak_memory, streamed.peak_memory))}
        curve = [*curve, *streamed.curve]
    if (flops := flops_per_sequence(experiment)) is not None:
        cost["flops_per_sequence"] = flops
    outcome = {"status": "ok", "metrics": _finite(found | values), "cost": cost,
               "training": _training(fitted), "evaluation": _plain(tested.facts | by_chance),
               "route": list(fitted.route), "device": fitted.device}
    tables = tables_of(tested, metrics) | further | {"curve.parquet": curve_table(curve)}
    return outcome, tables


def _valid(experiment: Any, metrics: tuple[str, ...]) -> dict[str, float]:
    """The metrics of the valid part, if it has events, under their prefix."""
    from ..evaluate import assess, metric_values

    if not len(experiment.data.split.valid_events):
        return {}
    return {f"valid.{name}": value for name, value in metric_values(assess(experiment, "valid"), metrics).items()}


def _test(experiment: Any, fitted: Any, top_k: int, watch: Any) -> tuple[Any, Any]:
    """What became of the test part, and of a stream how it went."""
    from ..evaluate import assess
    from ..train import predict_then_learn

    if experiment.data.split.stream is None:
        return assess(experiment, "test", top_k, watch), None
    minutes = experiment.suite.train.minutes
    left = None if minutes is None else max(0.0, minutes - fitted.seconds / 60)
    streamed = predict_then_learn(experiment, top_k, watch, left)
    return streamed.tested, streamed


def _further(experiment: Any, tested: Any, watch: Any, judged: Judged, suite: Suite
             ) -> tuple[dict[str, float], dict[str, Any], dict[str, Any]]:
    """Figures beside the metrics under their prefixes, what some would be by chance as a fact of the evaluation, and
    tables of attention across domains and of explanations.
    """
    from ..evaluate import Ranking, attention_across, explain, group_figures, list_figures

    values, chance = judged
    metric, n_items = suite.protocol.metrics[0], experiment.data.prepared.catalogue.n_items
    k = min(MAX_LIST, n_items, parse(metric).cutoff) if isinstance(tested, Ranking) else 0
    groups = group_figures(experiment, tested, metric, k, watch)
    values |= {f"{GROUPS}{name}": value for name, value in groups.values.items()}
    chance |= {f"{GROUPS}{name}": value for name, value in groups.chance.items()}
    tables: dict[str, Any] = {}
    if isinstance(tested, Ranking):
        values |= {f"{LISTS}{name}": value for name, value in list_figures(experiment, tested, k).items()}
        # in a stream the model has learned since from what it was asked
        if experiment.data.split.stream is None and (across := attention_across(experiment)) is not None:
            tables["across.parquet"] = across_table(tested, across)
        if (explained := explain(experiment, tested)) is not None:
            values |= {f"{EXPLANATIONS}{name}": value for name, value in explained.figures.items()}
            chance |= {f"{EXPLANATIONS}{name}": value for name, value in explained.chance.items()}
            tables["explanations.parquet"] = explained.table
    return values, {"by_chance": chance} if chance else {}, tables


def _judged(experiment: Any, suite: Suite, data: Data) -> Judged:
    """What the truth behind the data says of the model, and what it would say by chance, where the data set knows."""
    from ..evaluate import against_truth

    prepared, spec = data.loaded.prepared, data.loaded.spec
    if spec.truth is None:
        return {}, {}
    truth = spec.truth(data.part.config, prepared.catalogue, suite.data_seed)
    found = against_truth(experiment, truth)
    chance = {name: value for name, value in truth.chance().items() if name in found and math.isfinite(value)}
    return {f"{TRUTH}{name}": value for name, value in found.items()}, chance


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


def _cost(data: Data, assembled: float, fitted: Any, tested: Any) -> dict[str, Any]:
    """What the run took; `data_seconds` opened the data set, once for all runs of a process.

    Where a compressor is at work: how many events before the window a sequence has, and how many tokens stand for them.
    """
    history = {} if fitted.history is None else dict(
        zip(("history_events_per_sequence", "history_tokens_per_sequence"), fitted.history, strict=True))
    return {"data_seconds": round(data.seconds, 3), "prepare_seconds": round(assembled, 3),
            "train_seconds": round(fitted.seconds, 3), "rank_seconds": round(tested.seconds, 3),
            "peak_memory_bytes": int(fitted.peak_memory), "parameters": int(fitted.parameters),
            "tokens_per_sequence": fitted.tokens_per_sequence, **history}


def _training(fitted: Any) -> dict[str, Any]:
    return {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch, "under_trained": bool(fitted.under_trained),
            "stopped": fitted.stopped}


def _failure(error: BaseException) -> dict[str, Any]:
    """How an error stands in the record; those that are no mistake of the user bring their traceback."""
    text, traced = _writable(message_of(error)), {}
    if not isinstance(error, BenchbaseError) or error.__cause__ is not None:
        traced = {"traceback": _writable("".join(traceback.format_exception(error)))}
    if isinstance(error, Refusal):
        return {"status": "skipped", "reason": text}
    if isinstance(error, RunError) and error.status in UNFINISHED:
        return {"status": error.status, "reason": text, **traced}
    if isinstance(error, RunError):
        unknown = f"(the error's status is {error.status!r:.20}. Expected {', '.join(UNFINISHED)}.)"
        return {"status": "failed", "reason": _writable(f"{text} {unknown}"), **traced}
    if isinstance(error, BenchbaseError):
        return {"status": "failed", "reason": text, **traced}
    return {"status": "failed", "reason": f"{type(error).__name__}: {text}".partition("\n")[0], **traced}


def _writable(text: str) -> str:
    """Text as any file can hold it: half a surrogate pair is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


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


def _reached(checkpoint: Path) -> list[str]:
    """What tells how far a checkpoint goes."""
    return sorted(path.name for path in checkpoint.glob("epoch-*"))


def _forget(cell: Cell, out: Path, keep: Path | None = None) -> None:
    """Remove the checkpoints of a run, those of other code among them."""
    for folder in (out / "checkpoints").glob(f"{cell.run_id}-*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
