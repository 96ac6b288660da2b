"""Features: align what a source says about items with the items that have events."""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from ..errors import DataError
from .catalogue import Catalogue, Categories
from .ids import find_ids
from .log import ItemTable

MOST_DOMAINS = 2**15 - 1
"""Domain codes are int16, from 0."""


def make_catalogue(
    item_ids: np.ndarray, table: ItemTable | None, has_time: bool, where: str = "log"
) -> tuple[Catalogue, dict[str, int]]:
    """The catalogue of the items with events, and how the item table fits them.

    `item_ids` (n_items,) ascending. Errors: `DataError` for a table with repeated ids or columns of unequal length,
    for vectors that are none, and for a table that describes no item of the log.
    """
    padding = np.array([0 if item_ids.dtype.kind in "iu" else ""], item_ids.dtype)
    ids = np.concatenate((padding, item_ids))
    if table is None:
        return Catalogue(ids, has_time), {}
    row = _rows(item_ids, table, where)
    listed = int(np.count_nonzero(row >= 0))
    if not listed:
        _strangers(item_ids, np.asarray(table.ids), where)
    domain, domain_names = (None, ()) if table.domain is None else _domain(np.asarray(table.domain), row, where)
    catalogue = Catalogue(
        ids,
        has_time,
        domain,
        domain_names,
        {name: _categories(labels, row) for name, labels in table.categories.items()},
        {name: _column(np.asarray(values), row) for name, values in table.columns.items()},
        {name: _vectors(name, np.asarray(values), row, where) for name, values in table.vectors.items()},
    )
    return catalogue, {
        "listed_items_without_events": len(table.ids) - listed,
        "items_not_listed": len(item_ids) - listed,
    }


def _strangers(item_ids: np.ndarray, ids: np.ndarray, where: str) -> NoReturn:
    """A table of other items would be lost without a word, most often for want of one form of id."""
    log, table = (", ".join(map(repr, each[:3].tolist())) or "nothing" for each in (item_ids, ids))
    raise DataError(
        f"{where}: no id of the item table occurs in the log: the log has {log}; the table has {table}. "
        "Expected ids of the same form in both. Check which column holds the table's ids."
    )


def _rows(item_ids: np.ndarray, table: ItemTable, where: str) -> np.ndarray:
    """The table row of padding and of every item, (n_items + 1,) int64; -1 where there is none."""
    ids = np.asarray(table.ids)
    columns: Mapping[str, object] = {**table.categories, **table.columns, **table.vectors}
    if table.domain is not None:
        columns = {**columns, "domain": table.domain}
    for name, values in columns.items():
        if len(values) != len(ids):  # type: ignore[arg-type]
            raise DataError(
                f"{where}: item column '{name}' has {len(values)} values. "  # type: ignore[arg-type]
                f"Expected {len(ids)}, one for each item id."
            )
    found = find_ids(item_ids, ids)
    rows = np.full(len(item_ids) + 1, -1, np.int64)
    rows[found[found >= 0] + 1] = np.flatnonzero(found >= 0)
    if np.count_nonzero(rows >= 0) != np.count_nonzero(found >= 0):
        labels, counts = np.unique(found[found >= 0], return_counts=True)
        twice = item_ids.tolist()[labels[np.argmax(counts > 1)]]
        raise DataError(
            f"{where}: item {twice!r} is listed more than once in the item table. "
            "Expected one row an item. Remove the repeated rows."
        )
    return rows


def _domain(names: np.ndarray, row: np.ndarray, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Domain codes (n_items + 1,) int16 of every item, -1 unknown, and the names that occur, ascending."""
    labels = ["" if index < 0 or names[index] is None else str(names[index]) for index in row.tolist()]
    known = tuple(sorted(set(labels) - {""}))
    if len(known) > MOST_DOMAINS:
        raise DataError(
            f"{where}: {len(known)} domains. Expected at most {MOST_DOMAINS}. Check which column holds the domain; "
            "name one with so many values in columns or categories instead."
        )
    code = {name: place for place, name in enumerate(known)} | {"": -1}
    return np.array([code[label] for label in labels], np.int16), known


def _categories(labels: list[tuple[str, ...]], row: np.ndarray) -> Categories:
    of_item = [sorted(set(labels[index])) if index >= 0 else [] for index in row.tolist()]
    known = tuple(sorted({label for each in of_item for label in each}))
    code = {label: place for place, label in enumerate(known)}
    offsets = np.zeros(len(row) + 1, np.int64)
    np.cumsum([len(each) for each in of_item], out=offsets[1:])
    values = np.array([code[label] for each in of_item for label in each], np.int32)
    return Categories(offsets, values, known)


def _column(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """One feature of every item; padding and items that are not listed get "", -1 or NaN."""
    missing: Any
    if values.dtype.kind in "iub":
        values, missing = values.astype(np.int64), np.int64(-1)
    elif values.dtype.kind == "f":
        missing = values.dtype.type(np.nan)
    else:
        values, missing = values.astype(object), ""
    column = values[np.maximum(row, 0)] if len(values) else np.full(len(row), missing, values.dtype)
    column[row < 0] = missing
    return column


def _vectors(name: str, values: np.ndarray, row: np.ndarray, where: str) -> np.ndarray:
    """Vectors of every item, (n_items + 1, d) float32; those with a number that is not finite are none at all."""
    if values.ndim != 2 or values.dtype.kind not in "iubf" or not values.shape[1]:
        raise DataError(
            f"{where}: item vectors '{name}' are an array {values.shape} of {values.dtype}. Expected numbers (n, d), a "
            "row for each item id."
        )
    vectors = np.full((len(row), values.shape[1]), np.nan, np.float32)
    known = np.flatnonzero(row >= 0)
    with np.errstate(over="ignore"):  # what overflows is not finite, and so no vector
        vectors[known] = values[row[known]]
    vectors[~np.isfinite(vectors).all(axis=1)] = np.nan
    return vectors
