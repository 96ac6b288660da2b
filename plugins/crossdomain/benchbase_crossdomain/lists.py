"""SyNCRec's file: a user a line, with lists of items, of their domains and of times."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log
from benchbase.data.table import Table, filled, whole
from benchbase.errors import DataError

LISTS = ("item", "type", "unix_time")
TIME = whole(0, 100_000_000_000)

TABLE = Table(
    {"": whole(), "user_id": filled("an id"), **dict.fromkeys(LISTS, filled("values with commas between")),
     "list_len": whole(1, 2**31 - 1, "a number from 1 on")},
    "\t", header=True,
)

MEND = "Take the repository's file as it is."


@dataclass
class Lines:
    """Columns that grow: users, items and domains as numbers, in the order they are met; sizes of lines; times."""

    users: dict[str, int] = field(default_factory=dict)  # with the line of each
    size: "array[int]" = field(default_factory=lambda: array("i"))
    items: dict[str, int] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)
    domain: "array[int]" = field(default_factory=lambda: array("i"))  # of each item
    item: "array[int]" = field(default_factory=lambda: array("i"))
    time: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, where: str, number: int, user: str, lists: list[list[str]], size: int) -> None:
        """Append a line. Errors: `DataError`."""
        if before := self.users.get(user):
            raise DataError(f"{where}: user {user} has line {before} already. Expected one line a user. {MEND}")
        lengths = [len(values) for values in lists]
        if lengths != [size] * len(lists):
            told = ", ".join(f"{name} has {n}" for name, n in zip(LISTS, lengths, strict=True))
            raise DataError(f"{where}: {told} values. Expected {size} each, as list_len says. {MEND}")
        self.users[user] = number
        self.size.append(size)
        for item, domain, time in zip(*lists, strict=True):
            self._event(where, item, domain, time)

    def _event(self, where: str, item: str, domain: str, time: str) -> None:
        if not item.strip() or not domain.strip():
            raise DataError(f"{where}: {'type' if item.strip() else 'item'} has a blank value. Expected none. {MEND}")
        if not TIME.good(time):
            raise DataError(f"{where}: unix_time has {time!r:.60}. Expected whole seconds from 0 on. {MEND}")
        kind = self.domains.setdefault(domain, len(self.domains))
        code = self.items.setdefault(item, len(self.items))
        if code == len(self.domain):
            self.domain.append(kind)
        elif self.domain[code] != kind:
            before = list(self.domains)[self.domain[code]]
            raise DataError(f"{where}: item {item} is of {domain}, and of {before} before. Expected one domain an "
                            f"item. {MEND}")
        self.item.append(code)
        self.time.append(int(time))


def read_lists(path: Path) -> Log:
    """The log; events of one day stay in the file's order. Errors: `DataError` with the line."""
    import pandas as pd

    found, number = Lines(), 1
    for chunk in TABLE.read(path):
        columns = [chunk[name].tolist() for name in ("user_id", *LISTS, "list_len")]
        for user, *lists, size in zip(*columns, strict=True):
            number += 1
            found.add(f"{path}:{number}", number, user, [text.split(",") for text in lists], size)
    users, items = (pd.Index(list(each), dtype=object) for each in (found.users, found.items))
    return Log(
        pd.Categorical.from_codes(np.repeat(np.arange(len(users)), found.size), users),
        pd.Categorical.from_codes(np.array(found.item), items), np.array(found.time),
        items=ItemTable(items.to_numpy(), domain=np.array(list(found.domains), object)[found.domain]),
    )
