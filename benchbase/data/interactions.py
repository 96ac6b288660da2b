"""Interactions: who did what, when; the one form in which events reach splits and sequences."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Interactions:
    """Events of all users, sorted by user and, within a user, by time.

    `offsets` (n_users + 1,) int64: user u's events are rows offsets[u]:offsets[u + 1]. `item` (n,) int32
    in 1..n_items. `timestamp` (n,) int64 seconds, or None where the source has none (then the order is the
    source's). `actions` (n, A) float32, columns named by `action_names`; `features` (n, F) float32; `marks` (n, M)
    float32 of events that no model reads, or None.
    `user_ids` (n_users,): original ids in ascending order, or None where nobody needs them. Arrays that
    come from a prepared data set are memory-mapped and read-only.
    """

    offsets: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray | None
    actions: np.ndarray
    features: np.ndarray
    action_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    user_ids: np.ndarray | None = None
    marks: np.ndarray | None = None
    mark_names: tuple[str, ...] = ()

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        return len(self.item)

    @property
    def user(self) -> np.ndarray:
        """The user of every event, (n,) int32; made on each call."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.offsets))

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The columns of `actions` that can be predicted: they say of every event whether something happened, 0 or 1.

        Others, such as a play time, are only read.
        """
        return tuple(place for place in range(self.actions.shape[1]) if _all_0_or_1(self.actions[:, place]))

    def mark(self, name: str) -> np.ndarray:
        """A column of marks, (n,) float32."""
        assert self.marks is not None
        return np.asarray(self.marks[:, self.mark_names.index(name)])

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the actions that can be predicted."""
        return tuple(self.action_names[place] for place in self.labels)


def _all_0_or_1(values: np.ndarray) -> bool:
    return bool(((values == 0) | (values == 1)).all())
