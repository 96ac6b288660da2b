"""Pair by user, seeds nested: one system's runs as an array, two systems' runs as one difference per user."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError

Floats = NDArray[np.float64]
Runs = Mapping[Any, tuple[ArrayLike, ArrayLike]] | ArrayLike  # seed -> (users, values), or values (seeds, users)


def stack(runs: Runs, where: str = "stats") -> tuple[NDArray[Any], Floats]:
    """The users (users,), ascending, and their values (seeds, users), seeds ascending.

    Runs over different users, a user twice in one run and values that are not finite are BenchbaseErrors.
    """
    if isinstance(runs, Mapping):
        users, rows = _align(runs, where)
    else:
        rows = np.asarray(runs, dtype=np.float64)
        users = np.arange(rows.shape[-1] if rows.ndim else 0)
    if rows.ndim != 2 or rows.size == 0:
        raise BenchbaseError(
            f"{where}: values of shape {rows.shape}. Expected (seeds, users) with at least one of both."
        )
    if not np.isfinite(rows).all():
        raise BenchbaseError(f"{where}: a value is nan or infinite. Expected a finite one per seed and user.")
    return users, rows


def user_differences(first: Runs, second: Runs) -> tuple[NDArray[Any], Floats]:
    """The users and, for each, the mean over seeds of `first` less that of `second`; seeds need not be the same.

    Systems over different users are a BenchbaseError: no user is dropped in silence.
    """
    users, ours = stack(first, "stats.user_differences: the first system")
    others, theirs = stack(second, "stats.user_differences: the second system")
    same_users("stats.user_differences: the systems", users, others)
    return users, ours.mean(0) - theirs.mean(0)


def same_users(where: str, first: NDArray[Any], second: NDArray[Any]) -> None:
    """Raise a BenchbaseError unless both hold the same users."""
    if not np.array_equal(first, second):
        odd = np.setxor1d(first, second).size
        raise BenchbaseError(
            f"{where} have {first.size} and {second.size} users, {odd} of them in one only. "
            "Expected the same users, so that they can be paired. Nearest: evaluate both under one protocol."
        )


def _align(runs: Mapping[Any, tuple[ArrayLike, ArrayLike]], where: str) -> tuple[NDArray[Any], Floats]:
    if not runs:
        raise BenchbaseError(f"{where}: no runs. Expected at least one seed.")
    seeds = sorted(runs, key=lambda seed: (str(type(seed)), seed))
    owners, rows = zip(*(_by_user(*runs[seed], f"{where}: seed {seed}") for seed in seeds), strict=True)
    for seed, users in zip(seeds, owners, strict=True):
        same_users(f"{where}: seeds {seeds[0]} and {seed}", owners[0], users)
    return owners[0], np.stack(rows)


def _by_user(users: ArrayLike, values: ArrayLike, where: str) -> tuple[NDArray[Any], Floats]:
    owner, value = np.asarray(users), np.asarray(values, dtype=np.float64)
    if owner.ndim != 1 or owner.shape != value.shape:
        raise BenchbaseError(f"{where} has users {owner.shape} and values {value.shape}. Expected one value per user.")
    unique, index = np.unique(owner, return_index=True)
    if unique.size < owner.size:
        raise BenchbaseError(
            f"{where} has a user twice. Expected one value per user. Nearest: benchbase.metrics.user_mean."
        )
    return unique, value[index]
