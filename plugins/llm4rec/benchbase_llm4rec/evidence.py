"""Which past events speak for an item, and what may truly be said of them."""

import numpy as np

from benchbase.data import Names, Recommendation, quoted

from .config import EvidenceConfig

Features = tuple[tuple[str, str], ...]

MOST = 2
"""Shared categories that a sentence names."""


def choose(config: EvidenceConfig, asked: Recommendation, names: Names) -> tuple[int, ...]:
    """Places in the past of the events that speak most for the item, the strongest first; one event is left."""
    n = len(asked.past)
    if config.evidence == "attention":
        assert asked.attention is not None, "fits only where attention has shares"
        strength = np.asarray(asked.attention, np.float64)
    elif config.evidence == "similarity":
        strength = np.asarray(asked.similarity, np.float64)
    elif config.evidence == "categories":
        own = set(names.labels(asked.item))
        strength = np.array([len(own & set(names.labels(int(item)))) for item in asked.past], np.float64)
    else:
        strength = np.zeros(n)
    order = np.lexsort((-np.arange(n), -strength))
    return tuple(order[: min(config.events, n - 1)].tolist())


def shared(asked: Recommendation, event: int, names: Names) -> Features:
    """Categories that the item has in common with what was chosen in an event, the first few."""
    own = set(names.labels(int(asked.past[event])))
    return tuple(each for each in names.labels(asked.item) if each in own)[:MOST]


def listed(said: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def chosen(asked: Recommendation, events: tuple[int, ...], names: Names) -> str:
    """What these events chose, each item once, in their order."""
    return listed(list(dict.fromkeys(quoted(names.item(int(asked.past[event]))) for event in events)))


def labelled(features: Features) -> str:
    """The labels of features, each once."""
    return listed(list(dict.fromkeys(quoted(label) for _, label in features)))
