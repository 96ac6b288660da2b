"""From counts of ranked candidates and probabilities of actions to metrics; pure numpy."""

from .beyond import coverage, intra_list_diversity, mean_count, novelty, popularity_lift
from .probability import auc, log_loss, normalised_entropy, user_auc
from .ranking import Metric, chance, gains, mean_over_users, parse, user_mean, user_values, values
from .slices import Slice, slice_means

__all__ = [
    "Metric",
    "Slice",
    "auc",
    "chance",
    "coverage",
    "gains",
    "intra_list_diversity",
    "log_loss",
    "mean_count",
    "mean_over_users",
    "normalised_entropy",
    "novelty",
    "parse",
    "popularity_lift",
    "slice_means",
    "user_auc",
    "user_mean",
    "user_values",
    "values",
]
