"""Log: what a data set plugin hands over, before the core filters, encodes and sorts it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Ids = Any
"""Original ids: an array of integers, an array of strings, or a pandas Categorical of either."""


@dataclass(frozen=True)
class ItemTable:
    """Features of items by original id: one row an item, in any order; items without events are left out.

    `categories`: per column, one tuple of labels an item. `columns`: one array a column (integers, floats
    or strings). `domain`: one name an item ("" where unknown), or None. `vectors`: of images, sounds and the like, one
    array (n, d) each, a row of NaN where there is none.
    """

    ids: np.ndarray
    categories: Mapping[str, list[tuple[str, ...]]] = field(default_factory=dict)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    domain: np.ndarray | None = None
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class UserTable:
    """What is known of users by original id: one row a user, in any order; users without events are left out.

    `columns`: one array a column, each value the name of a group, "" where unknown. Those are kept that the data set's
    `user_groups` name.
    """

    ids: np.ndarray
    columns: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Log:
    """Events as the source gives them, one array a column, all of one length, in file order.

    `user`, `item`: original ids. `timestamp`: whole Unix time, or None, in units of which
    `ticks` make a second (1000: milliseconds); events are sorted by it as given, then it is kept in seconds.
    `actions`, `features`, `marks`: named number columns; no model reads marks, such as how likely an event was to be
    shown. `file_order`: the source's order means something, so equal timestamps (or all events, without timestamps)
    keep it; otherwise a seeded hash decides. `removed`: what the reader left out, by reason. `facts`: further lines for
    the data set card.
    """

    user: Ids
    item: Ids
    timestamp: np.ndarray | None = None
    actions: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    items: ItemTable | None = None
    users: UserTable | None = None
    ticks: int = 1
    file_order: bool = True
    removed: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)
