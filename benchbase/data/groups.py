"""Groups: users by what is known of them, for figures that compare groups and for parts that must not tell them apart.

What is known of a user stands in no record: only figures of groups of `FEWEST` users and more do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, nearest
from .ids import find_ids
from .log import UserTable

MOST_GROUPS = 100
"""Of one column; each is compared with each."""

FEWEST = 10
"""Users of a group, at least, for a figure of it to be told: one of fewer says something of each."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Users by one thing known of them: `code` (n_users,) int16 into `labels`, which ascend; -1 where unknown."""

    code: np.ndarray
    labels: tuple[str, ...]

    @property
    def sizes(self) -> np.ndarray:
        """How many users each group has, (labels,) int64."""
        return np.bincount(self.code[self.code >= 0], minlength=len(self.labels))

    def told(self) -> dict[str, int | str]:
        """How many users each group has, of small ones that it is small."""
        return {label: n if n >= FEWEST else f"fewer than {FEWEST}"
                for label, n in zip(self.labels, self.sizes.tolist(), strict=True)}


def make_groups(user_ids: np.ndarray, table: UserTable | None, wanted: Sequence[str], where: str = "log"
                ) -> dict[str, Groups]:
    """The groups of a data set's users by each column that is wanted, {} where none is.

    `user_ids` (n_users,) ascending. Errors: `DataError` for a column that the table lacks, a table that does not fit,
    and a column by which all users are alike.
    """
    if not wanted:
        return {}
    if table is None:
        raise DataError(f"{where}: user_groups: nothing is known of its users. Expected a data set that tells. "
                        "Leave user_groups out.")
    row = _rows(user_ids, table, where)
    return {name: _groups(table.columns, name, row, where) for name in wanted}


def _rows(user_ids: np.ndarray, table: UserTable, where: str) -> np.ndarray:
    """The table's row of every user, (n_users,) int64; -1 where there is none."""
    ids = np.asarray(table.ids)
    for name, values in table.columns.items():
        if len(values) != len(ids):
            raise DataError(f"{where}: user column '{name}' has {len(values)} values. Expected {len(ids)}, one for "
                            "each user id.")
    found = find_ids(user_ids, ids)
    rows = np.full(len(user_ids), -1, np.int64)
    rows[found[found >= 0]] = np.flatnonzero(found >= 0)
    if np.count_nonzero(rows >= 0) != np.count_nonzero(found >= 0):
        places, counts = np.unique(found[found >= 0], return_counts=True)
        twice = user_ids.tolist()[places[np.argmax(counts > 1)]]
        raise DataError(f"{where}: user {twice!r} is listed more than once in the user table. Expected one row a user. "
                        "Remove the repeated rows.")
    return rows


def _groups(columns: Mapping[str, np.ndarray], name: str, row: np.ndarray, where: str) -> Groups:
    if name not in columns:
        raise DataError(f"{where}: user_groups: nothing called '{name}' is known of its users. "
                        f"{nearest(name, columns, 'Known')}")
    values = np.asarray(columns[name]).astype(object)
    told = ["" if place < 0 or _is_unknown(values[place]) else str(values[place]) for place in row.tolist()]
    labels = tuple(sorted(set(told) - {""}))
    if not 2 <= len(labels) <= MOST_GROUPS:
        many = f"{len(labels)} group{'s' * (len(labels) != 1)}"
        raise DataError(f"{where}: user_groups: by '{name}' its users are in {many}. Expected 2 "
                        f"to {MOST_GROUPS}. Leave it out, or check the filters.")
    code = {label: place for place, label in enumerate(labels)} | {"": -1}
    return Groups(np.array([code[each] for each in told], np.int16), labels)


def _is_unknown(value: Any) -> bool:
    """Nothing, or a number that is none, as columns of tables have it."""
    return value is None or bool(value != value)
