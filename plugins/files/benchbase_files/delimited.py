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

from .fields import PLAIN, WHOLE, Field, named_twice, problem, times
from .scan import Irregular, Scan

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
                yield from ((n, row) for n, row in enumerate(split, 1) if len(row) > 1 or "".join(row).strip())
            else:
                reader = csv.reader(stream, delimiter=self.separator)
                yield from ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())

    def first(self) -> tuple[int, list[str]]:
        """Line number and columns of the first line that is not blank; 0 and none where there is no such line."""
        return next(self.rows(), (0, []))


def read_delimited(layout: Layout, wanted: list[Field], unit: str) -> dict[Field, Any]:
    """The wanted columns by field: ids as integers or a Categorical, times as `Times`, numbers as float32.

    Errors: `DataError` with file and line.
    """
    with reading(layout.path, layout.encoding):
        places = _places(layout, wanted)
        loose = _sniff(layout, places, unit)
        try:
            return _read(layout, places, loose, unit)
        except (ValueError, OverflowError) as error:
            found = _find_fault(layout, places, loose, unit, error)
            return _read(layout, places, found, unit, checked=True)


def _sniff(layout: Layout, places: dict[Field, int], unit: str) -> set[Field]:
    """Ids that are strings and times that are no whole numbers, judged by the file's head."""
    head = [row for _, row in islice(layout.rows(), int(layout.header), SNIFF)]
    return {
        field
        for field, place in places.items()
        if _may_be_loose(field, unit) and not all(_tight(field, row[place]) for row in head if place < len(row))
    }


def _may_be_loose(field: Field, unit: str) -> bool:
    return field.kind == "id" or (field.kind == "time" and unit != "iso")


def _tight(field: Field, text: str) -> bool:
    """Whether an integer holds the value without loss."""
    return bool((PLAIN if field.kind == "id" else WHOLE).match(text))


def _places(layout: Layout, wanted: list[Field]) -> dict[Field, int]:
    """Where every wanted column stands, from 0; checks the first line."""
    line, first = layout.first()
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
        if first.count(str(field.column)) > 1:
            raise named_twice(f"{layout.path}:{line}", field)
    return {field: first.index(str(field.column)) for field in wanted}


def _parameter(field: Field) -> str:
    return {"action": "actions", "feature": "features"}.get(field.role, field.role)


def _read(
    layout: Layout, places: dict[Field, int], loose: set[Field], unit: str, checked: bool = False
) -> dict[Field, Any]:
    """Parse the whole file with known types; `checked`: a slow look has found every line good.

    Errors: `ValueError` where a value does not fit its type, or a line is such that a slow look is needed.
    """
    import pandas as pd

    dtypes = {field: _dtype(field, loose, unit) for field in places}
    parts: dict[Field, list[Any]] = {field: [] for field in places}
    line, first = layout.first()
    with open_text(layout.path, layout.encoding, newline="") as stream:
        for _ in range(line if layout.header else 0):
            stream.readline()
        scan = _scan(layout, stream, len(first), [places[f] for f in places if f.kind == "id" and f not in loose])
        source: Any = stream if checked else scan
        reader = pd.read_csv(
            source,
            sep=layout.separator[0] if layout.separator else r"\s+",
            header=None,
            engine="c",
            index_col=False,
            usecols=None if layout.exact else sorted({place * layout.step for place in places.values()}),
            dtype={place * layout.step: dtypes[field] for field, place in places.items()},
            keep_default_na=False,
            chunksize=CHUNK,
        )
        with reader:
            for chunk in reader:
                scan.check()
                for field, place in places.items():
                    parts[field].append(_convert(chunk[place * layout.step], field, unit))
        scan.check(ended=True)
    found = {field: _join(parts.pop(field)) for field in places}
    return {f: times(each, unit, layout.path) if f.kind == "time" else each for f, each in found.items()}


def _scan(layout: Layout, stream: Any, columns: int, ids: list[int]) -> Scan:
    """A doubled separator makes a value and an empty one of all but the last column."""
    if layout.separator is None:
        return Scan(stream, None, columns, ids)
    return Scan(stream, layout.separator[0], (columns - 1) * layout.step + 1, [place * layout.step for place in ids])


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
    if field.kind in ("number", "time") and not np.isfinite(array).all():
        raise ValueError("a number is not finite")
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
    most, line, found, width = max(places.values()) + 1, 0, set(loose), len(layout.first()[1])
    for line, row in islice(layout.rows(), int(layout.header), None):
        if len(row) < most:
            _too_few(layout, line, row, most)
        if len(row) > width:
            _too_many(layout, line, row, width)
        if layout.step > 1:
            _check_halves(layout, line, row[:most])
        for field, place in places.items():
            if wrong := problem(field, row[place], unit):
                raise DataError(f"{layout.path}:{line}: {wrong}")
            if field not in found and _may_be_loose(field, unit) and not _tight(field, row[place]):
                found.add(field)
    if not line:
        raise DataError(f"{layout.path}: the file has a header and no events. Expected at least one. Check the path.")
    if found == loose and not isinstance(error, Irregular):
        raise DataError(
            f"{layout.path}: cannot be read as a table: {error}. Expected one event a line. Check separator and quotes."
        )
    return found


def _check_halves(layout: Layout, line: int, row: list[str]) -> None:
    """A doubled separator is read as two single ones, so that a single one in a value would shift the columns."""
    mark = (layout.separator or "")[:1]
    if wrong := [value for value in row if mark in value]:
        raise DataError(
            f"{layout.path}:{line}: {wrong[0]!r} holds a single {mark!r}. Expected it doubled, between columns only. "
            "Put the columns that are read first, or write the file with another separator."
        )


def _too_few(layout: Layout, line: int, row: list[str], most: int) -> NoReturn:
    mark = "blanks" if layout.separator is None else repr(layout.separator)
    raise DataError(
        f"{layout.path}:{line}: {len(row)} columns, separated by {mark}. Expected at least {most}. "
        "Mend the line or set separator."
    )


def _too_many(layout: Layout, line: int, row: list[str], width: int) -> NoReturn:
    if layout.exact:
        raise DataError(
            f"{layout.path}:{line}: {len(row)} columns. Expected exactly {width}. "
            "Use format: sequence for several items a line."
        )
    raise DataError(
        f"{layout.path}:{line}: {len(row)} columns, separated by {layout.separator!r}. Expected {width}, as in the "
        f"{'header' if layout.header else 'first line'}. Mend the line, quote a value that holds the separator, or "
        "set separator."
    )
