"""Recent popularity: what was read most just before the query."""

import numpy as np

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import RecentPopularityConfig

DAY = 86_400


class RecentPopularity:
    """Score an item by its train-part events in the days before the query, or before the train part's end.

    What happened at the time of the query or later does not count, though the train part may hold it.
    Source: Ji et al. 2020, RecentPop.
    """

    def __init__(self, config: RecentPopularityConfig):
        self.seconds = round(config.days * DAY)

    def fit(self, train: Events, context: BuildContext) -> None:
        order = np.argsort(train.timestamp, kind="stable")
        self.times, self.columns = train.timestamp[order], train.item[order].astype(np.int64) - 1
        self.end = self.times[-1] + 1 if len(order) else 0
        self.step, n_blocks = context.n_items, len(order) // context.n_items + 1
        block = np.arange(len(order)) // self.step
        counts = np.bincount(block * self.step + self.columns, minlength=n_blocks * self.step)
        blocks = counts.reshape(n_blocks, self.step)
        self.marks = np.cumsum(blocks, axis=0, dtype=np.int32) - blocks.astype(np.int32)  # before each block

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items) float64; 0 for what nobody read in that time."""
        until = np.minimum(times, self.end)
        stop, start = (np.searchsorted(self.times, edge) for edge in (until, until - self.seconds))
        found = np.empty((len(times), self.step))
        for row, (first, last) in enumerate(zip(start, stop, strict=True)):
            found[row] = self._before(last) - self._before(first)
        return found

    def _before(self, place: int) -> np.ndarray:
        """How often each item stands among the first `place` events in time, (n_items): a mark, and what follows it."""
        block = place // self.step
        rest = np.bincount(self.columns[block * self.step : place], minlength=self.step)
        counts: np.ndarray = self.marks[block] + rest
        return counts
