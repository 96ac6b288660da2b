"""Counts: what was known of a user and of an item strictly before an event, for the head of the action task."""

from collections.abc import Mapping

import numpy as np

from .ids import encode_ids
from .log import Ids
from .order import group, sort_within


def counts_before(
    user: Ids, item: Ids, timestamp: np.ndarray, actions: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Late features of a log: log(1 + count) of earlier events and of earlier actions, of the user and of the item.

    `user`, `item` (n,) original ids; `timestamp` (n,) in any unit; `actions` (n,) each, 0 or 1. Returns `user_events`,
    `user_<action>`, `item_events` and `item_<action>`, (n,) float32. An event at the same moment is not earlier, so
    that nothing depends on the order of ties. Count before anything is left out: what a service counts, it counts
    over all of its traffic.
    """
    made = {}
    for name, ids in (("user", user), ("item", item)):
        codes, known = encode_ids(ids, name, "counts_before")
        offsets, order = group(codes, len(known))
        sort_within(offsets, timestamp, order)
        earlier = _earlier(offsets, timestamp[order])
        for what, values in {"events": None, **actions}.items():
            count = earlier if values is None else _sums(offsets, earlier, np.asarray(values)[order])
            column = np.empty(len(order), np.float32)
            column[order] = np.log1p(count)
            made[f"{name}_{what}"] = column
    return made


def _earlier(offsets: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    """How many events of its group are before each event, (n,) int64, of times that ascend inside a group."""
    place = np.arange(len(timestamp))
    fresh = np.ones(len(timestamp), bool)
    fresh[1:] = timestamp[1:] != timestamp[:-1]
    fresh[offsets[:-1]] = True
    first = np.maximum.accumulate(np.where(fresh, place, 0))
    return np.asarray(first - np.repeat(offsets[:-1], np.diff(offsets)))


def _sums(offsets: np.ndarray, earlier: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sum of the values of the `earlier` events at the head of each event's group, (n,) int64."""
    total = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=total[1:], dtype=np.int64)
    start = np.repeat(offsets[:-1], np.diff(offsets))
    return np.asarray(total[start + earlier] - total[start])
