"""Tri-CDR's files: each user's items of one domain, of the other, and of both in one order."""

from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log
from benchbase.data.table import Table, whole
from benchbase.errors import DataError

from .pickles import LARGEST, read_pickle

ID = whole(1, LARGEST, "a number from 1 on")
TABLE = Table({"user": ID, "item": ID}, " ")


def read_mixed(domains: tuple[str, str], files: list[Path]) -> Log:
    """The log of the mixed file; an item of the second domain is its id plus the number of items of the first.

    `files`: of the first domain, of the second, of both. Errors: `DataError`, also where the mixed file holds anything
    else than the other two.
    """
    first, second, mix = (_events(path) for path in files)
    n_first = int(first[1].max())
    in_first = mix[1] <= n_first
    _same(domains[0], files[0], first, files[2], mix, np.flatnonzero(in_first), 0)
    _same(domains[1], files[1], second, files[2], mix, np.flatnonzero(~in_first), n_first)
    items = np.unique(mix[1])
    names = np.array(domains, object)[(items > n_first).astype(int)]
    return Log(mix[0], mix[1], items=ItemTable(items, domain=names))


def _events(path: Path) -> np.ndarray:
    """Users and items, (2, n), as they stand."""
    if ".pkl" in path.suffixes:
        return read_pickle(path)
    return np.concatenate([chunk.to_numpy().T for chunk in TABLE.read(path)], axis=1)


def _same(name: str, path: Path, single: np.ndarray, mixed: Path, mix: np.ndarray, part: np.ndarray,
          shift: int) -> None:
    """Check that the events `part` of the mixed file are those of the single one, each user's in the same order."""
    of_mix = part[np.argsort(mix[0, part], kind="stable")]
    of_single = np.argsort(single[0], kind="stable")
    n = min(len(of_mix), len(of_single))
    one, other = mix[:, of_mix[:n]], single[:, of_single[:n]]
    differ = np.flatnonzero((one[0] != other[0]) | (one[1] - shift != other[1]))
    if not len(differ) and len(of_mix) == len(of_single):
        return
    at = int(differ[0]) if len(differ) else n
    told = (_told(mixed, of_mix, mix, at, shift), _told(path, of_single, single, at, 0))
    raise DataError(f"{told[0]}; {told[1]}. Expected the events of {name} in both, each user's in one order. Take the "
                    "three files of one release.")


def _told(path: Path, rows: np.ndarray, events: np.ndarray, at: int, shift: int) -> str:
    """What stands at a place among some rows of a file."""
    if at == len(rows):
        return f"{path} has no more of this domain"
    user, item = events[:, rows[at]].tolist()
    line = "" if ".pkl" in path.suffixes else f":{rows[at] + 1}"
    return f"{path}{line} has user {user}, item {f'{item} - {shift} = {item - shift}' if shift else item}"
