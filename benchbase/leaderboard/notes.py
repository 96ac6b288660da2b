"""What stands around the numbers of a leaderboard: the question, the data, the cost, and every reason for doubt."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from ..metrics import parse
from ..runner.records import Record
from ..runner.state import count
from .load import Entry, Folder

TIES = 0.01
"""Share of events with a tied target above which a reader should know."""


def card(records: Sequence[Record]) -> str:
    """The data set in one line."""
    facts = next((record.facts["data"]["card"] for record in records if "card" in record.facts["data"]), None)
    if facts is None:
        return ""
    return (f"{facts['users']:,} users, {facts['items']:,} items, {facts['events']:,} events "
            f"(density {facts['density']:.3%}); licence: {facts['licence']}")


def protocol(records: Sequence[Record]) -> str:
    """The protocol and the training in one line."""
    if not records:
        return ""
    rules, train = records[0].facts["protocol"], records[0].facts["train"]
    if list(rules.get("tasks", ())) == ["action"]:
        together = rules.get("action_candidates", 0)
        question = [f"actions predicted from what came before, of up to {together} events at a time" if together else
                    "actions predicted from what came before each event"]
    else:
        seen = {"history": "seen items filtered", "window": "items of the window filtered", "none": "no item filtered"}
        question = [f"full ranking over the {rules['candidates'].replace('_', ' ')}", seen[rules["filter_seen"]]]
    stop = f"patience {train['patience']}" if train["patience"] else "no early stop"
    seldom = [f"valid part ranked every {each} epochs" for each in [train.get("eval_every", 1)] if each > 1]
    return "; ".join((
        f"split {rules['split']['name']}{_steps(rules['split'])}", f"targets {rules['targets']}",
        f"window {rules['window']}",
        *(f"training windows {windows}" for windows in [train.get("windows", "last")] if windows != "last"),
        *question,
        ", ".join([f"at most {train['epochs']} epochs", *seldom, stop,
                   f"{train['threads']} thread{'s' * (train['threads'] > 1)}"]),
    ))


def _steps(split: Mapping[str, Any]) -> str:
    """How a stream is learned from; nothing of other splits."""
    if not (periods := split.get("periods")):
        return ""
    passes = f", {split['epochs']} passes" if split["epochs"] > 1 else ""
    return (f" in {periods} periods, each learned from by SGD (lr {split['lr']:g}, momentum {split['momentum']:g}, "
            f"batches of {split['batch']}{passes})")


def statuses(folder: Folder) -> dict[str, int]:
    """How many runs ended how."""
    return dict(sorted(Counter(run.status for entry in folder.entries for run in entry.runs).items()))


def seconds(folder: Folder) -> float:
    """The time all runs took together, and that for each data set once."""
    data: dict[str, float] = {}
    for record in folder.records:
        dataset = record.facts["data"]["dataset"]
        data[dataset] = max(data.get(dataset, 0.0), float(record.facts["cost"].get("data_seconds", 0.0)))
    return sum(data.values()) + sum(float(record.facts["cost"].get(f"{part}_seconds", 0.0))
                                    for record in folder.records for part in ("prepare", "train", "rank", "stream"))


def cost(entry: Entry) -> dict[str, Any]:
    """Mean costs over seeds and the machine they were paid on."""
    costs = [record.facts["cost"] for record in entry.good]
    found: dict[str, Any] = {name: fmean(float(each[name]) for each in costs)
                             for name in ("train_seconds", "rank_seconds", "peak_memory_bytes")}
    for name in ("flops_per_sequence", "tokens_per_sequence", "history_events_per_sequence",
                 "history_tokens_per_sequence"):
        if all(name in each and "flops_per_sequence" in each for each in costs):  # older records do not tell
            found[name] = fmean(float(each[name]) for each in costs)
    found["parameters"] = costs[0]["parameters"]
    found["epochs"] = fmean(float(record.facts["training"]["epochs"]) for record in entry.good)
    found["epochs_at_most"] = entry.good[0].facts["train"]["epochs"]
    found["machine"] = " / ".join(sorted({machine(record) for record in entry.good}))
    return found


def machine(record: Record) -> str:
    """The class of machine within which costs compare."""
    where = record.facts["environment"]
    return f"{where['machine']}, {where['threads']} thread{'s' * (where['threads'] > 1)}"


def under_trained(entry: Entry) -> bool:
    """Whether some run was best in its last epoch, so that longer training may help."""
    return any(record.facts["training"]["under_trained"] for record in entry.good)


def flags(entry: Entry) -> Iterator[str]:
    """What qualifies an entry's numbers."""
    late = sum(bool(record.facts["training"]["under_trained"]) for record in entry.good)
    if late:
        yield "under-trained" if late == len(entry.good) else f"under-trained ({late} of {len(entry.good)} seeds)"
    if len(entry.good) < len(entry.runs):
        yield f"{len(entry.good)} of {len(entry.runs)} seeds"
    if entry.deterministic:
        yield "deterministic"


