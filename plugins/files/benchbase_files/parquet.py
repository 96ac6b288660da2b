"""Parquet: only the wanted columns, straight from Arrow."""

from pathlib import Path
from typing import Any

import numpy as np

from benchbase.errors import DataError, nearest

from .fields import Field, Times, named_twice, times

TICKS_OF = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
"""Ticks a second of Parquet's own time types, which need no unit from the user."""


def read_parquet(path: Path, wanted: list[Field], unit: str) -> dict[Field, Any]:
    """The wanted columns by field. Errors: `DataError` for a missing column, a null or a wrong type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        for field in wanted:
            if field.column not in names:
                raise DataError(
                    f"{path}: no column {field.column!r} for {field.role}. "
                    f"{nearest(str(field.column), names, 'Columns')}"
                )
            if names.count(str(field.column)) > 1:
                raise named_twice(str(path), field)
        table = pq.read_table(path, columns=sorted({str(field.column) for field in wanted}))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: no Parquet file ({error}). Expected one. Set format to what it is.") from None
    if not table.num_rows:
        raise DataError(f"{path}: the file has no events. Expected at least one. Check the path.")
    return {field: _convert(path, table.column(field.column), field, unit) for field in wanted}


def _named(path: Path, values: Any, field: Field) -> Any:
    """A column of strings as a Categorical; a name of blanks is none, as in a text file."""
    empty = np.array([not str(name).strip() for name in values.cat.categories], bool)
    if empty.any() and (rows := empty[values.cat.codes]).any():
        raise DataError(
            f"{path}: row {np.argmax(rows) + 1} has an empty {field.label}. Expected a value in every row. "
            "Leave such rows out."
        )
    return values.array


def _convert(path: Path, column: Any, field: Field, unit: str) -> Any:
    import pyarrow as pa

    kind = column.type
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(
            f"{path}: row {row + 1} has no {field.label}. Expected a value in every row. Leave such rows out."
        )
    if field.kind == "time" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        own = kind.unit if pa.types.is_timestamp(kind) else "s" if pa.types.is_date32(kind) else "ms"
        return Times(np.asarray(column.cast(pa.timestamp(own)).cast(pa.int64()).to_numpy()), TICKS_OF[own])
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if text and field.kind in ("id", "label"):
        return _named(path, (column if pa.types.is_dictionary(kind) else column.dictionary_encode()).to_pandas(), field)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        values = np.asarray(column.to_numpy())
        if field.kind == "number":
            return values.astype(np.float32)
        if field.kind == "time" and unit != "iso":
            if not (finite := np.isfinite(values)).all():
                row = int(np.argmin(finite))
                raise DataError(
                    f"{path}: row {row + 1} has {field.label} {values[row]}. Expected finite times. "
                    "Leave such rows out."
                )
            return times(values, unit, path)
        if pa.types.is_integer(kind):
            return values
    expected = {"id": "integers or strings", "label": "strings", "number": "numbers"}.get(
        field.kind, "dates" if unit == "iso" else f"numbers or dates ({unit})"
    )
    raise DataError(
        f"{path}: column {field.column!r} holds {kind}. Expected {expected} for {field.role}. Name another column."
    )
