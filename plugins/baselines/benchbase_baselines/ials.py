"""Implicit alternating least squares: vectors of users and items whose products tell what a history holds."""

import numpy as np
import threadpoolctl
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import IALSConfig
from .counts import user_items

START = 0.1
"""Length, on average, of an item's vector before the first step. Source: Rendle et al. 2022."""


class IALS:
    """Score items by x' Y, where x solves the least squares of the history as a user's vector did in training.

    The objective is sum_ui c_ui (p_ui - x_u' y_i)^2 + lambda (|X|^2 + |Y|^2) over all users and items: p_ui is 1 and
    c_ui 1 + alpha where the user has the item, 0 and 1 elsewhere. Source: Hu et al. 2008, eq. (3) and (4).
    """

    def __init__(self, config: IALSConfig):
        self.config = config

    def fit(self, train: Events, context: BuildContext) -> None:
        config, threads = self.config, algebra_threads()
        confidence = sparse.csr_matrix(user_items(train, context.n_items) * (1 + config.alpha))
        start = np.random.default_rng(context.seed).normal(size=(context.n_items, config.factors))
        with threadpoolctl.threadpool_limits(1, user_api="blas"):  # the library runs users side by side instead
            model = AlternatingLeastSquares(
                config.factors, config.l2, alpha=1.0, dtype=np.float64, use_cg=config.solver == "cg",
                iterations=config.iterations, num_threads=threads,
            )
            model.item_factors = start * START / config.factors**0.5
            model.user_factors = np.zeros((train.n_rows, config.factors))  # solved for first
            model.fit(confidence, show_progress=False)
        self.items = model.item_factors  # (n_items, f)
        self.gram = self.items.T @ self.items + config.l2 * np.eye(config.factors)

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items) float64; 0 for items that no train-part user has."""
        scores: np.ndarray = self.users(histories) @ self.items.T
        return scores

    def users(self, histories: Events) -> np.ndarray:
        """Vectors (b, f): (Y' C Y + lambda I) x = Y' C p for each history. Source: Hu et al. 2008, eq. (4)."""
        alpha, rows = self.config.alpha, user_items(histories, len(self.items))
        solved = np.empty((histories.n_rows, self.config.factors))
        for row, (first, last) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
            mine = self.items[rows.indices[first:last]]
            solved[row] = np.linalg.solve(self.gram + alpha * mine.T @ mine, (1 + alpha) * mine.sum(axis=0))
        return solved


def algebra_threads() -> int:
    """Threads that linear algebra has here: what the suite allows."""
    return max((pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"),
               default=1)
