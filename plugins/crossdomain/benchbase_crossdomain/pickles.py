"""Tri-CDR's pickles: nothing in them is run, since dictionaries of lists of whole numbers are all that is read."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np

from benchbase.data import reading
from benchbase.errors import DataError

from .unpacking import unpacked

NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1"}
PASSED = {"PROTO", "FRAME", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
"""Operations without an effect here: nothing is looked up in the memo that some of them fill."""

EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}

LARGEST = 2**31 - 1

MOST = 2**24
"""Bytes of a pickle, of which each may become a list of 60 or more; Tri-CDR's largest has 0.7 million."""


def read_pickle(path: Path) -> np.ndarray:
    """Users and items, (2, n), of a dictionary of users' lists. Errors: `DataError`, also for what might run."""
    with reading(path), unpacked(path, MOST) as data:
        try:
            found = _plain((operation.name, argument) for operation, argument, _ in genops(data))
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: no plain pickle ({error!s:.80}). Expected a dictionary of lists of whole "
                            "numbers, of protocol 2 or later. Take the repository's file as it is.") from None
    rows: list[Any] = list(found.values()) if isinstance(found, dict) else [None]
    numbers = list(chain(found, *rows)) if all(isinstance(row, list) for row in rows) else [None]
    if not all(isinstance(number, int) and 1 <= number <= LARGEST for number in numbers) or not any(rows):
        raise DataError(f"{path}: it holds something else than lists of numbers from 1 on by user. Expected these, and "
                        "not all empty. Take the repository's file as it is.")
    users = np.repeat(np.array(list(found), np.int64), [len(row) for row in rows])
    return np.stack((users, np.fromiter(chain.from_iterable(rows), np.int64, len(users))))


def _plain(operations: Iterable[tuple[str, Any]]) -> Any:
    """What a pickle of nothing but dictionaries, lists and whole numbers holds. Errors: `ValueError`."""
    stack: list[Any] = []
    marks: list[int] = []
    for name, argument in operations:
        if name in NUMBERS:
            stack.append(argument)
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            several = marks.pop() if name.endswith("S") else len(stack) - (1 if name == "APPEND" else 2)
            values = stack[several:]
            del stack[several:]
            if name.startswith("A"):
                stack[-1].extend(values)
            else:
                stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name == "STOP":
            return stack.pop()
        elif name not in PASSED:
            raise ValueError(f"operation {name}")
    raise ValueError("it has no end")
