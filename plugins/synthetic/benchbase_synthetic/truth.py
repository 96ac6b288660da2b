"""Truth: what the best possible model reaches on a generated world, with `filter_seen: none`."""

import numpy as np

from benchbase.data import Catalogue, Interactions

from .chain import make_chain
from .config import MarkovConfig, NoiseConfig


def best_recall(config: NoiseConfig | MarkovConfig, k: int = 1, seed: int = 0) -> float:
    """The expected recall@k of a model that knows the law: no model can expect more. Exact, at any position."""
    if isinstance(config, NoiseConfig):
        return min(k / config.n_items, 1.0)
    chain = make_chain(config, seed)
    return float(chain.stationary @ _top(chain.matrix(), k))


def best_recall_at_1(config: NoiseConfig | MarkovConfig, seed: int = 0) -> float:
    """The expected recall@1 of a model that knows the law."""
    return best_recall(config, 1, seed)


def best_recall_given(
    config: MarkovConfig,
    interactions: Interactions,
    catalogue: Catalogue,
    events: np.ndarray,
    k: int = 1,
    seed: int = 0,
) -> float:
    """As `best_recall`, but for these evaluated events, given what their users did before: less noise by one source."""
    last = catalogue.item_ids[interactions.item[events - 1]] - 1
    return float(_top(make_chain(config, seed).matrix(), k)[last].mean())


def transitions(config: MarkovConfig, catalogue: Catalogue, seed: int = 0) -> np.ndarray:
    """The law in the catalogue's numbers: row and column j are item j + 1, (n_items, n_items).

    Rows sum to less than 1 where items without events are missing. Ranking by a row is the best model.
    """
    ids = catalogue.item_ids[1:] - 1
    return np.asarray(make_chain(config, seed).matrix()[np.ix_(ids, ids)])


def _top(matrix: np.ndarray, k: int) -> np.ndarray:
    """The sum of each row's k greatest probabilities."""
    k = min(k, matrix.shape[1])
    return np.asarray(np.partition(matrix, matrix.shape[1] - k, axis=1)[:, -k:].sum(axis=1))
