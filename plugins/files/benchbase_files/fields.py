"""Fields: the columns to read, and the test that one value of each kind must pass."""

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

from benchbase.errors import DataError

TICKS = {"s": 1, "ms": 1000, "us": 1_000_000, "iso": 1_000_000}
"""Ticks a second of the integers that times of each unit are read into."""

FINER = {"s": 1_000_000, "ms": 1000, "us": 10}
"""Parts of a unit that times with fractions are kept in: what a float holds of a time of today."""

LATEST = 100_000_000_000
"""Seconds, the core's own bound of a time; 64 bits hold it in the finest ticks."""

WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*\Z")
"""A text that counts as an integer; numpy and Python would also take `1_0` and digits of other scripts."""

PLAIN = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z")
"""An id that may be kept as an integer: one with its only spelling, for `007` and `7` are two."""


class Field(NamedTuple):
    """A column to read: its role in the log, the kind of its values (id, time, number, label, text), where it stands.
    """

    role: str
    kind: str
    column: str | int

    @property
    def label(self) -> str:
        """The name that a user knows the column by."""
        return f"column {self.column}" if isinstance(self.column, int) else str(self.column)


def problem(field: Field, text: str, unit: str) -> str | None:
    """What is wrong with one value, and the fix; None where it is good."""
    if field.kind in ("id", "label"):
        expected = "an id" if field.kind == "id" else "a name"
        return None if text.strip() else f"{field.role} is empty. Expected {expected}. Mend or remove the line."
    if field.kind == "number":
        return (
            None
            if _finite(text)
            else (f"{field.label} {text!r} is no number. Expected a finite number. Mend or remove the line.")
        )
    if unit == "iso":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return f"{field.label} {text!r} is no ISO date. Expected for example 2019-06-30T12:00:00."
        return None
    return (
        None
        if _finite(text)
        else (f"{field.label} {text!r} is no number. Expected a time in {unit}. Mend the line or set timestamp_unit.")
    )


def ids(texts: list[str], strings: bool = False) -> Any:
    """Ids as integers where every text is one and `strings` does not forbid it, else the texts as they stand."""
    import numpy as np

    if not strings and all(map(PLAIN.match, set(texts))):
        return np.array(texts, dtype=np.str_).astype(np.int64)
    return np.array(texts, dtype=object)


class Times(NamedTuple):
    """Times as integers, (n,), and how many of their units make a second."""

    values: Any
    ticks: int


def times(values: Any, unit: str, where: Any) -> Times:
    """Times of a unit, (n,) integers or finite floats; those with fractions in a finer unit, rounded down.

    Errors: `DataError` for floats that no time in it can be.
    """
    import numpy as np

    ticks = TICKS[unit]
    if values.dtype.kind != "f":
        return Times(values, ticks)
    values = values.astype(np.float64, copy=False)
    if (wrong := (values < 0) | (values > LATEST * ticks)).any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{where}: event {row + 1} has timestamp {values[row]}. Expected a time in {unit} since 1970, before the "
            "year 5138. Set timestamp_unit, or leave such rows out."
        )
    finer = 1 if (values == np.floor(values)).all() else FINER[unit]
    return Times(np.floor(values * finer).astype(np.int64), ticks * finer)


def named_twice(where: str, field: Field) -> DataError:
    """The error for a column whose name others have too."""
    return DataError(
        f"{where}: more than one column is named {field.column!r}. Expected one, for {field.role}. Rename the others."
    )


def _finite(text: str) -> bool:
    """Whether a text is a finite number; Python alone would take `1_0` for ten."""
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False
