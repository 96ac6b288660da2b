"""Lines of the files: one object each, in JSON or, for the items of 2014, as a Python literal, which is never run."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchbase.data import open_text, reading
from benchbase.errors import DataError

MEND = "Take the publisher's file as it is."


def objects(path: Path, literal: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the object of every line. Errors: `DataError` that names the first line that is none."""
    parse: Callable[[str], Any] = ast.literal_eval if literal else json.loads
    number = 0
    with reading(path), open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                found = parse(line)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
                raise DataError(f"{path}:{number}: no object ({type(error).__name__}: {error!s:.80}). Expected one "
                                f"{'Python literal' if literal else 'JSON object'} a line. {MEND}") from None
            if not isinstance(found, dict):
                raise DataError(f"{path}:{number}: a {type(found).__name__}. Expected an object. {MEND}")
            yield number, found
    if not number:
        raise DataError(f"{path}: the file is empty. Expected one object a line. {MEND}")


def text(path: Path, number: int, line: dict[str, Any], name: str) -> str:
    """A field that is text and not empty."""
    value = line.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, number, name, value, "text")
    return value


def whole(path: Path, number: int, line: dict[str, Any], name: str) -> int:
    """A field that is a whole number from 0 on."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _wrong(path, number, name, value, "a whole number from 0 on")
    return value


def rating(path: Path, number: int, line: dict[str, Any], name: str) -> float:
    """A field that is a number of stars, from 0 to 5."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 5:
        raise _wrong(path, number, name, value, "a number of stars from 0 to 5")
    return float(value)


def _wrong(path: Path, number: int, name: str, value: Any, expected: str) -> DataError:
    return DataError(f"{path}:{number}: {name} is {value!r:.60}. Expected {expected}. {MEND}")
