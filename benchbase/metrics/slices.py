"""Ranking metrics within groups of events, such as domains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .columns import columns
from .ranking import user_mean


@dataclass(frozen=True)
class Slice:
    """A metric within a group, the mean over users of their mean over events, and how many of each it has."""

    mean: float
    users: int
    events: int


def slice_means(label: ArrayLike, user: ArrayLike, values: ArrayLike) -> dict[int | str, Slice]:
    """The metric in each labelled group of events, by ascending label; one of all gives the metric itself.

    label, user, values: (events,); labels are whole numbers or strings.
    """
    labels, users, numbers = columns("metrics.slice_means", label=label, user=user, values=values)
    return {one.item(): _slice(users[labels == one], numbers[labels == one]) for one in np.unique(labels)}


def _slice(user: ArrayLike, values: ArrayLike) -> Slice:
    means = user_mean(user, values)[1]
    return Slice(float(means.mean()), len(means), len(np.asarray(values)))
