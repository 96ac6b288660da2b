"""Table: a published text table of known columns; read fast, and looked through line by line when it is wrong."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..errors import DataError
from .text import open_text, reading

CHUNK = 500_000
"""Lines read at once."""

LARGEST = 2**63 - 1

NAMES = {"\t": "tabs", ",": "commas"}


@dataclass(frozen=True)
class Column:
    """What stands in one column: `dtype` for the fast reader, `good` of one value as text, `expected` in words.

    `bad`: of a whole column as the fast reader made it, whether any value of it is wrong, as far as its type allows.
    """

    dtype: str
    good: Callable[[str], bool]
    expected: str
    bad: Callable[[Any], bool] = lambda values: False


class Table:
    """A text table: its columns by name, in order, with a line of their names above it where `header`.

    `prepare` gets every chunk, a data frame, and returns what `read` hands on; it raises `ValueError` for a chunk
    with a wrong value. `quotes`: whether a value that holds the separator stands in double quotes.
    """

    def __init__(self, columns: Mapping[str, Column], separator: str, header: bool = False, quotes: bool = False,
                 prepare: Callable[[Any], Any] = lambda chunk: chunk):
        self.columns, self.separator, self.header, self.quotes = columns, separator, header, quotes
        self.prepare = prepare
        self.form = f"`{' '.join(columns)}`, separated by {NAMES.get(separator, repr(separator))}"

    def read(self, path: Path, encoding: str = "utf-8") -> Iterator[Any]:
        """The lines, a chunk at a time.

        Errors: `DataError` that names the first line that does not fit, and what is wrong with it.
        """
        import pandas as pd

        types = {name: column.dtype for name, column in self.columns.items()}
        some = False
        try:
            with reading(path, encoding), open_text(path, encoding) as stream:
                if self.header and stream.readline().rstrip("\n").split(self.separator) != list(types):
                    raise ValueError("other columns")
                with pd.read_csv(stream, sep=self.separator, header=None, names=list(types), dtype=types, engine="c",
                                 quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE, na_filter=False,
                                 skip_blank_lines=False, chunksize=CHUNK) as reader:
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
        for name, column in self.columns.items():
            if column.bad(chunk[name]):
                raise ValueError(f"a value of {name} is wrong")
        return self.prepare(chunk)

    def _explain(self, path: Path, encoding: str, error: Exception) -> NoReturn:
        """Say which line does not fit."""
        number = 0
        with reading(path, encoding):
            for number, values in self._lines(path, encoding):
                if self.header and number == 1:
                    if values != list(self.columns):
                        raise DataError(f"{path}:1: the columns are `{' '.join(values)}`. Expected {self.form}. "
                                        "Take the publisher's file as it is.")
                    continue
                self._explain_line(f"{path}:{number}", values)
        what = f"cannot be read as a table ({error})" if number > self.header else "the file is empty"
        raise DataError(f"{path}: {what}. Expected lines of {self.form}. Take the publisher's file as it is.")

    def _lines(self, path: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
        with open_text(path, encoding) as stream:
            if self.quotes:
                reader = csv.reader(stream, delimiter=self.separator)
                yield from ((reader.line_num, values or [""]) for values in reader)
            else:
                yield from ((n, line.rstrip("\r\n").split(self.separator)) for n, line in enumerate(stream, 1))

    def _explain_line(self, where: str, values: list[str]) -> None:
        if len(values) != len(self.columns):
            raise DataError(f"{where}: {len(values)} column{'s' * (len(values) > 1)}. Expected {len(self.columns)}: "
                            f"{self.form}. Take the publisher's file as it is.")
        for value, (name, column) in zip(values, self.columns.items(), strict=True):
            if not column.good(value):
                raise DataError(f"{where}: {name} is {value!r:.60}. Expected {column.expected}. Take the publisher's "
                                "file as it is.")


def whole(low: int = 0, high: int = LARGEST, expected: str = "a whole number", dtype: str = "int64") -> Column:
    """A column of whole numbers from `low` to `high`."""

    def good(text: str) -> bool:
        digits = text.removeprefix("-")
        return digits.isascii() and digits.isdecimal() and low <= int(text) <= high

    return Column(dtype, good, expected, lambda values: bool(((values < low) | (values > high)).any()))


def filled(expected: str) -> Column:
    """A column of text that is never blank."""
    return Column("str", lambda text: bool(text.strip()), expected,
                  lambda values: bool((values.fillna("").str.strip() == "").any()))
