"""Ids: turn original user and item ids into consecutive integers."""

import numpy as np

from ..errors import DataError
from .log import Ids


def encode_ids(ids: Ids, what: str, where: str = "log") -> tuple[np.ndarray, np.ndarray]:
    """`(codes, labels)`: labels[codes] are the ids, labels ascend, each occurs.

    Integers in a moderate range go through a lookup table, anything else through a hash table. Errors:
    `DataError` for ids that are missing or neither integers nor strings. `codes` (n,) int32.
    """
    if hasattr(ids, "codes") and hasattr(ids, "categories"):
        return _known(np.asarray(ids.codes), np.asarray(ids.categories), what, where)
    ids = np.asarray(ids)
    if ids.dtype.kind in "iu" and len(ids):
        low, high = int(ids.min()), int(ids.max())
        if ids.dtype.kind == "u" and high < 2**63:
            ids = ids.astype(np.int64)  # equal ids are one, whatever their type in the file
        if high < 2**63 and high - low < 4 * len(ids) + 1_000_000:
            return _table(ids, low, high)
    from pandas import factorize

    if ids.dtype.kind not in "iuOUT":
        raise DataError(
            f"{where}: {what} ids are of type {ids.dtype}. Expected integers or strings. "
            f"Convert the {what} column when reading it."
        )
    codes, labels = factorize(ids if ids.dtype.kind in "iu" else ids.astype(object))
    return _known(codes, np.asarray(labels), what, where)


def _known(codes: np.ndarray, labels: np.ndarray, what: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes into labels in any order -> codes into those that occur, ascending."""
    if len(codes) and codes.min() < 0:
        raise DataError(
            f"{where}: event {int(np.argmin(codes)) + 1} has no {what}. Expected an id in every event. "
            "Leave such rows out."
        )
    if labels.dtype.kind not in "iu":
        labels = labels.astype(object)
        if wrong := [label for label in labels if not isinstance(label, str)]:
            raise DataError(
                f"{where}: {what} id {wrong[0]!r} is a {type(wrong[0]).__name__}. Expected integers only "
                f"or strings only. Convert the {what} column when reading it."
            )
    occurs = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    occurs = occurs[np.argsort(labels[occurs], kind="stable")]
    table = np.zeros(len(labels), np.int32)
    table[occurs] = np.arange(len(occurs), dtype=np.int32)
    return table[codes], labels[occurs]


def _table(ids: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Integer ids by two passes over a lookup table, which beats hashing and keeps no copy of the ids."""
    shift = 0 if 0 <= low < 1_000_000 else low
    places = ids if not shift else ids.astype(np.int64) - shift
    present = np.zeros(high - shift + 1, bool)
    present[places] = True
    labels = np.flatnonzero(present) + shift
    return (np.cumsum(present, dtype=np.int32) - np.int32(1))[places], labels.astype(np.int64)


def find_ids(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The place of every id among ascending `labels`, -1 where it is not there."""
    from pandas import Index

    if (labels.dtype.kind in "iu") != (ids.dtype.kind in "iu"):
        labels, ids = labels.astype(str).astype(object), ids.astype(str).astype(object)
    return np.asarray(Index(labels).get_indexer(Index(ids)), np.int64)
