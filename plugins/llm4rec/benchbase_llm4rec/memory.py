"""Memory: what was known of each item at moments of the past, so that no query sees what came later."""

import numpy as np

from benchbase.data.sequences import Events

NUMBERS = 2**24
"""Numbers in a table of moments and items, at most."""

MOMENTS = 256
"""Moments at which the past is looked at, at most: between two of them nothing new is known."""


def moments(train: Events | None, n_items: int, decay: float, credibility: float) -> tuple[np.ndarray, np.ndarray]:
    """When each moment begins (m,) int64, and log(n / (n + n_0)) + last / tau of every item by then (m, n_items).

    n counts an item's training events strictly before the moment, `last` is the time of the latest of them, from the
    first moment on; -inf for an item that had none. `decay`: tau in seconds, 0 for without; `credibility`: n_0, 0 for
    without. A query belongs to the last moment that begins no later than it: it may know less than was known, never
    more. Without `train` there is one moment, of which nothing is known but that items are there.
    """
    if train is None:
        return np.full(1, np.iinfo(np.int64).min), np.zeros((1, n_items), np.float32)
    order = np.argsort(train.timestamp, kind="stable")
    time, item = train.timestamp[order], train.item[order].astype(np.int64) - 1
    most = max(2, min(MOMENTS, NUMBERS // max(n_items, 1)))
    at = np.unique(np.linspace(0, max(len(time) - 1, 0), most).astype(np.int64))
    begins = np.unique(np.append(time[at], time[-1] + 1)) if len(time) else np.zeros(1, np.int64)
    count, last = np.zeros(n_items, np.int64), np.zeros(n_items, np.float64)
    table = np.full((len(begins), n_items), -np.inf, np.float32)
    ends = np.searchsorted(time, begins, side="left")
    for row, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        count += np.bincount(item[start:end], minlength=n_items)
        last[item[start:end]] = time[start:end] - begins[0]  # in the order of time, so that the latest stays
        met = count > 0
        value = np.log(count[met] / (count[met] + credibility))
        table[row, met] = value + last[met] / decay if decay > 0 else value
    return begins, table
