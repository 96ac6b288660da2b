"""Files of one object a line: JSON, or what another parser makes of a line; fields are checked where they are taken."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from .text import open_text, reading

MEND = "Take the publisher's file as it is."

Line = dict[str, Any]


def objects(path: Path, parse: Callable[[str], Any] = json.loads, form: str = "JSON object"
            ) -> Iterator[tuple[int, Line]]:
    """The number and the object of every line. Errors: `DataError` that names the first line that is no `form`."""
    number = 0
    with reading(path), open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                found = parse(line)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
                raise DataError(f"{path}:{number}: no object ({type(error).__name__}: {error!s:.80}). Expected one "
                                f"{form} a line. {MEND}") from None
            if not isinstance(found, dict):
                raise DataError(f"{path}:{number}: a {type(found).__name__}. Expected an object. {MEND}")
            yield number, found
    if not number:
        raise DataError(f"{path}: the file is empty. Expected one object a line. {MEND}")


def text(path: Path, number: int, line: Line, name: str) -> str:
    """A field that is text and not empty. Errors: `DataError`."""
    value = line.get(name)
    if not isinstance(value, str) or not value.strip():
        raise wrong(path, number, name, value, "text")
    return value


def whole(path: Path, number: int, line: Line, name: str) -> int:
    """A field that is a whole number from 0 on. Errors: `DataError`."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise wrong(path, number, name, value, "a whole number from 0 on")
    return value


def stars(path: Path, number: int, line: Line, name: str) -> float:
    """A field that is a number of stars, from 0 to 5. Errors: `DataError`."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 5:
        raise wrong(path, number, name, value, "a number of stars from 0 to 5")
    return float(value)


def wrong(path: Path, number: int, name: str, value: Any, expected: str) -> DataError:
    """The error for a field that is not what was expected."""
    return DataError(f"{path}:{number}: {name} is {value!r:.60}. Expected {expected}. {MEND}")