def reasons(entry: Entry) -> Iterator[str]:
    """Why runs of an entry have no result, each reason once with its seeds."""
    found: dict[tuple[str, str], list[int]] = {}
    for run in entry.runs:
        if run.status != "ok":
            found.setdefault((run.status, run.reason), []).append(run.seed)
    for (status, reason), seeds in found.items():
        some = "" if len(seeds) == len(entry.runs) else f"seed {', '.join(map(str, seeds))} "
        yield f"{some}{status}{f': {reason}' if reason else ''}"


def of_table(folder: Folder, dataset: str, entries: Sequence[Entry], baseline: str | None) -> Iterator[str]:
    """What a reader of one table must know."""
    records = [record for entry in entries for record in entry.good]
    if not records:
        yield "no run has a result yet"
        return
    split = _split(records[0].facts)
    yield from _leak(split)
    yield from _evaluation(records[0].facts, split)
    for entry in entries:
        if whole := max((record.facts["evaluation"].get("read_whole", 0) for record in entry.good), default=0):
            yield (f"{entry.label}: {whole:,} events are the first of their domain for their user, and are asked for "
                   "after all earlier ones")
        shares = [record.facts["evaluation"].get("tied_share") or 0.0 for record in entry.good]
        if shares and max(shares) > TIES:
            yield (f"{entry.label}: {max(shares):.1%} of events have candidates level with the target; metrics are the "
                   "expectation over random order")
    if baseline is not None and not any(entry.label == baseline and entry.good for entry in entries):
        yield f"the baseline {baseline} has no result here, so nothing is tested on {dataset}"
    machines = sorted({machine(record) for record in records})
    if len(machines) == 1:
        yield f"costs were paid on {machines[0]}"
    if len(machines) > 1:
        yield "costs compare within one class of machine only; these come from: " + "; ".join(machines)


def _split(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    splits = facts["data"].get("card", {}).get("splits", {})
    return splits.get(facts["protocol"]["split"]["name"], {})  # type: ignore[no-any-return]


def _leak(split: Mapping[str, Any]) -> Iterator[str]:
    leak = split.get("leak_share")
    if isinstance(leak, str):
        yield f"leak share {leak}: the data has no timestamps"
    elif leak:
        yield f"leak share {leak:.1%}: so many training events are later than some test event"


def _evaluation(facts: Mapping[str, Any], split: Mapping[str, Any]) -> Iterator[str]:
    found = facts["evaluation"]
    if cold := found.get("cold_share"):
        yield f"cold share {cold:.1%}: so many targets never occur in the train part"
    if rates := found.get("base_rates"):
        yield f"base rates: {', '.join(f'{name} {rate:.2%}' for name, rate in rates.items())}"
    if left_out := found.get("left_out_target_seen"):
        yield f"{left_out:,} events left out: their target was seen before, so it would be filtered"
    if lonely := found.get("left_out_without_candidates"):
        yield f"{lonely:,} events left out: their user has seen every candidate, and their target is none"
    if short := split.get("users_too_short"):
        yield f"{short:,} users have too few events to be evaluated: theirs only train"
    if without := split.get("without_history", {}).get("test"):
        yield f"{without:,} events left out: their user has no earlier event"


def of_folder(folder: Folder) -> Iterator[str]:
    """What concerns all tables."""
    if aliases := [name for name in folder.metrics if name.startswith("hr@")]:
        same = ", ".join(f"{name} is {parse(name).canonical}" for name in aliases)
        yield f"{same}: one target is scored per event"
    if not folder.guards:
        yield "guards: false: this suite leaves out the installed guard recommenders"
    if alone := sorted({entry.label for entry in folder.entries if entry.deterministic}):
        yield f"{', '.join(alone)}: deterministic, so one run stands for every seed"
    if any(under_trained(entry) for entry in folder.entries):
        yield "under-trained: best in its last epoch, so longer training may help; never shown as best"
    cores = {record.facts["environment"].get("sources", {}).get("core") for record in folder.records}
    if len(cores) > 1:
        yield f"these runs come from {len(cores)} versions of the core's code; `benchbase run --refresh` makes them one"
    for run_id, problem in folder.damaged.items():
        yield f"record {run_id} is left out: {problem}"
    if folder.extra:
        some = ", ".join(folder.extra[:3]) + (", ..." if len(folder.extra) > 3 else "")
        yield f"left out, since the suite no longer asks for them: {count(len(folder.extra), 'record')} ({some})"
