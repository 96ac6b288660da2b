"""Popularity: the same ranking for everybody."""

import numpy as np

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import PopularityConfig
from .counts import user_items


class Popularity:
    """Score an item by how often it occurs in the train part; 0 where it never does."""

    def __init__(self, config: PopularityConfig):
        self.config = config

    def fit(self, train: Events, context: BuildContext) -> None:
        if self.config.count == "users":
            counts = user_items(train, context.n_items).sum(axis=0)
        else:
            counts = np.bincount(train.item, minlength=context.n_items + 1)[1:]
        self.counts = counts.astype(np.float64)  # float32 would tie counts above 2**24

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items) float64, the same in every row."""
        return np.tile(self.counts, (histories.n_rows, 1))
