"""Sequences: which stretch of whose events a model reads, before anything becomes a tensor."""

from dataclasses import dataclass

import numpy as np

from .interactions import Interactions
from .splits import TRAIN, Split


@dataclass(frozen=True)
class Events:
    """Ragged events of several rows: row b has positions offsets[b]:offsets[b + 1], oldest first.

    offsets (B + 1,) int64; item (n,) int32; timestamp (n,) int64, 0 where unknown; actions (n, A) float32.
    """

    offsets: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    actions: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def row(self) -> np.ndarray:
        """The row of every event, (n,) int64."""
        return np.repeat(np.arange(self.n_rows), self.lengths)


@dataclass(frozen=True)
class Rows:
    """Stretches of events: row b reads positions start[b]:stop[b] of the interactions of user[b].

    All int64. `first` is where the user's own events begin: first[b]:start[b] is the history.
    """

    user: np.ndarray
    first: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, index: np.ndarray | slice) -> "Rows":
        return Rows(self.user[index], self.first[index], self.start[index], self.stop[index])


def train_lengths(interactions: Interactions, split: Split) -> np.ndarray:
    """How many train-part events each user has, (n_users,) int64; they are the user's oldest, but in a later period of
    a stream.
    """
    total = np.concatenate([[0], np.cumsum(split.part == TRAIN)])
    return np.asarray(total[interactions.offsets[1:]] - total[interactions.offsets[:-1]])


def train_rows(interactions: Interactions, split: Split, window: int, in_place: bool,
               stride: int | None = None) -> Rows:
    """One row per user, the most recent train-part events, or one every `stride` events back to the first.

    A row whose targets stand `in_place`, masked items or actions, holds up to `window` of them; otherwise one more,
    whose item is predicted and never read. A row's first event is read, so that it is a target of the row before it
    alone. Users with fewer events than a prediction needs (1 in place, 2 otherwise) are left out.
    """
    lengths = train_lengths(interactions, split)
    user = np.flatnonzero(lengths >= (1 if in_place else 2))
    span = window + (0 if in_place else 1)
    first, lengths = interactions.offsets[user], lengths[user]
    stop = first + lengths
    if stride is not None:
        n = 1 + -(-np.maximum(lengths - span, 0) // stride)
        back = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)  # 0 for a user's newest window, then 1, 2, ...
        user, first, stop = np.repeat(user, n), np.repeat(first, n), np.repeat(stop, n) - back * stride
    return Rows(user, first, np.maximum(first, stop - span), stop)


def learned_rows(interactions: Interactions, learn: np.ndarray, window: int, in_place: bool
                 ) -> tuple[Rows, np.ndarray]:
    """Each user's row that ends with their last event in `learn` (n_events,) bool, and the first such event, (B,).

    Of every user they follow each other. Users of whom none can be predicted, since nothing is before it, are left out.
    """
    place = np.flatnonzero(learn)
    user = np.searchsorted(interactions.offsets, place, side="right") - 1
    if not in_place:
        able = place > interactions.offsets[user]
        place, user = place[able], user[able]
    user, begins = np.unique(user, return_index=True)
    stop = place[np.append(begins[1:], len(place)) - 1] + 1 if len(user) else place
    first, span = interactions.offsets[user], window + (0 if in_place else 1)
    return Rows(user, first, np.maximum(first, stop - span), stop), place[begins]


def score_rows(interactions: Interactions, events: np.ndarray, window: int) -> Rows:
    """One row per evaluated event: the up to `window` events of its user right before it.

    `events` (n,) int64 are positions in the interactions; `stop` is the event itself, which is not read.
    """
    user = np.searchsorted(interactions.offsets, events, side="right") - 1
    first = interactions.offsets[user]
    return Rows(user, first, np.maximum(first, events - window), events)


def action_rows(interactions: Interactions, events: np.ndarray, window: int, most: int) -> tuple[Rows, np.ndarray]:
    """Rows that end with evaluated events, up to `most` that follow each other, and how many each ends with, (B,).

    `events` (n,) int64, ascending, are positions in the interactions; a row is the up to `window` events up to its last
    one. Rows in their order have the events in theirs.
    """
    user = np.searchsorted(interactions.offsets, events, side="right") - 1
    fresh = (np.diff(user, prepend=-1) != 0) | (np.diff(events, prepend=-2) != 1)
    place = np.arange(len(events)) - np.maximum.accumulate(np.where(fresh, np.arange(len(events)), 0))
    begins = np.flatnonzero(place % most == 0)
    count = np.diff(np.append(begins, len(events)))
    stop, owner = events[begins] + count, user[begins]
    first = interactions.offsets[owner]
    return Rows(owner, first, np.maximum(first, stop - window), stop), count


def gather(interactions: Interactions, start: np.ndarray, stop: np.ndarray) -> Events:
    """The events of several stretches as one ragged block."""
    lengths = stop - start
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    index = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], lengths)
    times = interactions.timestamp
    timestamp = np.zeros(len(index), np.int64) if times is None else times[index]
    return Events(offsets, interactions.item[index], timestamp, interactions.actions[index])


def train_events(interactions: Interactions, split: Split) -> Events:
    """All train-part events by user, for recommenders that are fitted on counts."""
    which = split.part == TRAIN
    total = np.concatenate([[0], np.cumsum(which)])
    times = interactions.timestamp
    timestamp = np.zeros(total[-1], np.int64) if times is None else times[which]
    return Events(total[interactions.offsets], interactions.item[which], timestamp, interactions.actions[which])


def item_counts(interactions: Interactions, split: Split, n_items: int) -> np.ndarray:
    """Train-part events per item, (n_items + 1,) int64; entry 0 is padding's, always 0."""
    return np.bincount(interactions.item[split.part == TRAIN], minlength=n_items + 1).astype(np.int64)
