"""Buckets: a history taken apart by category, newest first at both levels; integers only."""

from dataclasses import dataclass

import numpy as np

from benchbase.data import Categories
from benchbase.data.sequences import Events

BITS = 63
"""Of a number that is sorted by."""

STRIDE = 131
"""Between the lots of two categories, so that each draws its own."""


@dataclass(frozen=True)
class Buckets:
    """Buckets of B rows, the one of the newest event first.

    tokens (B,): how many a row has; category (B, V), latest (B, V) int64: its category and newest time, 0 beyond;
    items (B, V, G) int32: its items, newest first, 0 beyond.
    """

    tokens: np.ndarray
    category: np.ndarray
    latest: np.ndarray
    items: np.ndarray


def fill(events: Events, categories: Categories, most: int | np.ndarray, items: int, width: int,
         lots: np.ndarray | None = None) -> Buckets:
    """Every row's events in buckets; an event of several categories is in the bucket of each, one of none in none.

    `most` (B,) or for all rows: buckets that are kept; `items` in each, 0 for no limit; `width`: V, the columns of the
    result. `lots` (n,): each bucket keeps any `items` of its own, in order of time, drawn by these numbers, and not its
    newest.
    Source: CAUSE, bucketing and selection.
    """
    row, category, back = _entries(events, categories)
    fresh = np.ones(len(row), bool)
    fresh[1:] = (row[1:] != row[:-1]) | (category[1:] != category[:-1])
    heads = np.flatnonzero(fresh)
    bucket = np.cumsum(fresh) - 1
    # buckets of a row by their newest event; those of one event in the order of its categories
    order = np.lexsort((category[heads], back[heads], row[heads]))
    begins = np.searchsorted(row[heads][order], np.arange(events.n_rows))
    place = np.empty(len(heads), np.int64)
    place[order] = np.arange(len(heads)) - begins[row[heads][order]]
    kept = place < np.minimum(np.broadcast_to(most, events.n_rows), width)[row[heads]]
    place, of = place[kept], row[heads][kept]
    tokens = np.bincount(of, minlength=events.n_rows)
    labels, latest = (np.zeros((events.n_rows, width), np.int64) for _ in range(2))
    labels[of, place] = category[heads[kept]]
    latest[of, place] = events.timestamp[_at(events, of, back[heads[kept]])]
    held = _held(bucket, heads, kept, category, items, lots)
    rank = _rank(bucket[held])
    made = np.zeros((events.n_rows, width, int(rank.max(initial=-1)) + 1), np.int32)
    where = np.full(len(heads), 0)
    where[kept] = place
    made[row[held], where[bucket[held]], rank] = events.item[_at(events, row[held], back[held])]
    return Buckets(tokens, labels, latest, made)


def _entries(events: Events, categories: Categories) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, category and place (0 is the newest event) of every event in every bucket of its, sorted in this order."""
    counts = categories.offsets[events.item.astype(np.int64) + 1] - categories.offsets[events.item]
    event = np.repeat(np.arange(len(events.item)), counts)
    inside = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
    category = categories.values[categories.offsets[events.item[event]] + inside].astype(np.int64)
    row = events.row[event]
    back = events.offsets[row + 1] - 1 - event
    bits = [max(int(column.max(initial=0)), 1).bit_length() for column in (row, category, back)]
    if sum(bits) > BITS:
        order = np.lexsort((back, category, row))
        return row[order], category[order], back[order]
    key = np.sort((((row << bits[1]) | category) << bits[2]) | back)  # one sort of numbers, several times faster
    return key >> (bits[1] + bits[2]), (key >> bits[2]) & ((1 << bits[1]) - 1), key & ((1 << bits[2]) - 1)


def _at(events: Events, row: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Positions of events, from their row and place."""
    return np.asarray(events.offsets[row + 1] - 1 - back)


def _held(bucket: np.ndarray, heads: np.ndarray, kept: np.ndarray, category: np.ndarray, items: int,
          lots: np.ndarray | None) -> np.ndarray:
    """Which entries the buckets keep, ascending: of those `kept` the newest `items`, or any."""
    there = kept[bucket]
    if not items:
        return np.flatnonzero(there)
    if lots is None:
        return np.flatnonzero(there & (np.arange(len(bucket)) - heads[bucket] < items))
    sizes = np.diff(np.append(heads, len(bucket)))
    age = sizes[bucket] - (np.arange(len(bucket)) - heads[bucket])  # newer events change no older one's number
    order = np.lexsort((lots[(age + STRIDE * category) % len(lots)], bucket))
    rank = np.empty(len(bucket), np.int64)
    rank[order] = np.arange(len(bucket)) - heads[bucket[order]]
    return np.flatnonzero(there & (rank < items))


def _rank(bucket: np.ndarray) -> np.ndarray:
    """The place of each entry in its bucket; entries of a bucket stand together."""
    place = np.arange(len(bucket))
    fresh = np.ones(len(bucket), bool)
    fresh[1:] = bucket[1:] != bucket[:-1]
    return np.asarray(place - np.maximum.accumulate(np.where(fresh, place, 0)))
