"""Truth: what the best possible model reaches on a generated world, with `filter_seen: none`."""

import numpy as np

from benchbase.data import Catalogue, Interactions, Log
from benchbase.errors import DataError

from .chain import make_chain
from .config import CausalConfig, MarkovConfig, NoiseConfig
from .graph import Process
from .worlds import causal, markov, noise


def best_recall(config: NoiseConfig | MarkovConfig, k: int = 1, seed: int = 0) -> float:
    """The expected recall@k of a model that knows the law: no model can expect more. Exact, at any position.

    Errors: `DataError` for a world too small for its items, where it would be no bound: see `check_items`.
    """
    check_items(config, seed)
    if isinstance(config, NoiseConfig):
        return min(k / config.n_items, 1.0)
    chain = make_chain(config, seed)
    return float(chain.stationary @ _top(chain.matrix(), k))


def best_recall_at_1(config: NoiseConfig | MarkovConfig, seed: int = 0) -> float:
    """The expected recall@1 of a model that knows the law."""
    return best_recall(config, 1, seed)


def best_recall_given(
    config: MarkovConfig | CausalConfig,
    interactions: Interactions,
    catalogue: Catalogue,
    events: np.ndarray,
    k: int = 1,
    seed: int = 0,
) -> float:
    """As `best_recall`, but for these evaluated events, given what their users did before: less noise by one source.

    Of the causal world this is all that is known, and of its raw scale alone: `DataError` otherwise.
    """
    check_items(config, seed)
    if isinstance(config, CausalConfig):
        return float(_top(_law_of_next(config, interactions, catalogue, events, seed), k).mean())
    last = catalogue.item_ids[interactions.item[events - 1]] - 1
    return float(_top(make_chain(config, seed).matrix(), k)[last].mean())


def _law_of_next(config: CausalConfig, interactions: Interactions, catalogue: Catalogue, events: np.ndarray,
                 seed: int) -> np.ndarray:
    """The law of each of these events given all before it, (n, n_items)."""
    if config.scale != "raw":
        raise DataError(f"scale {config.scale}: the best recall is not known. Expected raw, whose utilities have noise "
                        "of one variance. Ask for scale: raw.")
    first = interactions.offsets[np.searchsorted(interactions.offsets, events, side="right") - 1]
    lengths = events - first
    at = first[:, None] + np.arange(lengths.max(initial=0))
    items = catalogue.item_ids[interactions.item[np.minimum(at, len(interactions.item) - 1)]] - 1
    return Process(config, seed).law(items, lengths)


def check_items(config: NoiseConfig | MarkovConfig | CausalConfig, seed: int = 0) -> None:
    """Refuse a world some of whose items have no event before the last two of every user, which a split may hold out.

    A model ranks the items that have events: fewer than the law chooses from, if some have none; and an item that the
    catalogue lists and no training event holds must be among those held out. Either lets a model beat the law.
    Errors: `DataError`.
    """
    log = _logged(config, seed)
    user = np.concatenate((log.user, [0, 0]))
    early = log.item[user[2:] == user[:-2]]
    if missing := config.n_items - len(np.unique(early)):
        raise DataError(
            f"data seed {seed}: {missing} of {config.n_items} items have no event before the last two of a user. "
            "Expected one of each: a model could beat the law. Ask for more users or events, or fewer items."
        )


def _logged(config: NoiseConfig | MarkovConfig | CausalConfig, seed: int) -> Log:
    if isinstance(config, NoiseConfig):
        return noise(config, seed)
    return markov(config, seed) if isinstance(config, MarkovConfig) else causal(config, seed)


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
