"""Sequence files: lines `user item [item ...]`, each user's items in time order; a later line of a user goes on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchbase import DataContext
from benchbase.data import Log, find_file, open_text, reading
from benchbase.errors import DataError

from .config import FilesConfig
from .fields import WHOLE, Field, Times, ids, problem, times

TIME = Field("timestamp", "time", "time")


def read_sequence(config: FilesConfig, context: DataContext) -> Log:
    """The log of a sequence file, with times where a parallel file gives them. Errors: `DataError` with the line."""
    path = find_file(context, config.path)
    users: list[str] = []
    sizes: list[int] = []
    items: list[str] = []
    lines: list[int] = []
    for line, fields in _lines(path, config):
        users.append(fields[0])
        sizes.append(len(fields) - 1)
        items.extend(fields[1:])
        lines.append(line)
    if not items:
        what = "no line names an item after the user" if users else "the file is empty"
        raise DataError(f"{path}: {what}. Expected lines `user item [item ...]`. Check the path and the separator.")
    time = Times(None, 1) if config.times is None else _times(config, context, users, sizes, lines, path)
    empty = sizes.count(0)
    facts = {"users without items": str(empty)} if empty else {}
    return Log(np.repeat(ids(users), sizes), ids(items), time.values, ticks=time.ticks, facts=facts)


def _times(
    config: FilesConfig, context: DataContext, users: list[str], sizes: list[int], lines: list[int], of: Path
) -> Times:
    """Times out of the parallel file, (n,); every line must match its partner."""
    assert config.times is not None
    path = find_file(context, config.times)
    texts: list[str] = []
    count = 0
    for count, (line, fields) in enumerate(_lines(path, config), 1):
        if count > len(users):
            break
        user, size = users[count - 1], sizes[count - 1]
        if fields[0] != user or len(fields) - 1 != size:
            raise DataError(
                f"{path}:{line}: user {fields[0]} with {len(fields) - 1} times. Expected user {user} with "
                f"{size}, as in {of}:{lines[count - 1]}. Give the file that belongs to it."
            )
        for text in fields[1:]:
            if wrong := problem(TIME, text, config.timestamp_unit):
                raise DataError(f"{path}:{line}: {wrong}")
        texts.extend(fields[1:])
    if count != len(users):
        raise DataError(
            f"{path}: {'more' if count > len(users) else 'fewer'} lines than {of}, which has {len(users)}. "
            "Expected one line of times for each of its lines. Give the file that belongs to it."
        )
    return _parsed(texts, config.timestamp_unit, path)


def _parsed(texts: list[str], unit: str, path: Path) -> Times:
    if unit == "iso":
        import pandas as pd

        return times(pd.to_datetime(texts, format="ISO8601", utc=True).as_unit("us").asi8, unit, path)
    kind = np.int64 if all(map(WHOLE.match, set(texts))) else np.float64
    return times(np.array(texts, dtype=np.str_).astype(kind), unit, path)


def _lines(path: Path, config: FilesConfig) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line that is not blank."""
    mark = config.separator
    with reading(path, config.encoding), open_text(path, config.encoding) as stream:
        for number, line in enumerate(stream, 1):
            fields = line.rstrip("\n").split(mark) if mark is not None and line.strip() else line.split()
            if not all(map(str.strip, fields)):
                raise DataError(
                    f"{path}:{number}: a field is empty. Expected a value before and after each {mark!r}. "
                    "Mend the line or set separator."
                )
            if fields:
                yield number, fields
