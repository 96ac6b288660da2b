"""The same buckets while events come in: what a service keeps for a user, bounded however long the history grows."""

from collections import deque

import numpy as np

from benchbase.data import Categories

from .buckets import Buckets


class BucketStream:
    """A bounded queue of items for each category that a user met; after every event what `fill` makes of all of them.

    `items` is G, at least 1: without a limit nothing would be bounded.
    """

    def __init__(self, categories: Categories, buckets: int, items: int):
        self.categories, self.buckets, self.items = categories, buckets, items
        self._queues: dict[int, deque[int]] = {}
        self._touched: dict[int, tuple[int, int]] = {}  # number of the event, its time
        self._events = 0

    def update(self, item: int, timestamp: int = 0) -> None:
        """Take in the event that has just left the window."""
        self._events += 1
        for category in self.categories.of(item).tolist():
            self._queues.setdefault(category, deque(maxlen=self.items)).appendleft(item)
            self._touched[category] = self._events, timestamp

    def filled(self) -> Buckets:
        """The buckets as one row."""
        order = sorted(self._queues, key=lambda category: (-self._touched[category][0], category))[: self.buckets]
        longest = max((len(self._queues[category]) for category in order), default=0)
        category, latest = np.zeros((1, self.buckets), np.int64), np.zeros((1, self.buckets), np.int64)
        items = np.zeros((1, self.buckets, longest), np.int32)
        for place, each in enumerate(order):
            queue = self._queues[each]
            category[0, place], latest[0, place] = each, self._touched[each][1]
            items[0, place, : len(queue)] = queue
        return Buckets(np.array([len(order)]), category, latest, items)
