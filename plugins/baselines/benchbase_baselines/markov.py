"""A first-order Markov chain: what came after the last item will come after it again."""

import numpy as np

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import MarkovConfig
from .counts import transitions


class Markov:
    """Score item j by P(j | last item i) = (n_ij + mu p_j) / (n_i + mu), with p the items' share of all events.

    Where i is unknown, or nothing ever followed it, that is p. Source: MacKay and Peto 1995.
    """

    def __init__(self, config: MarkovConfig):
        self.backoff = config.backoff

    def fit(self, train: Events, context: BuildContext) -> None:
        self.follow = transitions(train, context.n_items)
        counts = np.bincount(train.item, minlength=context.n_items + 1)[1:]
        self.share = counts / max(counts.sum(), 1)  # p (n_items)

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items) float64, each row a law over items."""
        last = np.zeros(histories.n_rows, np.int64)  # 0, padding, which nothing follows
        some = histories.lengths > 0
        last[some] = histories.item[histories.offsets[1:][some] - 1]
        followed = self.follow[last].toarray()  # (b, n_items)
        seen = followed.sum(axis=1, keepdims=True)
        backoff = np.where(seen > 0, self.backoff, 1.0)
        law: np.ndarray = (followed + backoff * self.share) / (seen + backoff)
        return law
