"""Beyond accuracy: how much of the catalogue the top-k lists show, how new, how varied and how popular it is.

lists: (rows, K) item ids from 1, best first, padded with 0; counts: (n_items,) training events of item j + 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError
from .columns import columns
from .ranking import Floats, Ints, user_mean

BUDGET = 1 << 22  # numbers gathered at once for pairwise distances


@dataclass(frozen=True)
class Sets:
    """Category sets of items, ragged: item j + 1 has values[offsets[j]:offsets[j + 1]], each once.

    offsets: (n_items + 1,) from 0; values: (members,) whole numbers from 0.
    """

    offsets: Ints
    values: NDArray[Any]


def coverage(lists: ArrayLike, n_items: int, k: int) -> float:
    """The share of the catalogue that stands in at least one list."""
    items = top("coverage", lists, n_items, k)
    return float(np.unique(items[items > 0]).size / n_items)


def novelty(lists: ArrayLike, counts: ArrayLike, k: int) -> Floats:
    """Each list's mean of -log2(an item's share of training events), in bits; (rows,), nan for an empty list.

    An item without events counts as one event, since a share of 0 has no finite novelty.
    Source: Zhou et al. 2010, Solving the apparent diversity-accuracy dilemma, with events in place of users.
    """
    count = np.asarray(counts, dtype=np.float64)
    bits = -np.log2(np.maximum(count, 1) / max(count.sum(), 1))
    return _list_mean(top("novelty", lists, count.size, k), bits)


def mean_count(lists: ArrayLike, counts: ArrayLike, k: int) -> Floats:
    """Each list's mean number of training events of its items; (rows,), nan for an empty list."""
    count = np.asarray(counts, dtype=np.float64)
    return _list_mean(top("mean_count", lists, count.size, k), count)


def popularity_lift(lists: ArrayLike, counts: ArrayLike, history: ArrayLike, k: int,
                    user: ArrayLike | None = None) -> float:
    """How much more popular the lists are than what their users chose: 0 is alike, 1 is twice as popular.

    history: (rows,) the mean count of the items in each row's history; user: (rows,) whose rows count as one, None for
    each by itself. Empty lists do not count.
    Source: Abdollahpouri et al. 2019, The unfairness of popularity bias in recommendation, delta GAP.
    """
    means = mean_count(lists, counts, k)
    owner = np.arange(len(means)) if user is None else user
    shown, chosen, owner = columns("metrics.popularity_lift", lists=means, history=history, user=owner)
    known = ~np.isnan(shown)
    if not known.any():
        return float("nan")
    shown, chosen = (user_mean(owner[known], each[known])[1] for each in (shown, chosen))
    return float(shown.mean() / chosen.mean() - 1)


