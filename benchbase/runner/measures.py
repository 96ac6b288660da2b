"""From the counts of a record to metrics, the one way for those who write records and those who read them."""

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from ..config import ACTION_METRICS
from ..metrics import parse, user_mean, values


def user_values(events: Mapping[str, NDArray[Any]], metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The users (n,), ascending, and each one's mean of a ranking metric over their events."""
    each = values(parse(metric), events["above"], events["tied"], events["candidates"])
    return user_mean(events["user"], each)


def means(events: Mapping[str, NDArray[Any]], metrics: Iterable[str], prefix: str = "") -> dict[str, float]:
    """Every ranking metric: the mean over users, nan where there are none."""
    ranking = [name for name in metrics if name not in ACTION_METRICS]
    if not len(events["user"]):
        return {prefix + name: float("nan") for name in ranking}
    return {prefix + name: float(user_values(events, name)[1].mean()) for name in ranking}


def largest_cutoff(metrics: Iterable[str]) -> int:
    """The longest list that the metrics look at; 0 without ranking metrics."""
    return max((parse(name).cutoff for name in metrics if name not in ACTION_METRICS), default=0)
