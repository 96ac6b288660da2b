"""Vectors of items from `.npz` files, and the table of items that they join."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchbase import DataContext
from benchbase.data import ItemTable, find_file, reading
from benchbase.errors import DataError, brief, nearest

from .config import Vectors

DAMAGE = (ValueError, TypeError, EOFError, AttributeError, RuntimeError, MemoryError, OverflowError, KeyError,
          SyntaxError, zipfile.BadZipFile, zlib.error)
"""What numpy raises of files that are damaged, hostile or something else."""


def with_vectors(table: ItemTable | None, wanted: Sequence[Vectors], context: DataContext) -> ItemTable:
    """The table with vectors, and with the items that it lacks and they have. Errors: `DataError` with the file."""
    read = {each.name: read_vectors(find_file(context, each.path)) for each in wanted}
    ids = [] if table is None else np.asarray(table.ids).tolist()
    strings = any(isinstance(item, str) for item in ids) or any(
        found.dtype.kind == "U" or int(found.max()) > np.iinfo(np.int64).max for found, _ in read.values())
    known = {_key(item, strings): row for row, item in enumerate(ids)}
    if len(known) < len(ids):
        twice, _ = Counter(_key(item, strings) for item in ids).most_common(1)[0]
        raise DataError(f"items: item {twice!r} is listed more than once in the item table. Expected one row an item. "
                        "Remove the repeated rows.")
    for found, _ in read.values():
        for item in found.tolist():
            known.setdefault(_key(item, strings), len(known))
    n, more = len(known), len(known) - len(ids)
    vectors = {}
    for name, (found, values) in read.items():
        vectors[name] = np.full((n, values.shape[1]), np.nan, np.float32)
        with np.errstate(over="ignore"):  # what overflows is not finite, and so no vector
            values = values.astype(np.float32)
        vectors[name][[known[_key(item, strings)] for item in found.tolist()]] = values
    every = np.array(list(known), dtype=object if strings else np.int64)
    if table is None:
        return ItemTable(every, vectors=vectors)
    return ItemTable(
        every,
        {name: [*labels, *[()] * more] for name, labels in table.categories.items()},
        {name: _longer(np.asarray(values), more) for name, values in table.columns.items()},
        None if table.domain is None else np.concatenate([np.asarray(table.domain, object), np.full(more, "", object)]),
        vectors,
    )


def read_vectors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,), each once, and vectors (n, d) of a file; nothing in it is ever executed. Errors: `DataError`."""
    with reading(path):
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                names = [name for name in ("ids", "vectors") if name not in file.files]
                if names:
                    raise DataError(f"{path}: no array {names[0]!r}. {nearest(names[0], file.files, 'Arrays')}")
                ids, vectors = file["ids"], file["vectors"]
        except DAMAGE as error:
            raise DataError(f"{path}: no arrays of numbers and text ({brief(error)}). Expected an .npz file with ids "
                            "and vectors. Write it with numpy.savez(path, ids=..., vectors=...).") from None
    if not (isinstance(ids, np.ndarray) and isinstance(vectors, np.ndarray)):
        raise DataError(f"{path}: ids or vectors are no arrays. Expected an .npz file of both. Write it with "
                        "numpy.savez(path, ids=..., vectors=...).")
    if ids.ndim != 1 or ids.dtype.kind not in "iuU" or vectors.shape[:1] != ids.shape or vectors.ndim != 2 \
            or vectors.dtype.kind not in "iuf" or not vectors.size:
        raise DataError(f"{path}: ids {ids.shape} of {ids.dtype} and vectors {vectors.shape} of {vectors.dtype}. "
                        "Expected n ids, whole numbers or text, and (n, d) numbers. Write it anew.")
    labels, counts = np.unique(ids, return_counts=True)
    if len(labels) < len(ids):
        raise DataError(f"{path}: item {labels[np.argmax(counts > 1)]!s} has two vectors. Expected one an item. Remove "
                        "one.")
    return ids, vectors


def _key(item: Any, strings: bool) -> Any:
    return str(item) if strings else item


def _longer(values: np.ndarray, more: int) -> np.ndarray:
    """A column with so many more items of which nothing is known: "", -1 or NaN."""
    if values.dtype.kind in "iub":
        return np.concatenate([values.astype(np.int64), np.full(more, -1, np.int64)])
    missing = np.nan if values.dtype.kind == "f" else ""
    return np.concatenate([values, np.full(more, missing, values.dtype if missing else object)])
