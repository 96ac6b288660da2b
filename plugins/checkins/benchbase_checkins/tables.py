"""Tab-separated check-ins: fast where every line is as it should be, and a slow look at each line where one is not."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchbase.data import open_text, reading
from benchbase.errors import DataError

from .places import outside

CHUNK = 500_000
"""Lines read at once."""

LARGEST = 2**63 - 1

Check = Callable[[str], bool]


class Table:
    """One form of file: its columns, in order, each with its type for the fast reader and its check for the slow one.

    `time`: the form of the column `time`, `letters` long. Every form has the columns `latitude` and `longitude`,
    which become NaN, both of them, where they are no place on this planet.
    """

    def __init__(self, columns: Mapping[str, tuple[str, Check, str]], time: str, letters: int):
        self.columns, self.time, self.letters = columns, time, letters

    def read(self, path: Path, encoding: str = "utf-8") -> Iterator[Any]:
        """The lines as data frames, times as whole Unix seconds.

        Errors: `DataError` that names the first line that does not fit, and what is wrong with it.
        """
        import pandas as pd

        types = {name: kind for name, (kind, _, _) in self.columns.items()}
        some = False
        try:
            with reading(path, encoding), open_text(path, encoding) as stream, pd.read_csv(
                stream, sep="\t", header=None, names=list(types), dtype=types, engine="c", quoting=3, na_filter=False,
                skip_blank_lines=False, chunksize=CHUNK,
            ) as reader:
                for chunk in reader:
                    yield self._checked(chunk)
                    some |= len(chunk) > 0
        except (ValueError, OverflowError) as error:  # pandas says neither which line nor which column
            self._explain(path, encoding, error)
        if not some:
            self._explain(path, encoding, ValueError("no line"))

    def _checked(self, chunk: Any) -> Any:
        import pandas as pd

        if not isinstance(chunk.index, pd.RangeIndex):  # of a column too many it makes labels of rows
            raise ValueError("too many columns")
        ids = [name for name, column in self.columns.items() if column is ID]
        text = [name for name, (kind, _, _) in self.columns.items() if kind == "str"]
        nowhere = outside(chunk["latitude"].to_numpy(), chunk["longitude"].to_numpy())
        chunk.loc[nowhere, ["latitude", "longitude"]] = np.nan
        blank = any((chunk[name].fillna("").str.strip() == "").any() for name in text)
        if blank or (chunk[ids] < 0).any(axis=None) or (chunk["time"].str.len() != self.letters).any():
            raise ValueError("a value is out of range")
        chunk["time"] = pd.to_datetime(chunk["time"], format=self.time, utc=True).to_numpy("datetime64[s]").astype("i8")
        if (chunk["time"] < 0).any():
            raise ValueError("a time is out of range")
        return chunk

    def _explain(self, path: Path, encoding: str, error: Exception) -> NoReturn:
        """Say which line does not fit."""
        form = "`" + " ".join(self.columns) + "`, separated by tabs"
        number = 0
        with reading(path, encoding), open_text(path, encoding) as stream:
            for number, line in enumerate(stream, 1):
                values = line.rstrip("\r\n").split("\t")
                if len(values) != len(self.columns):
                    raise DataError(f"{path}:{number}: {len(values)} column{'s' * (len(values) > 1)}. "
                                    f"Expected {len(self.columns)}: {form}. Take the publisher's file as it is.")
                for value, (name, (_, check, expected)) in zip(values, self.columns.items(), strict=True):
                    if not check(value):
                        raise DataError(f"{path}:{number}: {name} is {value!r:.60}. Expected {expected}. Take the "
                                        "publisher's file as it is.")
        what = "the file is empty" if not number else f"no table of check-ins ({error})"
        raise DataError(f"{path}: {what}. Expected lines of {form}. Take the publisher's file as it is.")


def whole(text: str) -> bool:
    """Whether a text is an id: digits that fit 64 bits."""
    return text.isascii() and text.isdecimal() and int(text) <= LARGEST


def integer(text: str) -> bool:
    return whole(text.removeprefix("-"))


def number(text: str) -> bool:
    try:
        return "_" not in text and not np.isnan(float(text))
    except ValueError:
        return False


def filled(text: str) -> bool:
    return bool(text.strip())


def time(form: str, letters: int) -> Check:
    """Whether a text is a time of this form since 1970, so many letters long."""
    from datetime import datetime

    def check(text: str) -> bool:
        try:
            return len(text) == letters and datetime.strptime(text, form).timestamp() >= 0
        except ValueError:
            return False

    return check


ID = ("int64", whole, "a whole number")
DEGREES = ("float64", number, "a number of degrees")


def told(latitude: np.ndarray) -> dict[str, str]:
    """What the card says of places that are nowhere."""
    nowhere = int(np.isnan(latitude).sum())
    return {"nowhere": f"{nowhere:,} places without coordinates on this planet"} if nowhere else {}


def first_rows(ids: np.ndarray) -> np.ndarray:
    """Where each id stands first, (n,), by ascending id."""
    return np.asarray(np.unique(ids, return_index=True)[1])
