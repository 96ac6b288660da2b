"""Catalogue: all items and what is known of them."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Categories:
    """Categories of items, ragged: item i has values[offsets[i]:offsets[i + 1]], indices into `labels`.

    `offsets` (n_items + 2,) int64: entry 0 is padding's, always empty; `values` (m,) int32; `labels` are
    in ascending order.
    """

    offsets: np.ndarray
    values: np.ndarray
    labels: tuple[str, ...]

    def of(self, item: int) -> np.ndarray:
        """Indices into `labels` of one item's categories, ascending."""
        return self.values[self.offsets[item] : self.offsets[item + 1]]


@dataclass(frozen=True)
class Catalogue:
    """All items that have events, 1..n_items in ascending order of their original ids; index 0 is padding.

    `item_ids` (n_items + 1,) original ids (entry 0 is "" or 0). `domain` (n_items + 1,) int16 or None: an index
    into `domain_names`, -1 unknown. `categories` by column name. `columns` holds other features (title, year,
    ...), one array (n_items + 1,) each. `vectors` by name, (n_items + 1, d) float32, all of a row finite or none. An
    item that its source does not describe has "", -1 (integers), NaN (floats, vectors) or no category, and so has
    padding.
    """

    item_ids: np.ndarray
    has_time: bool
    domain: np.ndarray | None = None
    domain_names: tuple[str, ...] = ()
    categories: dict[str, Categories] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_items(self) -> int:
        return len(self.item_ids) - 1
