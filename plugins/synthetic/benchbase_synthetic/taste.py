"""Taste: users of two groups, who like opposite kinds of items; what the best model knows of what they will like."""

from dataclasses import dataclass

import numpy as np

from .config import ActionsConfig

KINDS = ("dogs", "cats")
"""The kinds of items; whoever likes one does not like the other."""


@dataclass(frozen=True)
class Tastes:
    """The kind of every item, 0 or 1, and how often it is shared, both (n_items,)."""

    kind: np.ndarray
    rate: np.ndarray


def make_tastes(config: ActionsConfig, seed: int) -> Tastes:
    """The items of a world: half of them of either kind."""
    rng = np.random.default_rng([seed, 1])
    kind = rng.permutation(np.arange(config.n_items) % 2)
    return Tastes(kind, rng.uniform(config.low, config.high, config.n_items))


def act(config: ActionsConfig, items: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What users do with items (n_users, longest): they like them by taste, and share them whoever they are."""
    tastes, rng = make_tastes(config, seed), np.random.default_rng([seed, 2])
    group = rng.integers(0, 2, (len(items), 1))
    chance = np.where(tastes.kind[items] == group, config.keen, 1 - config.keen)
    return {"like": rng.random(items.shape) < chance, "share": rng.random(items.shape) < tastes.rate[items]}


def agreement(config: ActionsConfig, seen: np.ndarray) -> np.ndarray:
    """How likely a user is to act as the first group does, given `seen`: events so, less events otherwise.

    By Bayes: both groups are equally likely before anything is seen, and each event weighs log(keen / (1 - keen)).
    """
    odds = seen * np.log(config.keen / (1 - config.keen))
    first = 1 / (1 + np.exp(-odds))
    return np.asarray(first * config.keen + (1 - first) * (1 - config.keen))
