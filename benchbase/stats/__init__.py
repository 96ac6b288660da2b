"""Which differences are real: paired tests over users, corrections, intervals, ranks, chance, attribution.

Users are paired; seeds are averaged within them, or taken as a sample too (`crossed_test`). scipy is imported where a
function needs it.
"""

from .agreement import rank_correlation
from .attribution import Effect, Interaction, interactions, main_effects
from .chance import ChanceInterval, exact_interval
from .correction import holm
from .crossed import Crossed, contrast_test, crossed_test, seed_differences
from .decomposition import Source, Spread, spread
from .intervals import Interval, mean_interval, rank_intervals
from .many import Friedman, critical_difference, friedman, nemenyi
from .nested import stack, user_differences
from .paired import (
    Comparison,
    bootstrap_interval,
    compare,
    effect_size,
    minimal_detectable_difference,
    paired_t,
    sign_flip,
    t_interval,
    wins_ties_losses,
)

__all__ = [
    "ChanceInterval",
    "Comparison",
    "Crossed",
    "Effect",
    "Friedman",
    "Interaction",
    "Interval",
    "Source",
    "Spread",
    "bootstrap_interval",
    "compare",
    "contrast_test",
    "critical_difference",
    "crossed_test",
    "effect_size",
    "exact_interval",
    "friedman",
    "holm",
    "interactions",
    "main_effects",
    "mean_interval",
    "minimal_detectable_difference",
    "nemenyi",
    "paired_t",
    "rank_correlation",
    "rank_intervals",
    "seed_differences",
    "sign_flip",
    "spread",
    "stack",
    "t_interval",
    "user_differences",
    "wins_ties_losses",
]
