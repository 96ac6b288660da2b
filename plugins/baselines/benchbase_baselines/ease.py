"""EASE: a linear autoencoder over items, solved in closed form."""

import numpy as np
from scipy.linalg import lapack

from benchbase import BuildContext
from benchbase.data.sequences import Events

from .config import EASEConfig
from .counts import cooccurrences, user_items


class EASE:
    """Score items by X B, where B minimises |X - X B|^2 + lambda |B|^2 under a zero diagonal.

    With P the inverse of X' X + lambda I, B is I - P / diag(P), column by column. Source: Steck 2019, eq. (8).
    """

    def __init__(self, config: EASEConfig):
        self.config = config

    def fit(self, train: Events, context: BuildContext) -> None:
        gram = np.empty((context.n_items, context.n_items), self.config.precision, order="F")
        for start, block in cooccurrences(user_items(train, context.n_items)):
            gram[:, start : start + block.shape[0]] = block.toarray().T  # symmetric: rows are columns
        self.weights = weights(gram, self.config.l2)

    def scores(self, histories: Events, times: np.ndarray) -> np.ndarray:
        """Scores (b, n_items); 0 for items that no train-part user has."""
        rows = user_items(histories, len(self.weights)).astype(self.weights.dtype)
        scores: np.ndarray = rows @ self.weights
        return scores


def weights(gram: np.ndarray, l2: float) -> np.ndarray:
    """B (N, N), by rows in memory as the product with sparse histories wants it, from X' X (N, N), overwritten."""
    diagonal = np.diag_indices_from(gram)
    gram[diagonal] += l2
    inverse = _inverse(gram).T  # symmetric: columns are rows
    inverse /= -inverse[diagonal].copy()
    inverse[diagonal] = 0.0
    return inverse


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix by Cholesky, in its own memory where it is Fortran-ordered."""
    factor, inverse = (lapack.dpotrf, lapack.dpotri) if matrix.dtype == np.float64 else (lapack.spotrf, lapack.spotri)
    matrix, failed = factor(matrix, lower=0, overwrite_a=1)
    assert failed == 0, "a Gram matrix plus lambda > 0 is positive definite"
    matrix, failed = inverse(matrix, lower=0, overwrite_c=1)
    assert failed == 0, "a positive definite matrix has an inverse"
    for column in range(len(matrix)):  # the solver fills the upper triangle alone
        matrix[column + 1 :, column] = matrix[column, column + 1 :]
    return matrix