def intra_list_diversity(lists: ArrayLike, features: ArrayLike | Sets, k: int) -> Floats:
    """Each list's mean distance between two of its items; (rows,), nan where a list has fewer than two.

    features: (n_items, F). Booleans are category sets: Jaccard distance, 0 between two empty sets. Numbers are vectors:
    cosine distance, 1 to a zero vector. Of many categories `Sets` take less room than flags.
    Source: Ziegler et al. 2005, Improving recommendation lists through topic diversification.
    """
    if isinstance(features, Sets):
        items = top("intra_list_diversity", lists, len(features.offsets) - 1, k)
        step = max(1, BUDGET // max(1, k * k))
        some = np.split(items, range(step, len(items), step))
        return np.concatenate([_diversity_of_sets(part, features) for part in some])
    table = np.asarray(features)
    items = top("intra_list_diversity", lists, len(table), k)
    similarity = _jaccard if table.dtype == np.bool_ else _cosine
    table = np.concatenate((np.zeros_like(table[:1]), table))  # row 0 is padding
    step = max(1, BUDGET // max(1, k * table.shape[1]))
    parts = [_distance(similarity(table[part]), part > 0) for part in np.split(items, range(step, len(items), step))]
    return np.concatenate(parts)


def _diversity_of_sets(items: Ints, sets: Sets) -> Floats:
    """The diversity of lists (rows, k)."""
    first, second = np.triu_indices(items.shape[1], 1)
    valid = (items[:, first] > 0) & (items[:, second] > 0)
    distance = np.zeros(valid.shape)
    distance[valid] = 1 - _jaccard_of_pairs(sets, items[:, first][valid] - 1, items[:, second][valid] - 1)
    return _ratio(distance.sum(1), valid.sum(1))


def _jaccard_of_pairs(sets: Sets, one: Ints, other: Ints) -> Floats:
    """The similarity of each pair (pairs,) of items from 0; a pair that occurs again is not compared again."""
    n_items = len(sets.offsets) - 1
    pairs, place = np.unique(np.minimum(one, other) * n_items + np.maximum(one, other), return_inverse=True)
    one, other = np.divmod(pairs, n_items)
    size = np.diff(sets.offsets)
    width = int(sets.values.max(initial=0)) + 1
    both = np.zeros(len(pairs), np.int64)
    ends = np.cumsum(size[one] + size[other])
    for some in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(ends // BUDGET)) + 1):
        keys = np.sort(np.concatenate([_members(sets, each[some]) * np.array([[width], [1]]) for each in (one, other)],
                                      axis=1).sum(0))  # a category that both have stands there twice
        both[some] = np.bincount(keys[1:][keys[1:] == keys[:-1]] // width, minlength=len(some))
    either = size[one] + size[other] - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)[place]


def _members(sets: Sets, items: Ints) -> Ints:
    """The place in `items` and the category of every member of each item's set, (2, members)."""
    size = np.diff(sets.offsets)[items]
    row = np.repeat(np.arange(len(items)), size)
    within = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    return np.stack([row, sets.values[np.repeat(sets.offsets[items], size) + within].astype(np.int64)])


def _distance(similarity: Floats, valid: NDArray[np.bool_]) -> Floats:
    """The mean of 1 - similarity (rows, k, k) over each row's pairs of valid (rows, k) items."""
    pair = valid[:, :, None] & valid[:, None, :] & ~np.eye(valid.shape[1], dtype=bool)
    n = pair.sum((1, 2))
    total = np.where(pair, 1 - similarity, 0).sum((1, 2))
    return _ratio(total, n)


def _jaccard(sets: NDArray[Any]) -> Floats:
    """sets: (rows, k, F) -> (rows, k, k)."""
    member = sets.astype(np.float64)
    size = member.sum(2)
    both: Floats = member @ member.swapaxes(1, 2)
    either = size[:, :, None] + size[:, None, :] - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def _cosine(vectors: NDArray[Any]) -> Floats:
    """vectors: (rows, k, F) -> (rows, k, k)."""
    numbers = vectors.astype(np.float64)
    length = np.linalg.norm(numbers, axis=2, keepdims=True)
    unit: Floats = np.divide(numbers, length, out=np.zeros_like(numbers), where=length > 0)
    product: Floats = unit @ unit.swapaxes(1, 2)
    return product


def _list_mean(items: Ints, value: Floats) -> Floats:
    """The mean over each row's items of value (n_items,)."""
    total = np.append(0.0, value)[items].sum(1)
    size = (items > 0).sum(1)
    return _ratio(total, size)


def _ratio(total: Floats, size: Ints) -> Floats:
    mean: Floats = np.divide(total, size, out=np.full(size.shape, np.nan), where=size > 0)
    return mean


def top(where: str, lists: ArrayLike, n_items: int, k: int) -> Ints:
    """The first k places of the lists (rows, k). Errors: `BenchbaseError` where they hold fewer, or other items."""
    items = np.asarray(lists)
    if items.ndim != 2 or not 1 <= k <= items.shape[1]:
        raise BenchbaseError(
            f"metrics.{where}: lists of shape {items.shape} hold no top {k}. Expected (rows, K) with K >= k >= 1."
        )
    if items.size and not 0 <= items.min() <= items.max() <= n_items:
        raise BenchbaseError(
            f"metrics.{where}: items from {items.min()} to {items.max()}, but the catalogue has {n_items}. "
            "Expected ids from 1, and 0 as padding."
        )
    return items[:, :k].astype(np.int64)
