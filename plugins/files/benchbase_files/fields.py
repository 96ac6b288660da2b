"""Fields: the columns to read, and the test that one value of each kind must pass."""

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

TICKS = {"s": 1, "ms": 1000, "us": 1_000_000, "iso": 1_000_000}
"""Ticks a second of the integers that times of each unit are read into."""

WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*\Z")
"""A text that counts as an integer; numpy and Python would also take `1_0` and digits of other scripts."""


class Field(NamedTuple):
    """A column to read: its role in the log, the kind of its values (id, time, number, label), where it stands."""

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

    if not strings and all(map(WHOLE.match, set(texts))):
        return np.array(texts, dtype=np.str_).astype(np.int64)
    return np.array(texts, dtype=object)


def whole(values: Any) -> Any:
    """Times as integers, rounded down."""
    import numpy as np

    return np.floor(values).astype(np.int64) if values.dtype.kind == "f" else values


def _finite(text: str) -> bool:
    """Whether a text is a finite number; Python alone would take `1_0` for ten."""
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False
