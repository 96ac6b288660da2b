"""Evaluate: what a trained model is asked under the protocol, and what its answers are worth; no plugin has a say."""

from .across import attention_across
from .assess import Assessment, assess, check_askable, metric_values, per_action
from .explain import Explanations, explain
from .flops import flops_per_sequence
from .forward import autocast, when
from .groups import GroupFigures, Watch, group_figures, watching
from .joined import join
from .lists import list_figures
from .predictions import Asked, Predictions, ask, predict
from .ranking import Ranking, Seen, count, rank, ranked_events
from .truth import against_truth

__all__ = [
    "Asked",
    "Assessment",
    "Explanations",
    "GroupFigures",
    "Predictions",
    "Ranking",
    "Seen",
    "Watch",
    "against_truth",
    "ask",
    "assess",
    "attention_across",
    "autocast",
    "check_askable",
    "count",
    "explain",
    "flops_per_sequence",
    "group_figures",
    "join",
    "list_figures",
    "metric_values",
    "per_action",
    "predict",
    "rank",
    "ranked_events",
    "watching",
    "when",
]
