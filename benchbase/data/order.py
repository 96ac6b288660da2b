"""Order: group events by user and sort them by time within a user, without one big comparison sort."""

from collections.abc import Iterator

import numpy as np

CHUNK = 1 << 17
"""Rows sorted at once: small enough that user, value and row fit one 64-bit key and stay in a core's cache."""


def group(codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Group rows by code, keeping the row order inside a group: `(offsets, order)`.

    `codes` (n,) in 0..n_groups-1; group g is the rows order[offsets[g]:offsets[g + 1]]; `offsets` int64.
    """
    offsets = np.zeros(n_groups + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=n_groups), out=offsets[1:])
    index = np.int32 if len(codes) < 2**31 else np.int64
    if (codes[1:] >= codes[:-1]).all():
        return offsets, np.arange(len(codes), dtype=index)
    from scipy.sparse import csr_array

    # One entry a row, its column the code: turning rows into columns is a stable counting sort.
    rows = np.arange(len(codes) + 1, dtype=index)
    table = csr_array((np.ones(len(codes), np.int8), codes.astype(index, copy=False), rows), (len(codes), n_groups))
    return offsets, table.tocsc().indices.astype(index, copy=False)


def sort_within(offsets: np.ndarray, values: np.ndarray, order: np.ndarray) -> None:
    """Reorder `order` in place so that `values[order]` ascends inside every group; equal values keep their order."""
    for a, b, groups in _blocks(offsets):
        value = values[order[a:b]]
        falls = value[1:] < value[:-1]
        if not (falls & (groups[1:] == groups[:-1])).any():
            continue
        order[a:b] = order[a:b][_argsort(groups, value)]


def shuffle_ties(offsets: np.ndarray, values: np.ndarray | None, keys: "TieKeys", order: np.ndarray) -> None:
    """Reorder `order` in place where neighbours of a group have equal `values` (None: all equal), by `keys`."""
    for a, b, groups in _blocks(offsets):
        same = groups[1:] == groups[:-1]
        if values is not None:
            value = values[order[a:b]]
            same &= value[1:] == value[:-1]
        starts = np.concatenate(([True], ~same))
        tied = np.flatnonzero(~(starts & np.concatenate((~same, [True]))))
        rows = order[a:b][tied]
        order[a + tied] = rows[np.lexsort((keys(rows), np.cumsum(starts)[tied]))]


class TieKeys:
    """A seeded pseudo-random key for every event, from its user's and its item's original id and nothing else."""

    def __init__(self, user: np.ndarray, user_ids: np.ndarray, item: np.ndarray, item_ids: np.ndarray, seed: int):
        self.user, self.item = user, item
        self.user_hash = hash_ids(user_ids, seed)
        self.item_hash = hash_ids(item_ids, seed + 1)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return _mix(self.user_hash[self.user[rows]] + self.item_hash[self.item[rows]])


def repeated(offsets: np.ndarray, item: np.ndarray, keep: str = "first") -> np.ndarray:
    """Events whose (user, item) pair occurs also before (`keep` first) or after (`keep` last) them, (n,) bool."""
    order = np.arange(len(item), dtype=np.int32 if len(item) < 2**31 else np.int64)
    sort_within(offsets, item, order)
    mask = np.zeros(len(item), bool)
    for a, b, groups in _blocks(offsets):
        rows = order[a:b]
        same = (item[rows[1:]] == item[rows[:-1]]) & (groups[1:] == groups[:-1])
        mask[(rows[1:] if keep == "first" else rows[:-1])[same]] = True
    return mask


def _blocks(offsets: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Ranges of whole groups of about CHUNK rows, with every row's group counted from the block's first."""
    first = 0
    n_groups = len(offsets) - 1
    while first < n_groups:
        last = int(np.searchsorted(offsets, offsets[first] + CHUNK, side="right")) - 1
        last = min(max(last, first + 1), n_groups)
        sizes = np.diff(offsets[first : last + 1])
        yield (
            int(offsets[first]),
            int(offsets[last]),
            np.repeat(np.arange(last - first, dtype=np.int64), sizes),
        )
        first = last


def _argsort(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The stable order by group, then value: one vectorised sort of packed 64-bit keys where they fit."""
    low = int(values.min())
    row_bits = (len(values) - 1).bit_length()
    value_bits = (int(values.max()) - low).bit_length()
    if int(groups[-1]).bit_length() + value_bits + row_bits > 63:
        return np.lexsort((values, groups))
    key = (groups << (value_bits + row_bits)) | ((values.astype(np.int64) - low) << row_bits)
    key |= np.arange(len(values))
    key.sort()
    return key & ((1 << row_bits) - 1)


def hash_ids(ids: np.ndarray, seed: int) -> np.ndarray:
    """A 64-bit hash of every id, the same on every machine."""
    if ids.dtype.kind in "iu":
        raw = ids.astype(np.uint64)
    else:
        from hashlib import blake2b

        digests = b"".join(blake2b(str(label).encode(), digest_size=8).digest() for label in ids)
        raw = np.frombuffer(digests, "<u8").astype(np.uint64)
    return _mix(raw + _mix(np.full(1, seed % 2**64, np.uint64)))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 over uint64, wrapping on overflow."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
