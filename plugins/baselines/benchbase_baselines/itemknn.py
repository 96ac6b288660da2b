"""Item neighbours: what was read together will be read together."""

import numpy as np
from scipy import sparse

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import ItemKNNConfig
from .counts import cooccurrences, user_items


class ItemKNN:
    """Score an item by its summed similarity to the history's items whose nearest neighbours it is among.

    The similarity of i and j is their users in common over sqrt(n_i n_j) + h; each item keeps its k most
    similar ones, and those tied with the last, so that ids decide nothing.
    Source: Deshpande and Karypis 2004, section 4.
    """

    def __init__(self, config: ItemKNNConfig):
        self.config = config

    def fit(self, train: Events, context: BuildContext) -> None:
        matrix = user_items(train, context.n_items)
        root = np.sqrt(matrix.sum(axis=0))  # (n_items)
        nearest = [
            self._nearest(start + i, root, block.indices[low:high], block.data[low:high])
            for start, block in cooccurrences(matrix)
            for i, (low, high) in enumerate(zip(block.indptr[:-1], block.indptr[1:], strict=True))
        ]
        offsets = np.cumsum([0, *(len(items) for items, _ in nearest)])
        items = np.concatenate([items for items, _ in nearest])
        values = np.concatenate([values for _, values in nearest])
        self.similarity = sparse.csr_array((values, items, offsets), shape=(context.n_items, context.n_items))

    def _nearest(self, item: int, root: np.ndarray, others: np.ndarray, common: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray]:
        """The neighbours of one item, ascending, and their similarities."""
        others, common = others[others != item], common[others != item]
        similarity = common / (root[item] * root[others] + self.config.shrinkage)
        kept = largest(similarity, self.config.neighbours)
        others, similarity = others[kept], similarity[kept]
        return others, similarity / similarity.sum() if self.config.normalise else similarity

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items) float64; 0 for what is near nothing in the history."""
        scores: np.ndarray = (user_items(histories, self.similarity.shape[0]) @ self.similarity).toarray()
        return scores


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest values, ascending, and of all that equal the last of them."""
    if len(values) <= k:
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
