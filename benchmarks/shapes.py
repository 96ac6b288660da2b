"""Data of the shape of a known set, and experiments on it, for the benchmarks of this folder."""

from pathlib import Path
from typing import Any

import numpy as np

from benchbase.assemble import Experiment
from benchbase.data import Catalogue, Categories, Interactions
from benchbase.testing.build import Chosen, make_experiment
from benchbase.testing.world import World


def generated(n_users: int, n_items: int, mean_length: float, longest: int, seed: int = 0) -> World:
    """Users of log-normal length who pick items by a power law; nothing to learn, everything to compute."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(np.log(mean_length) - 0.5, 1.0, n_users).astype(np.int64), 5, longest)
    n = int(lengths.sum())
    item = (n_items * random.random(n) ** 2).astype(np.int32) + 1
    item[: min(n, n_items)] = np.arange(1, min(n, n_items) + 1)
    return world_of(np.concatenate([[0], np.cumsum(lengths)]), item, n_items)


def from_pairs(path: Path) -> World:
    """A file of lines `user item`, each user's in order."""
    user, item = np.loadtxt(path, dtype=np.int64).T
    order = np.argsort(user, kind="stable")
    _, counts = np.unique(user, return_counts=True)
    labels, item = np.unique(item[order], return_inverse=True)
    return world_of(np.concatenate([[0], np.cumsum(counts)]), item.astype(np.int32) + 1, len(labels))


def ml_1m(path: Path | None, small: bool) -> World:
    """The file, or generated data of its size: 6,040 users, 3,416 items, 165 events a user."""
    if path is not None:
        return from_pairs(path)
    return generated(200, 300, 40, 200) if small else generated(6_040, 3_416, 165, 2_314)


def experiment(world: World, backbone: Chosen, objective: Chosen, window: int, **train: Any) -> Experiment:
    """A run of leave-one-out in which early stopping plays no part."""
    protocol = {"split": "leave_one_out", "window": window}
    return make_experiment(backbone, objectives=[objective], world=world, protocol=protocol,
                           train={"batch": 128, "buckets": 4, "patience": 0} | train)


def full(users: int, length: int, n_items: int) -> World:
    """Sequences of one length, of items drawn uniformly."""
    draw = np.random.default_rng(0)
    item = draw.integers(1, n_items + 1, users * length, dtype=np.int32)
    item[: min(n_items, len(item))] = np.arange(1, min(n_items, len(item)) + 1)
    return world_of(np.arange(users + 1) * length, item, n_items)


def categories_of(n_items: int, count: int, most: int) -> Categories:
    """One to `most` of so many categories for every item, drawn uniformly."""
    draw = np.random.default_rng(2)
    lengths = draw.integers(1, most + 1, n_items)
    first = np.arange(count)[None, :] < lengths[:, None]
    values = np.sort(np.where(first, draw.random((n_items, count)).argsort(axis=1), count), axis=1)
    offsets = np.concatenate([[0, 0], np.cumsum(lengths)])
    return Categories(offsets, values[values < count].astype(np.int32), tuple(f"category {n:02}" for n in range(count)))


def world_of(offsets: np.ndarray, item: np.ndarray, n_items: int) -> World:
    """Users' items in order, without times."""
    none = np.zeros((len(item), 0), np.float32)
    return World(Interactions(offsets, item, None, none, none), Catalogue(np.arange(n_items + 1), has_time=False))
