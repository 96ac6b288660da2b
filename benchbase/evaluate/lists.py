"""What the lists hold, whatever the targets: how much of the catalogue, how new, how varied and how popular."""

import math

import numpy as np

from .. import metrics
from ..assemble import Experiment
from ..data import Categories
from ..data.sequences import item_counts
from .ranking import Ranking


def list_figures(experiment: Experiment, ranking: Ranking, k: int) -> dict[str, float]:
    """Coverage, novelty and popularity lift of the lists' first k items, and their diversity by each column of
    categories; means over users of the means over their events, coverage of all lists together. Nothing without lists.
    """
    if not len(ranking) or ranking.top_items.shape[1] < k:
        return {}
    interactions, catalogue = experiment.data.prepared.interactions, experiment.data.prepared.catalogue
    lists = ranking.top_items
    counts = item_counts(interactions, experiment.data.split, catalogue.n_items)
    found = {f"coverage@{k}": metrics.coverage(lists, catalogue.n_items, k),
             f"novelty@{k}": _mean(ranking.user, metrics.novelty(lists, counts[1:], k)),
             f"lift@{k}": _lift(experiment, ranking, counts, k)}
    for name, categories in catalogue.categories.items():
        diversity = metrics.intra_list_diversity(lists, _sets(categories), k)
        found[f"diversity.{name}@{k}"] = _mean(ranking.user, diversity)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _lift(experiment: Experiment, ranking: Ranking, counts: np.ndarray, k: int) -> float:
    """Of the events that have others before them."""
    interactions = experiment.data.prepared.interactions
    total = np.concatenate([[0], np.cumsum(counts[interactions.item])])
    first = interactions.offsets[ranking.user]
    some = ranking.event > 0
    before = ((total[first + ranking.event] - total[first]) / np.maximum(ranking.event, 1))[some]
    if not some.any() or not before.any():
        return math.nan
    return metrics.popularity_lift(ranking.top_items[some], counts[1:], before, k, ranking.user[some])


def _sets(categories: Categories) -> metrics.Sets:
    return metrics.Sets(categories.offsets[1:] - categories.offsets[1], categories.values)


def _mean(user: np.ndarray, values: np.ndarray) -> float:
    """Over users, without the lists of which a figure tells nothing."""
    known = ~np.isnan(values)
    return float(metrics.user_mean(user[known], values[known])[1].mean()) if known.any() else math.nan
