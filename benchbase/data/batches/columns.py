"""Columns: stretches of events as padded arrays, the step between interactions and tensors."""

import numpy as np

from ..catalogue import Catalogue
from ..interactions import Interactions
from ..sequences import Events


class Columns:
    """Padded columns (B, T) of the events start[b]:stop[b]."""

    def __init__(self, interactions: Interactions, catalogue: Catalogue, start: np.ndarray, stop: np.ndarray):
        self.interactions, self.lengths = interactions, stop - start
        self.width = int(self.lengths.max(initial=1))
        self.index = start[:, None] + np.arange(self.width)
        self.real = np.arange(self.width) < self.lengths[:, None]
        self.at = np.where(self.real, self.index, 0)
        self.items = np.where(self.real, interactions.item[self.at], 0).astype(np.int64)
        domain = catalogue.domain
        self.domains = np.full(self.at.shape, -1) if domain is None else domain[self.items].astype(np.int64)

    def wide(self, values: np.ndarray) -> np.ndarray:
        """Values (n, C) of the events, (B, T, C), 0 where padded."""
        if values.shape[1] == 0:
            return np.zeros((*self.at.shape, 0), np.float32)
        return np.asarray(values[self.at] * self.real[..., None], dtype=np.float32)

    def last(self, count: np.ndarray) -> np.ndarray:
        """Which events are the last `count` (B,) of their row, (B, T) bool."""
        return np.asarray(self.real & (np.arange(self.width) >= (self.lengths - count)[:, None]))

    def shown(self, hide: np.ndarray, asked: np.ndarray, query_time: str) -> Events:
        """The events as ragged columns, without what is hidden of those in `hide` and the actions of `asked` (B, T)."""
        actions = self.wide(self.interactions.actions) * ~(hide | asked)[..., None]
        items, times = np.where(hide, 0, self.items), self.times(hide, query_time)
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        return Events(offsets, items[self.real].astype(np.int32), times[self.real], actions[self.real])

    def times(self, hide: np.ndarray, query_time: str) -> np.ndarray:
        """Timestamps (B, T), 0 where padded or unknown; a hidden event's own only if the query may know it."""
        source = self.interactions.timestamp
        if source is None:
            return np.zeros(self.at.shape, np.int64)
        times = np.where(self.real, source[self.at], 0)
        return times if query_time == "next" or not hide.any() else _times_without_hidden(times, hide, self.real)

    def query_times(self, times: np.ndarray, after_last: np.ndarray | None, query_time: str) -> np.ndarray:
        """When the event after each one is asked for, (B, T)."""
        source = self.interactions.timestamp
        if source is None or query_time == "last":
            return times
        later = np.concatenate([times[:, 1:], np.zeros_like(times[:, :1])], axis=1)
        last = np.maximum(self.lengths - 1, 0)
        row = np.arange(len(times))
        later[row, last] = times[row, last] if after_last is None else source[after_last]
        return np.where(self.real, later, 0)


def moved(flags: np.ndarray, by: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Flags (B, T) of rows that lose their `by` (B) first events and have `lengths` (B) left."""
    place = np.arange(int(lengths.max(initial=1)))
    there = np.take_along_axis(flags, np.minimum(place + by[:, None], flags.shape[1] - 1), axis=1)
    return np.asarray(there & (place < lengths[:, None]))


def _times_without_hidden(times: np.ndarray, hide: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Times (B, T) with each hidden event's replaced by the last shown one's before it, else the first shown one's."""
    shown = real & ~hide
    place = np.where(shown, np.arange(times.shape[1]), -1)
    last = np.maximum.accumulate(place, axis=1)
    filled = np.where(last >= 0, last, shown.argmax(axis=1)[:, None])
    known = np.take_along_axis(times, filled, axis=1)
    return np.where(real & shown.any(axis=1)[:, None], known, 0)
