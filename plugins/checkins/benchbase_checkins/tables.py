"""Columns that both text formats have: ids, degrees, times; and what is made of them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchbase.data.table import Column, Table, whole

from .places import outside

ID = whole()


def _number(text: str) -> bool:
    try:
        return "_" not in text and not np.isnan(float(text))
    except ValueError:
        return False


DEGREES = Column("float64", _number, "a number of degrees")


def time(form: str, letters: int, example: str) -> Column:
    """A column of times of this form since 1970, so many letters long."""
    from datetime import datetime

    def good(text: str) -> bool:
        try:
            return len(text) == letters and datetime.strptime(text, form).timestamp() >= 0
        except ValueError:
            return False

    return Column("str", good, f"a time such as {example}", lambda values: bool((values.str.len() != letters).any()))


def checkins(columns: Mapping[str, Column], form: str) -> Table:
    """A table with the columns `latitude`, `longitude` and `time`, the last of this form.

    Both coordinates become NaN where they are no place on this planet, and times whole Unix seconds.
    """
    return Table(columns, "\t", prepare=_prepare(form))


def _prepare(form: str) -> Callable[[Any], Any]:
    def prepare(chunk: Any) -> Any:
        import pandas as pd

        nowhere = outside(chunk["latitude"].to_numpy(), chunk["longitude"].to_numpy())
        chunk.loc[nowhere, ["latitude", "longitude"]] = np.nan
        chunk["time"] = pd.to_datetime(chunk["time"], format=form, utc=True).to_numpy("datetime64[s]").astype("i8")
        if (chunk["time"] < 0).any():
            raise ValueError("a time is out of range")
        return chunk

    return prepare


def told(latitude: np.ndarray) -> dict[str, str]:
    """What the card says of places that are nowhere."""
    nowhere = int(np.isnan(latitude).sum())
    return {"nowhere": f"{nowhere:,} places without coordinates on this planet"} if nowhere else {}


def first_rows(ids: np.ndarray) -> np.ndarray:
    """Where each id stands first, (n,), by ascending id."""
    return np.asarray(np.unique(ids, return_index=True)[1])
