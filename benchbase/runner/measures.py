"""From the counts of a record to metrics, the one way for those who write records and those who read them."""

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from .. import metrics
from ..metrics import action_metric, parse

TRUTH = "truth."
"""Before the names of figures that the truth behind a data set gave."""

LISTS = "lists."
"""Before the names of figures of what the lists hold, whatever the targets."""

GROUPS = "groups."
"""Before the names of figures that compare groups of users."""

EXPLANATIONS = "explanations."
"""Before the names of figures of what explainers said, each under the explainer's name."""

STREAM = "stream."
"""Before the names of figures of a stream: what is retained before and after it, its first period and its last."""


def user_values(events: Mapping[str, NDArray[Any]], metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The users (n,), ascending, and each one's mean of a ranking metric over their events."""
    return metrics.user_values(parse(metric), *_columns(events))


def _columns(events: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(events[name] for name in ("user", "above", "tied", "candidates"))


def largest_cutoff(names: Iterable[str]) -> int:
    """The longest list that the metrics look at; 0 without ranking metrics."""
    return max((parse(name).cutoff for name in names if action_metric(name) is None), default=0)
