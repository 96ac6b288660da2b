"""Own domain: sequences taken apart by domain, so that a model reads of each target's own domain alone."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..catalogue import Catalogue
from ..interactions import Interactions
from ..splits import Split
from .feed import Feed, FeedConfig, ScoreBatch
from .plans import Planner


class OwnDomainFeed(Feed):
    """As a feed, with a sequence for each user and domain. Items without a domain make one of their own.

    An evaluated event without an earlier event of its domain is asked for after all earlier events: something must be
    read, and every configuration answers the same questions.
    """

    def __init__(self, interactions: Interactions, catalogue: Catalogue, split: Split, config: FeedConfig,
                 compressor: Planner | None = None, learn: np.ndarray | None = None):
        apart, order, owner = take_apart(interactions, catalogue)
        divided = replace(split, part=np.asarray(split.part)[order])
        super().__init__(apart, catalogue, divided, config, compressor, owner, None if learn is None else learn[order])
        self.whole = Feed(interactions, catalogue, split, config, compressor, learn=learn)
        self.place = np.empty(len(order), np.int64)
        self.place[order] = np.arange(len(order))

    def learning(self, split: Split, learn: np.ndarray, seed: int) -> Feed:
        whole = self.whole
        return OwnDomainFeed(whole.interactions, whole.catalogue, split, replace(self.config, seed=seed),
                             self._compressor, learn)

    def read_whole(self, events: np.ndarray) -> np.ndarray:
        """Which of these events (n,) have no earlier one of their domain, bool."""
        at, offsets = self.place[events], self.interactions.offsets
        return np.asarray(at == offsets[np.searchsorted(offsets, at, side="right") - 1])

    def score_batches(self, events: np.ndarray, size: int) -> Iterator[ScoreBatch]:
        at, whole = self.place[events], self.read_whole(events)
        own = np.flatnonzero(~whole)
        own = own[np.argsort(at[own])]
        for chunk in super().score_batches(at[own], size):
            yield replace(chunk, index=own[chunk.index])
        rest = np.flatnonzero(whole)
        for chunk in self.whole.score_batches(events[rest], size):
            yield replace(chunk, index=rest[chunk.index])


def take_apart(interactions: Interactions, catalogue: Catalogue) -> tuple[Interactions, np.ndarray, np.ndarray]:
    """`(apart, order, owner)`: the events by user and domain, in each as before; row i is row order[i] of the original,
    and user u is user owner[u].
    """
    assert catalogue.domain is not None, "assemble refuses single-domain training without domains"
    user, domain = interactions.user, catalogue.domain[interactions.item]
    order = np.lexsort((domain, user))  # stable: events of one domain stay in their order
    fresh = np.ones(len(order), bool)
    fresh[1:] = (user[order][1:] != user[order][:-1]) | (domain[order][1:] != domain[order][:-1])
    starts = np.flatnonzero(fresh)
    time = interactions.timestamp
    apart = replace(
        interactions, offsets=np.append(starts, len(order)).astype(np.int64), item=np.asarray(interactions.item)[order],
        timestamp=None if time is None else np.asarray(time)[order], actions=np.asarray(interactions.actions)[order],
        features=np.asarray(interactions.features)[order], user_ids=None,
        marks=None if interactions.marks is None else np.asarray(interactions.marks)[order],
    )
    return apart, order, user[order][starts]
