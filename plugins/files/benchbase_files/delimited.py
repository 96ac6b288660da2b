"""Delimited text: the typed C reader of pandas in chunks, and a slow search for the line at fault where it fails."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchbase.data import open_text, reading
from benchbase.errors import DataError

from .fields import WHOLE, Field, problem, whole

CHUNK = 1_000_000
"""Rows parsed at once: the parser's own buffers stay small beside the columns."""

SNIFF = 1000
"""Rows looked at to tell integer ids from strings; a later string starts the reading anew."""


@dataclass(frozen=True)
class Layout:
    """A delimited file: `separator` None means blanks; `exact` refuses lines with further columns."""

    path: Path
    separator: str | None
    header: bool
    encoding: str
    exact: bool = False

    @property
    def step(self) -> int:
        """A doubled separator is read as a single one, with an empty column between any two."""
        return len(self.separator or " ")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and columns of every line that is not blank; slow, for the head and for finding faults."""
        with open_text(self.path, self.encoding, newline="") as stream:
            if self.separator is None or self.step > 1:
                split = ((line.rstrip("\r\n").split(self.separator)) for line in stream)
                yield from ((n, row) for n, row in enumerate(split, 1) if any(row))
            else:
                reader = csv.reader(stream, delimiter=self.separator)
                yield from ((reader.line_num, row) for row in reader if row)


def read_delimited(layout: Layout, wanted: list[Field], unit: str) -> dict[Field, Any]:
    """The wanted columns by field: ids as integers or a Categorical, times in ticks, numbers as float32.

    Errors: `DataError` with file and line.
    """
    with reading(layout.path, layout.encoding):
        places = _places(layout, wanted)
        loose = _sniff(layout, places, unit)
        try:
            return _read(layout, places, loose, unit)
        except (ValueError, OverflowError) as error:
            return _read(layout, places, _find_fault(layout, places, loose, unit, error), unit)


def _sniff(layout: Layout, places: dict[Field, int], unit: str) -> set[Field]:
    """Ids that are strings and times that are no whole numbers, judged by the file's head."""
    head = [row for _, row in islice(layout.rows(), int(layout.header), SNIFF)]
    return {
        field
        for field, place in places.items()
        if _may_be_loose(field, unit) and not all(WHOLE.match(row[place]) for row in head if place < len(row))
    }


def _may_be_loose(field: Field, unit: str) -> bool:
    return field.kind == "id" or (field.kind == "time" and unit != "iso")


def _places(layout: Layout, wanted: list[Field]) -> dict[Field, int]:
    """Where every wanted column stands, from 0; checks the first line."""
    line, first = next(layout.rows(), (0, []))
    if not first:
        raise DataError(f"{layout.path}: the file is empty. Expected at least one event. Check the path.")
    mark = "blanks" if layout.separator is None else repr(layout.separator)
    if not layout.header:
        if (most := max(int(field.column) for field in wanted)) > len(first):
            _too_few(layout, line, first, most)
        if layout.exact and len(first) > most:
            _too_many(layout, line, first, most)
        return {field: int(field.column) - 1 for field in wanted}
    for field in wanted:
        if field.column not in first:
            raise DataError(
                f"{layout.path}:{line}: no column {field.column!r} for {field.role}. Found, separated by "
                f"{mark}: {', '.join(map(repr, first))}. Set columns.{_parameter(field)} or separator"
                f"{' (columns.timestamp: null where there are no times)' * (field.kind == 'time')}."
            )
    return {field: first.index(str(field.column)) for field in wanted}


def _parameter(field: Field) -> str:
    return {"action": "actions", "feature": "features"}.get(field.role, field.role)


