"""Evaluate: what a trained model is asked under the protocol, and what its answers are worth; no plugin has a say."""

from .forward import autocast
from .ranking import Ranking, Seen, count, metric_values, rank, ranked_events
from .truth import against_truth

__all__ = ["Ranking", "Seen", "against_truth", "autocast", "count", "metric_values", "rank", "ranked_events"]
