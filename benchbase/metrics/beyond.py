"""Beyond accuracy: how much of the catalogue the top-k lists show, how new, how varied and how popular it is.

lists: (rows, K) item ids from 1, best first, padded with 0; counts: (n_items,) training events of item j + 1.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError
from .columns import columns
from .ranking import Floats, Ints

BUDGET = 1 << 22  # numbers gathered at once for pairwise distances


def coverage(lists: ArrayLike, n_items: int, k: int) -> float:
    """The share of the catalogue that stands in at least one list."""
    items = _top("coverage", lists, n_items, k)
    return float(np.unique(items[items > 0]).size / n_items)


def novelty(lists: ArrayLike, counts: ArrayLike, k: int) -> Floats:
    """Each list's mean of -log2(an item's share of training events), in bits; (rows,), nan for an empty list.

    An item without events counts as one event, since a share of 0 has no finite novelty.
    Source: Zhou et al. 2010, Solving the apparent diversity-accuracy dilemma, with events in place of users.
    """
    count = np.asarray(counts, dtype=np.float64)
    bits = -np.log2(np.maximum(count, 1) / max(count.sum(), 1))
    return _list_mean(_top("novelty", lists, count.size, k), bits)


def mean_count(lists: ArrayLike, counts: ArrayLike, k: int) -> Floats:
    """Each list's mean number of training events of its items; (rows,), nan for an empty list."""
    count = np.asarray(counts, dtype=np.float64)
    return _list_mean(_top("mean_count", lists, count.size, k), count)


def popularity_lift(lists: ArrayLike, counts: ArrayLike, history: ArrayLike, k: int) -> float:
    """How much more popular the lists are than what their users chose: 0 is alike, 1 is twice as popular.

    history: (rows,) the mean count of the items in each row's history. Empty lists do not count.
    Source: Abdollahpouri et al. 2019, The unfairness of popularity bias in recommendation, delta GAP.
    """
    shown, chosen = columns("metrics.popularity_lift", lists=mean_count(lists, counts, k), history=history)
    known = ~np.isnan(shown)
    return float(shown[known].mean() / chosen[known].mean() - 1) if known.any() else float("nan")


def intra_list_diversity(lists: ArrayLike, features: ArrayLike, k: int) -> Floats:
    """Each list's mean distance between two of its items; (rows,), nan where a list has fewer than two.

    features: (n_items, F). Booleans are category sets: Jaccard distance, 0 between two empty sets.
    Numbers are vectors: cosine distance, 1 to a zero vector.
    Source: Ziegler et al. 2005, Improving recommendation lists through topic diversification.
    """
    table = np.asarray(features)
    items = _top("intra_list_diversity", lists, len(table), k)
    similarity = _jaccard if table.dtype == np.bool_ else _cosine
    table = np.concatenate((np.zeros_like(table[:1]), table))  # row 0 is padding
    step = max(1, BUDGET // max(1, k * table.shape[1]))
    parts = [_distance(similarity(table[part]), part > 0) for part in np.split(items, range(step, len(items), step))]
    return np.concatenate(parts)


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


def _top(where: str, lists: ArrayLike, n_items: int, k: int) -> Ints:
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