def _read(layout: Layout, places: dict[Field, int], loose: set[Field], unit: str) -> dict[Field, Any]:
    """Parse the whole file with known types. Errors: `ValueError` where a value does not fit its type."""
    import pandas as pd

    dtypes = {field: _dtype(field, loose, unit) for field in places}
    parts: dict[Field, list[Any]] = {field: [] for field in places}
    reader = pd.read_csv(
        layout.path,
        sep=layout.separator[0] if layout.separator else r"\s+",
        header=None,
        engine="c",
        index_col=False,
        skiprows=int(layout.header),
        encoding=layout.encoding,
        usecols=None if layout.exact else sorted({place * layout.step for place in places.values()}),
        dtype={place * layout.step: dtypes[field] for field, place in places.items()},
        keep_default_na=False,
        chunksize=CHUNK,
        encoding_errors="strict",
    )
    with reader:
        for chunk in reader:
            for field, place in places.items():
                parts[field].append(_convert(chunk[place * layout.step], field, unit))
    return {field: _join(parts.pop(field)) for field in places}


def _dtype(field: Field, loose: set[Field], unit: str) -> str:
    if field.kind == "number":
        return "float32"
    if field.kind == "time":
        return "str" if unit == "iso" else "float64" if field in loose else "int64"
    # Not "category": where a whole chunk looks like numbers its categories would be, and 007 become 7.
    return "str" if field.kind == "label" or field in loose else "int64"


def _convert(values: Any, field: Field, unit: str) -> Any:
    """One chunk of a column in the form the log takes, as narrow as it fits."""
    import pandas as pd

    if field.kind == "time" and unit == "iso":
        if not values.str.match("[0-9]", na=False).all():
            raise ValueError("a time is no date")  # pandas takes blanks for no time, and "today" for today
        return pd.to_datetime(values, format="ISO8601", utc=True).dt.as_unit("us").astype("int64").to_numpy()
    if values.dtype.kind not in "if":
        values = values.astype("category")
        # A line that ends before the column leaves it without a code.
        if (values.cat.codes < 0).any() or (values.cat.categories.str.strip() == "").any():
            raise ValueError(f"{field.role} is empty")
        return values.array
    array = values.to_numpy()
    if field.kind == "number" and not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    if field.kind == "time":
        return whole(array)
    if field.kind == "id" and len(array) and array.min() >= -(2**31) and array.max() < 2**31:
        return array.astype(np.int32)
    return array


def _join(parts: list[Any]) -> Any:
    if not parts:
        return np.zeros(0, np.int64)
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    from pandas.api.types import union_categoricals

    return union_categoricals(parts)


def _find_fault(layout: Layout, places: dict[Field, int], loose: set[Field], unit: str, error: Exception) -> set[Field]:
    """Say which line the reader failed at; where every line is good, which columns need a looser type."""
    most, line, found = max(places.values()) + 1, 0, set(loose)
    for line, row in islice(layout.rows(), int(layout.header), None):
        if len(row) < most:
            _too_few(layout, line, row, most)
        if layout.exact and len(row) > most:
            _too_many(layout, line, row, most)
        for field, place in places.items():
            if wrong := problem(field, row[place], unit):
                raise DataError(f"{layout.path}:{line}: {wrong}")
            if field not in found and _may_be_loose(field, unit) and not WHOLE.match(row[place]):
                found.add(field)
    if not line:
        raise DataError(f"{layout.path}: the file has a header and no events. Expected at least one. Check the path.")
    if found == loose:
        raise DataError(
            f"{layout.path}: cannot be read as a table: {error}. Expected one event a line. Check separator and quotes."
        )
    return found


def _too_few(layout: Layout, line: int, row: list[str], most: int) -> NoReturn:
    mark = "blanks" if layout.separator is None else repr(layout.separator)
    raise DataError(
        f"{layout.path}:{line}: {len(row)} columns, separated by {mark}. Expected at least {most}. "
        "Mend the line or set separator."
    )


def _too_many(layout: Layout, line: int, row: list[str], most: int) -> NoReturn:
    raise DataError(
        f"{layout.path}:{line}: {len(row)} columns. Expected exactly {most}. "
        "Use format: sequence for several items a line."
    )
