"""Reviews as a log: one pass over each file, ids as numbers from the first line on."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log
from benchbase.data.lines import objects, stars, text, whole
from benchbase.errors import DataError

from .config import AmazonConfig
from .items import Item, read_items


@dataclass(frozen=True)
class Fields:
    """What a release calls what is read of a review, and how many ticks of its time make a second."""

    user: str
    item: str
    stars: str
    time: str
    ticks: int = 1


OLD = Fields("reviewerID", "asin", "overall", "unixReviewTime")
FIELDS = {2014: OLD, 2018: OLD, 2023: Fields("user_id", "parent_asin", "rating", "timestamp", 1000)}


@dataclass
class Reviews:
    """Columns that grow: users and items as numbers, in the order they are met; stars; times; categories."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    domain: list[int] = field(default_factory=list)  # of each item: the category that names it first
    user: "array[int]" = field(default_factory=lambda: array("i"))
    item: "array[int]" = field(default_factory=lambda: array("i"))
    stars: "array[float]" = field(default_factory=lambda: array("f"))
    time: "array[int]" = field(default_factory=lambda: array("q"))
    category: "array[int]" = field(default_factory=lambda: array("h"))

    def read(self, path: Path, fields: Fields, category: int) -> None:
        """Add all reviews of a file. Errors: `DataError` with the line that does not fit."""
        for number, line in objects(path):
            user, item = text(path, number, line, fields.user), text(path, number, line, fields.item)
            self.user.append(self.users.setdefault(user, len(self.users)))
            code = self.items.setdefault(item, len(self.items))
            if code == len(self.domain):
                self.domain.append(category)
            self.item.append(code)
            self.stars.append(stars(path, number, line, fields.stars))
            self.time.append(whole(path, number, line, fields.time))
            self.category.append(category)


def read_reviews(config: AmazonConfig, files: list[Path]) -> Log:
    """The log of the categories. Times are days (but for 2023): a seeded hash orders what one day holds.

    Errors: `DataError`.
    """
    import pandas as pd

    names, fields, found = config.names, FIELDS[config.release], Reviews()
    for category, path in enumerate(files[: len(names)]):
        found.read(path, fields, category)
    about = [read_items(path, config.release) for path in files[len(names) :]]
    user, item = np.array(found.user), np.array(found.item)
    kept = np.ones(len(user), bool)
    if config.users == "shared":
        kept = _shared(user, np.array(found.category), len(found.users), len(names))
        if not kept.any():
            raise DataError(f"{files[0]}: no user has reviews in all of {', '.join(names)}. Expected some. "
                            "Use users: any, or other categories.")
    gone = int(np.count_nonzero(~kept))
    users, items = (pd.Index(list(each), dtype=object) for each in (found.users, found.items))
    return Log(
        pd.Categorical.from_codes(user[kept], users), pd.Categorical.from_codes(item[kept], items),
        np.array(found.time)[kept], {"rating": np.array(found.stars)[kept]}, items=_table(found, names, about),
        ticks=fields.ticks, file_order=False,
        removed={"users without reviews in every category": gone} if gone else {},
    )


def _shared(user: np.ndarray, category: np.ndarray, n_users: int, n_categories: int) -> np.ndarray:
    """Which reviews are of users that have some in every category, (n,)."""
    has = np.zeros((n_users, n_categories), bool)
    has[user, category] = True
    everywhere: np.ndarray = np.logical_and.reduce(has, axis=1)
    return np.asarray(everywhere[user])


def _table(found: Reviews, names: tuple[str, ...], about: list[dict[str, Item]]) -> ItemTable | None:
    """The items with their domains, where there are several categories, and what is known of them."""
    if len(names) < 2 and not about:
        return None
    ids = np.array(list(found.items), object)
    domain = np.array(names, object)[found.domain] if len(names) > 1 else None
    if not about:
        return ItemTable(ids, domain=domain)
    known: dict[str, Item] = {}
    for table in about:
        known = {**table, **known}  # the first file that describes an item has the say
    rows = [known.get(each) for each in found.items]
    return ItemTable(
        ids,
        {"category": [row.categories if row else () for row in rows]},
        {"title": np.array([row.title if row else "" for row in rows], object),
         "brand": np.array([row.brand if row else "" for row in rows], object),
         "price": np.array([row.price if row else np.nan for row in rows], np.float32)},
        domain,
    )
