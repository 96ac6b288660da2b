"""Truth: what the best possible model reaches on a generated world, with `filter_seen: none`."""

import numpy as np

from benchbase.data import Catalogue, Interactions, Log
from benchbase.errors import DataError

from .chain import make_chain
from .config import (
    ActionsConfig,
    CausalConfig,
    DomainsConfig,
    DriftConfig,
    ExposureConfig,
    MarkovConfig,
    NoiseConfig,
)
from .drift import make_seasons, season_of
from .exposure import Showing, make_showing
from .graph import Process
from .mixture import make_mixture
from .taste import agreement, make_tastes
from .worlds import START, causal, domains, drift, exposure, markov, noise

ItemWorld = NoiseConfig | MarkovConfig | CausalConfig | DomainsConfig | ExposureConfig | DriftConfig
"""Worlds in which a law chooses the next item."""


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
    config: MarkovConfig | CausalConfig | DomainsConfig | ExposureConfig | DriftConfig,
    interactions: Interactions,
    catalogue: Catalogue,
    events: np.ndarray,
    k: int = 1,
    seed: int = 0,
) -> float:
    """As `best_recall`, but for these evaluated events, given what their users did before: less noise by one source.

    Of the causal world and of those of domains, of exposure and of drift this is all that is known, and of the first
    for its raw scale alone: `DataError` otherwise.
    """
    check_items(config, seed)
    if not isinstance(config, MarkovConfig):
        return float(_top(law_of_next(config, interactions, catalogue, events, seed), k).mean())
    last = catalogue.item_ids[interactions.item[events - 1]] - 1
    return float(_top(make_chain(config, seed).matrix(), k)[last].mean())


def law_of_next(config: CausalConfig | DomainsConfig | ExposureConfig | DriftConfig, interactions: Interactions,
                catalogue: Catalogue, events: np.ndarray, seed: int = 0) -> np.ndarray:
    """The law of each of these events given all before it, and in the world of drift its time, (n, n_items), columns by
    original id.

    Errors: `DataError` for a causal world of another scale than raw, and for one of exposure that keeps what was shown.
    """
    if isinstance(config, ExposureConfig) and config.keep != "liked":
        raise DataError(f"keep {config.keep}: the next item is the one that is shown, whatever was liked. "
                        "Expected liked. Ask for keep: liked.")
    if isinstance(config, CausalConfig) and config.scale != "raw":
        raise DataError(f"scale {config.scale}: the best recall is not known. Expected raw, whose utilities have noise "
                        "of one variance. Ask for scale: raw.")
    if isinstance(config, DriftConfig):
        return _in_season(config, interactions, catalogue, events, seed)
    first = interactions.offsets[np.searchsorted(interactions.offsets, events, side="right") - 1]
    lengths = events - first
    at = first[:, None] + np.arange(lengths.max(initial=0) + isinstance(config, DomainsConfig))
    items = catalogue.item_ids[interactions.item[np.minimum(at, len(interactions.item) - 1)]] - 1
    if isinstance(config, DomainsConfig):
        return make_mixture(config, seed).law(items, lengths)
    if isinstance(config, ExposureConfig):
        stop = interactions.offsets[np.searchsorted(interactions.offsets, events, side="right")]
        return make_showing(config, seed).law(items, lengths, stop - config.random - first)
    return Process(config, seed).law(items, lengths)


def _in_season(config: DriftConfig, interactions: Interactions, catalogue: Catalogue, events: np.ndarray,
               seed: int) -> np.ndarray:
    """The law of each of these events, (n, n_items), each of which has one of its user before it."""
    seasons, last = make_seasons(config, seed), catalogue.item_ids[interactions.item[events - 1]] - 1
    assert interactions.timestamp is not None
    season = season_of(config, interactions.timestamp[events], START)
    law = np.empty((len(events), config.n_items))
    for number in range(config.seasons):
        here = season == number
        law[here] = seasons.matrix(number)[last[here]]
    return law


def check_items(config: ItemWorld, seed: int = 0) -> None:
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


def _logged(config: ItemWorld, seed: int) -> Log:
    if isinstance(config, NoiseConfig):
        return noise(config, seed)
    if isinstance(config, ExposureConfig):
        return exposure(config, seed)
    if isinstance(config, DomainsConfig):
        return domains(config, seed)
    if isinstance(config, DriftConfig):
        return drift(config, seed)
    return markov(config, seed) if isinstance(config, MarkovConfig) else causal(config, seed)


def showing(config: ExposureConfig, catalogue: Catalogue, seed: int = 0) -> Showing:
    """What is shown and liked in the catalogue's numbers: column j is item j + 1; items without events are left out."""
    found, ids = make_showing(config, seed), catalogue.item_ids[1:] - 1
    return Showing(found.propensity[ids], found.liking[:, ids], found.kind[ids])


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


def best_probabilities(
    config: ActionsConfig, interactions: Interactions, catalogue: Catalogue, events: np.ndarray,
    window: int | None = None, seed: int = 0,
) -> np.ndarray:
    """What the best model says of these events' actions, (n, 2) in the order of the world's, given what their users did
    before; no more of it than a window of so many events holds, the event itself among them.
    """
    tastes = make_tastes(config, seed)
    item = catalogue.item_ids[interactions.item] - 1
    kind = tastes.kind[item]
    like = interactions.actions[:, interactions.action_names.index("like")] > 0
    seen = np.concatenate([[0], np.cumsum(np.where(like == (kind == 0), 1, -1))])
    first = interactions.offsets[np.searchsorted(interactions.offsets, events, side="right") - 1]
    if window is not None:
        first = np.maximum(first, events - (window - 1))
    as_first = agreement(config, seen[events] - seen[first])
    return np.stack([np.where(kind[events] == 0, as_first, 1 - as_first), tastes.rate[item[events]]], axis=1)


def best_ne_of_like(config: ActionsConfig, earlier: int) -> float:
    """The expected normalised entropy of `like` for the best model that has seen so many earlier events.

    Whatever is liked or not, half of all events are of the kind their user likes: the base rate is one half.
    """
    law = np.ones(1)  # of how many earlier events a user of the first group acts on as that group does
    for _ in range(earlier):
        law = np.convolve(law, [1 - config.keen, config.keen])
    law = (law + law[::-1]) / 2
    p = agreement(config, 2 * np.arange(earlier + 1) - earlier)
    return float(law @ _entropy(p) / np.log(2))


def best_ne_of_share(config: ActionsConfig, seed: int = 0) -> float:
    """The expected normalised entropy of `share` for a model that knows every item's rate; items occur uniformly."""
    rate = make_tastes(config, seed).rate
    return float(_entropy(rate).mean() / _entropy(rate.mean()))


def _entropy(p: np.ndarray) -> np.ndarray:
    return np.asarray(-(p * np.log(p) + (1 - p) * np.log(1 - p)))
