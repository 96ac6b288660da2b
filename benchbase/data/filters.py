"""Filters: what the core itself takes out of a log, for every data set in the same way."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ..specs import Config
from .order import repeated


def _listed(value: Any) -> Any:
    """A name alone is a list of one: brackets in a suite hold no lists."""
    return (value,) if isinstance(value, str) else value


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"{max(names, key=names.count)} is given twice. Expected each once. Remove one.")
    return names


class DatasetConfig(Config):
    """Parameters that every data set has; a plugin's own are added in a subclass.

    Order: the reader's own filters, then `repeats`, then the two minima together.
    """

    min_user_events: int = Field(1, ge=1, description="Users with fewer events are left out")
    min_item_events: int = Field(
        1,
        ge=1,
        description="Items with fewer events are left out; both minima are applied "
        "until neither removes anything (k-core)",
    )
    repeats: Literal["keep", "first", "last"] = Field(
        "keep", description="Which events of a repeated (user, item) pair stay: all, the first, or the last"
    )
    user_groups: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_once)] = Field(
        (), description="What is known of users that they are grouped by, where the data set tells"
    )


def drop_repeats(offsets: np.ndarray, item: np.ndarray, repeats: str) -> tuple[np.ndarray | None, int]:
    """`(keep, n_repeated)`: events that stay under `repeats` (None: all), and how many repeat an earlier one's pair."""
    mask = repeated(offsets, item, "last" if repeats == "last" else "first")
    n_repeated = int(np.count_nonzero(mask))
    return (None if repeats == "keep" or not n_repeated else ~mask), n_repeated


def core(user: np.ndarray, item: np.ndarray, n_users: int, n_items: int, config: DatasetConfig) -> np.ndarray:
    """Rows that stay when users and items with too few events go, repeatedly, until none has too few; ascending."""
    rows = np.arange(len(user), dtype=np.int64)
    while len(rows):
        enough_user = np.bincount(user, minlength=n_users) >= config.min_user_events
        enough_item = np.bincount(item, minlength=n_items) >= config.min_item_events
        stays = enough_user[user] & enough_item[item]
        if stays.all():
            break
        rows, user, item = rows[stays], user[stays], item[stays]
    return rows
