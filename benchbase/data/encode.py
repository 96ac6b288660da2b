"""Encode: a log as its source gives it -> interactions and catalogue, filtered, numbered and sorted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from .catalogue import Catalogue
from .features import make_catalogue
from .filters import DatasetConfig, core, drop_repeats
from .ids import encode_ids
from .interactions import Interactions
from .log import Log
from .order import TieKeys, group, shuffle_ties, sort_within

LATEST = 100_000_000_000
"""Seconds; a later timestamp (after the year 5138) has another unit than its log says."""


def encode(
    log: Log, config: DatasetConfig, seed: int = 0, where: str = "log"
) -> tuple[Interactions, Catalogue, dict[str, Any]]:
    """Number users and items by ascending original id, sort each user's events by time, filter: `(..., facts)`.

    Equal timestamps keep file order where `log.file_order`, else the order of a hash of (seed, user id, item id).
    `facts` go on the data set card. Errors: `DataError` where the log is empty or malformed, or the filters leave
    nothing. `where` begins each message.
    """
    check(log, where)
    offsets, item, order, user_ids, item_ids = _sorted(log, seed, where)
    keep, n_repeated = drop_repeats(offsets, item, config.repeats)
    facts: dict[str, Any] = {
        "source_events": len(item) + sum(log.removed.values()),
        "removed": dict(log.removed),
        "repeated_pairs": n_repeated,
        "order_of_ties": "file" if log.file_order else "seeded hash",
        **({"facts": dict(log.facts)} if log.facts else {}),
    }
    user = np.repeat(np.arange(len(user_ids), dtype=np.int32), np.diff(offsets))
    if keep is not None:
        user, item, order = user[keep], item[keep], order[keep]
        facts["removed"]["repeated pairs"] = n_repeated
    if config.min_user_events > 1 or config.min_item_events > 1:
        rows = core(user, item, len(user_ids), len(item_ids), config)
        facts["removed"]["users or items with too few events"] = len(item) - len(rows)
        user, item, order = user[rows], item[rows], order[rows]
    if not len(item):
        raise DataError(
            f"{where}: the filters leave no event. Expected at least one user with min_user_events "
            f"= {config.min_user_events} events of items with min_item_events = {config.min_item_events}. "
            "Lower the minima."
        )
    sizes = np.bincount(user, minlength=len(user_ids))
    del user
    offsets = np.concatenate(([0], np.cumsum(sizes[sizes > 0]))).astype(np.int64)
    item, item_ids = _renumber(item, item_ids)
    interactions = Interactions(
        offsets,
        item,
        None if log.timestamp is None else _seconds(np.asarray(log.timestamp)[order], log.ticks),
        _columns(log.actions, order),
        _columns(log.features, order),
        tuple(log.actions),
        tuple(log.features),
        user_ids[sizes > 0],
        _columns(log.marks, order) if log.marks else None,
        tuple(log.marks),
    )
    catalogue, fit = make_catalogue(item_ids, log.items, log.timestamp is not None, where)
    return interactions, catalogue, {**facts, "tie_share": tie_share(interactions), **fit}


def check(log: Log, where: str) -> None:
    """Refuse a log that is empty, ragged, or holds numbers that mean nothing; names the first bad event."""
    n = len(log.user)
    if not n:
        raise DataError(
            f"{where}: the log has no events. Expected at least one. Check the file and the reader's filters."
        )
    numbers = [*log.actions.items(), *log.features.items(), *log.marks.items()]
    names = [name for name, _ in numbers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{where}: {twice[0]} names two columns of actions, features and marks. Expected each name "
                        "once. Rename one.")
    columns: dict[str, Any] = {"item": log.item, **dict(numbers)}
    if log.timestamp is not None:
        columns["timestamp"] = log.timestamp
    for name, values in columns.items():
        if len(values) != n:
            raise DataError(f"{where}: column '{name}' has {len(values)} values. Expected {n}, one for each event.")
    if log.timestamp is not None:
        _check_time(np.asarray(log.timestamp), log.ticks, where)
    for name, values in numbers:
        values = np.asarray(values)
        if values.dtype.kind not in "iubf":
            raise DataError(f"{where}: column '{name}' is of type {values.dtype}. Expected numbers.")
        # The sum of finite numbers is finite but for overflow: one pass and no mask in the common case.
        if np.isfinite(values.sum(dtype=np.float64)) or (finite := np.isfinite(values)).all():
            continue
        _bad_event(where, name, values, ~finite, "finite numbers", "Leave such rows out")


def _seconds(timestamp: np.ndarray, ticks: int) -> np.ndarray:
    timestamp = timestamp.astype(np.int64, copy=False)
    return timestamp if ticks == 1 else timestamp // ticks


def _check_time(timestamp: np.ndarray, ticks: int, where: str) -> None:
    if timestamp.dtype.kind not in "iu":
        raise DataError(f"{where}: timestamps are of type {timestamp.dtype}. Expected whole Unix time.")
    if timestamp.min() < 0:
        _bad_event(
            where,
            "timestamp",
            timestamp,
            timestamp < 0,
            "seconds since 1970, not before",
            "Leave such rows out, or shift the times",
        )
    if int(timestamp.max()) > LATEST * ticks:
        _bad_event(
            where,
            "timestamp",
            timestamp,
            timestamp > LATEST * ticks,
            f"Unix time in {ticks} ticks a second, before the year 5138",
            "Give the unit of the times (1000 ticks a second for milliseconds)",
        )


def _bad_event(where: str, name: str, values: np.ndarray, bad: np.ndarray, expected: str, fix: str) -> None:
    row = int(np.argmax(bad))
    raise DataError(f"{where}: event {row + 1} has {name} {values[row]}. Expected {expected}. {fix}.")


def _sorted(log: Log, seed: int, where: str) -> tuple[np.ndarray, ...]:
    """`(offsets, item codes by row, order, user ids, item ids)`: order[row] is the event's place in the log."""
    user, user_ids = encode_ids(log.user, "user", where)
    item, item_ids = encode_ids(log.item, "item", where)
    offsets, order = group(user, len(user_ids))
    timestamp = None if log.timestamp is None else np.asarray(log.timestamp)
    if timestamp is not None:
        sort_within(offsets, timestamp, order)
    if not log.file_order:
        shuffle_ties(offsets, timestamp, TieKeys(user, user_ids, item, item_ids, seed), order)
    return offsets, item[order], order, user_ids, item_ids


def _renumber(item: np.ndarray, item_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Item codes 0.. of all items -> 1.. of those that occur, with their ids."""
    present = np.zeros(len(item_ids), bool)
    present[item] = True
    return np.cumsum(present, dtype=np.int32)[item], item_ids[present]


def _columns(columns: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray:
    """Named columns in a new order as one (n, columns) float32 array."""
    table = np.empty((len(order), len(columns)), np.float32)
    for place, values in enumerate(columns.values()):
        table[:, place] = np.asarray(values)[order]
    return table


def tie_share(interactions: Interactions) -> float | None:
    """Share of events with the user and timestamp of the event before them; None without timestamps."""
    time = interactions.timestamp
    if time is None:
        return None
    same = time[1:] == time[:-1]
    same[interactions.offsets[1:-1] - 1] = False
    return int(np.count_nonzero(same)) / len(time)
