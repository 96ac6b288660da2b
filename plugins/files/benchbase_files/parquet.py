"""Parquet: only the wanted columns, straight from Arrow."""

from pathlib import Path
from typing import Any

import numpy as np

from benchbase.errors import DataError, nearest

from .fields import Field, whole


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
        table = pq.read_table(path, columns=sorted({str(field.column) for field in wanted}))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: no Parquet file ({error}). Expected one. Set format to what it is.") from None
    if not table.num_rows:
        raise DataError(f"{path}: the file has no events. Expected at least one. Check the path.")
    return {field: _convert(path, table.column(field.column), field, unit) for field in wanted}


def _convert(path: Path, column: Any, field: Field, unit: str) -> Any:
    import pyarrow as pa

    kind = column.type
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(
            f"{path}: row {row + 1} has no {field.label}. Expected a value in every row. Leave such rows out."
        )
    if pa.types.is_timestamp(kind) and field.kind == "time":
        ticks = pa.timestamp("us" if unit == "iso" else unit)
        return np.asarray(column.cast(ticks, safe=False).cast(pa.int64()).to_numpy())
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if text and field.kind in ("id", "label"):
        return (column if pa.types.is_dictionary(kind) else column.dictionary_encode()).to_pandas().array
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
            return whole(values)
        if pa.types.is_integer(kind):
            return values
    expected = {"id": "integers or strings", "label": "strings", "number": "numbers"}.get(
        field.kind, "dates" if unit == "iso" else f"numbers or dates ({unit})"
    )
    raise DataError(
        f"{path}: column {field.column!r} holds {kind}. Expected {expected} for {field.role}. Name another column."
    )
