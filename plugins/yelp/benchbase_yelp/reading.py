"""Reviews, businesses and users of the published files, one JSON object a line."""

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchbase.data import ItemTable, Log, UserTable
from benchbase.data.lines import Line, objects, stars, text, whole, wrong

from .config import YelpConfig

MOMENT = "a moment such as 2018-07-07 22:09:11, or a day"


def read_yelp(config: YelpConfig, files: Sequence[Path]) -> Log:
    """The log of the reviews; their text is not read. Equal times are left to the seeded hash. Errors: `DataError`."""
    import pandas as pd

    reviews, *rest = files
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, time, given, few = array("i"), array("i"), array("q"), array("f"), 0
    for number, line in objects(reviews):
        rating = stars(reviews, number, line, "stars")
        who, what = text(reviews, number, line, "user_id"), text(reviews, number, line, "business_id")
        when = _moment(reviews, number, line)
        if config.min_stars is not None and rating < config.min_stars:
            few += 1
            continue
        user.append(users.setdefault(who, len(users)))
        item.append(items.setdefault(what, len(items)))
        time.append(when)
        given.append(rating)
    businesses = [rest.pop(0)] if config.businesses else []
    return Log(
        pd.Categorical.from_codes(np.array(user), pd.Index(list(users), dtype=object)),
        pd.Categorical.from_codes(np.array(item), pd.Index(list(items), dtype=object)),
        np.array(time, np.int64), {"stars": np.array(given, np.float32)},
        items=_items(businesses[0], items, config.domain) if businesses else None,
        users=_users(rest[0], users) if rest else None, file_order=False,
        removed={f"reviews with fewer than {config.min_stars} stars": few} if few else {},
    )


def _moment(path: Path, number: int, line: Line) -> int:
    """Seconds since 1970; the files name no zone, and UTC is taken."""
    value = line.get("date")
    try:
        return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise wrong(path, number, "date", value, MOMENT) from None


def _items(path: Path, wanted: dict[str, int], domain: str) -> ItemTable:
    """The businesses that have reviews: name, city, state, place in degrees (NaN where unknown) and categories."""
    ids, categories = [], []
    columns: dict[str, list[Any]] = {name: [] for name in ("name", "city", "state", "latitude", "longitude")}
    for number, line in objects(path):
        if (business := text(path, number, line, "business_id")) not in wanted:
            continue
        ids.append(business)
        categories.append(_labels(line.get("categories")))
        for name in ("name", "city", "state"):
            columns[name].append(_words(line.get(name)))
        for name in ("latitude", "longitude"):
            columns[name].append(_degrees(line.get(name)))
    made = {name: np.array(values, np.float32 if name.endswith("tude") else object) for name, values in columns.items()}
    domains = None
    if domain != "none":
        domains = made["state"]
        if domain == "city":  # towns of one name lie in several states
            domains = np.array([f"{city}, {state}" if city else "" for city, state in
                                zip(columns["city"], columns["state"], strict=True)], object)
    return ItemTable(np.array(ids, object), {"category": categories}, made, domains)


def _users(path: Path, wanted: dict[str, int]) -> UserTable:
    """What is told of the users who have reviews: whether they were ever elite, and the year they joined."""
    ids, elite, since = [], [], []
    for number, line in objects(path):
        if (user := text(path, number, line, "user_id")) not in wanted:
            continue
        ids.append(user)
        elite.append("yes" if line.get("elite") not in ("", "None", None, []) else "no")
        since.append(_words(line.get("yelping_since"))[:4])
        whole(path, number, line, "review_count")  # a line of another file has none
    return UserTable(np.array(ids, object), {"elite": np.array(elite, object), "since": np.array(since, object)})


def _labels(value: Any) -> tuple[str, ...]:
    """Categories: text with commas between, or, in older releases, a list; none where there are none."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(part.strip() for part in parts if isinstance(part, str) and part.strip()))


def _words(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _degrees(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
