"""The tables of a record, checked for counts that no ranking gives: the folder may come from anyone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.explanations import is_sentence
from ..errors import RecordError
from .measures import EXPLANATIONS
from .publish import SHOWN
from .records import Record

DIGITS = 1e-5
"""How near the mean of single-precision values comes to the metric, at least."""


def check_tables(record: Record) -> None:
    """Read the tables that are published and compared. RecordError naming the file and what is wrong with it."""
    for name in SHOWN:
        if name in record.facts["files"]:
            table = record.table(name)
            if name == "events.parquet":
                _check_events(record, table)
            if name == "users.parquet":
                _check_users(record, table)
            if name == "across.parquet":
                _check_across(record, table)
            if name == "explanations.parquet":
                _check_explanations(record, table)


def _check_users(record: Record, table: dict[str, NDArray[Any]]) -> None:
    user, metric, value = table["user"], table["metric"].astype(str), table["value"]
    n_users, names = record.facts["data"].get("n_users") or 0, record.facts["protocol"]["metrics"]
    found = {name: np.sort(user[metric == name]) for name in names}
    first = next(iter(found.values()))
    means = {name: float(value[metric == name].mean(dtype=np.float64)) for name in names if len(found[name])}
    told = record.facts["metrics"]
    for wrong, what, expected in (
        (not len(user), "it has no user", "at least one"),
        ((user < 0) | (user >= n_users), f"it has users outside of 0 to {n_users - 1}", "rows of the prepared data"),
        (~np.isfinite(value), "it has a value that is not finite", "finite ones"),
        (set(metric) != set(names), "its metrics are not those of the protocol", ", ".join(names)),
        (np.diff(first) == 0, "it has a user twice", "one value for each user and metric"),
        (any(not np.array_equal(first, each) for each in found.values()), "its metrics are of different users",
         "the same ones"),
        (any(abs(mean - (told.get(name) or 0.0)) > DIGITS * max(1.0, abs(mean)) for name, mean in means.items()),
         "its values do not give the metrics of the record", "their means"),
    ):
        if np.any(wrong):
            raise RecordError(f"{record.folder / 'users.parquet'}: {what}. Expected {expected}. Remove the record and "
                              "run again.")


def _check_events(record: Record, events: dict[str, NDArray[Any]]) -> None:
    user, event, above, tied, candidates = (
        events[name].astype(np.int64) for name in ("user", "event", "above", "tied", "candidates")
    )
    data = record.facts["data"]
    n_users, n_items = data.get("n_users") or 0, data.get("card", {}).get("items")
    ranked = (above >= 0) & (tied >= 0) & (above + tied < candidates)
    missed = (above == candidates) & (tied == 0) & (candidates > 0)  # a target that is no candidate
    order = np.lexsort((event, user))
    repeated = (np.diff(user[order]) == 0) & (np.diff(event[order]) == 0)
    for wrong, what, expected in (
        (not len(user), "it has no event", "at least one"),
        ((user < 0) | (user >= n_users), f"it has users outside of 0 to {n_users - 1}", "rows of the prepared data"),
        (event < 0, "it has events before the first one", "places in a user's sequence"),
        (~(ranked | missed), "it has impossible counts", "above + tied below candidates, none of them negative"),
        (n_items is not None and candidates > n_items, f"it has more than {n_items} candidates", "items of the data"),
        (repeated, "it counts an event twice", "each event once"),
    ):
        if np.any(wrong):
            raise RecordError(f"{record.folder / 'events.parquet'}: {what}. Expected {expected}. Remove the record and "
                              "run again.")


def _check_across(record: Record, table: dict[str, NDArray[Any]]) -> None:
    ranked = record.table("events.parquet") if "events.parquet" in record.facts["files"] else None
    same = ranked is not None and all(np.array_equal(table[name], ranked[name]) for name in ("user", "event"))
    across = table["across"]
    for wrong, what, expected in (
        (not same, "its events are not those of events.parquet", "the same ones in the same order"),
        (~((across >= 0) & (across <= 1 + DIGITS)), "it has a share of attention that is none", "0 to 1"),
    ):
        if np.any(wrong):
            raise RecordError(f"{record.folder / 'across.parquet'}: {what}. Expected {expected}. Remove the record and "
                              "run again.")


def _check_explanations(record: Record, table: dict[str, NDArray[Any]]) -> None:
    data, told = record.facts["data"], record.facts["metrics"]
    user, event, item, places = (table[name] for name in ("user", "event", "item", "events"))
    n_users, n_items = data.get("n_users") or 0, data.get("card", {}).get("items")
    ranks = np.stack([table[name] for name in ("whole", "without", "alone")])
    sound = bool(np.all((ranks > 0) & (ranks <= 1)))
    explainers = table["explainer"].astype(str)
    chosen = [part["name"] for part in record.facts["configuration"].get("explainers", ())]
    figures: dict[str, float] = {}
    for name in np.unique(explainers):
        whole, without, alone = ranks[:, explainers == name].mean(axis=1)
        figures |= {f"{EXPLANATIONS}{name}.comprehensiveness": whole - without,
                    f"{EXPLANATIONS}{name}.sufficiency": alone}
    for wrong, what, expected in (
        (not len(user), "it has no line", "at least one"),
        ((user < 0) | (user >= n_users), f"it has users outside of 0 to {n_users - 1}", "rows of the prepared data"),
        ((item < 1) | (n_items is not None and item > n_items), f"it has items outside of 1 to {n_items}",
         "items of the data"),
        ([not len(each) or len(set(each)) < len(each) or min(each) < 0 or max(each) >= end
          for each, end in zip(places, event, strict=True)], "it has evidence that was not before the event",
         "places before it, each once"),
        (not sound, "it has a reciprocal rank that is none", "more than 0, up to 1"),
        ([not is_sentence(each) for each in table["text"]], "it has a text that is no line", "one printable line"),
        (set(explainers) != set(chosen), "its explainers are not those of the configuration", ", ".join(chosen)),
        (any(abs(value - (told.get(name) or 0.0)) > DIGITS for name, value in figures.items()),
         "its ranks do not give the metrics of the record", "their means"),
    ):
        if np.any(wrong):
            raise RecordError(f"{record.folder / 'explanations.parquet'}: {what}. Expected {expected}. Remove the "
                              "record and run again.")
