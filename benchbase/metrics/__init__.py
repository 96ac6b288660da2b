"""From counts of ranked candidates, probabilities of actions and graphs to metrics; pure numpy."""

from .actions import FAMILIES as ACTION_FAMILIES
from .actions import ActionMetric, action_metric, action_values, defined, higher_is_better
from .beyond import Sets, coverage, intra_list_diversity, mean_count, novelty, popularity_lift
from .graph import density, edge_average_precision, edge_precision_recall, skeleton, structural_hamming
from .parity import exposure_gap, exposure_gap_by_chance, threshold_gap
from .probability import auc, log_loss, normalised_entropy, user_auc
from .ranking import Metric, chance, gains, mean_over_users, parse, user_mean, user_values, values
from .slices import Slice, slice_means

__all__ = [
    "ACTION_FAMILIES",
    "ActionMetric",
    "Metric",
    "Sets",
    "Slice",
    "action_metric",
    "action_values",
    "auc",
    "chance",
    "coverage",
    "defined",
    "density",
    "edge_average_precision",
    "edge_precision_recall",
    "exposure_gap",
    "exposure_gap_by_chance",
    "gains",
    "higher_is_better",
    "intra_list_diversity",
    "log_loss",
    "mean_count",
    "mean_over_users",
    "normalised_entropy",
    "novelty",
    "parse",
    "popularity_lift",
    "skeleton",
    "slice_means",
    "structural_hamming",
    "threshold_gap",
    "user_auc",
    "user_mean",
    "user_values",
    "values",
]
