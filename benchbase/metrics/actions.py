"""Metrics of the action task as means over users, so that they can be paired and resampled as those of rankings are.

None but the area within users is a mean over users of its own. Each is written as one: a user's value is the metric
plus what their rows move it by, to first order, times the number of users. The mean is then the metric itself, and the
spread over users is that of the metric over users drawn anew, whoever has many rows.

Source: Särndal, Swensson and Wretman 1992, section 5.5 (Taylor linearisation of ratios); DeLong et al. 1988 and
Obuchowski 1997 (areas under the curve, also of clustered rows).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError, nearest
from .probability import base_rate_loss, losses, midranks, read_rows, user_auc
from .ranking import Floats, Ints


@dataclass(frozen=True)
class ActionMetric:
    """A metric of one action, `ne.like`, or, without one, its mean over all that it is defined for."""

    family: str
    action: str | None = None

    def __str__(self) -> str:
        return self.family if self.action is None else f"{self.family}.{self.action}"


def action_metric(name: str) -> ActionMetric | None:
    """Read a name such as `ne` or `auc.like`; None for one that is no metric of actions."""
    family, dot, action = name.partition(".")
    if family not in FAMILIES or (dot and not action):
        return None
    return ActionMetric(family, action or None)


def higher_is_better(name: str) -> bool:
    """Whether more of a metric, of either task, is better."""
    metric = action_metric(name)
    return metric is None or metric.family not in LOWER


def defined(metric: ActionMetric, user: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> list[str]:
    """The actions that the metric can be told of, whatever was predicted: both labels occur, for `user_auc` in one
    user. labels (rows, actions). Errors: `BenchbaseError` for an action that is not among the names.
    """
    table = np.asarray(labels, dtype=bool)
    found = []
    for name in names if metric.action is None else [metric.action]:
        if name not in names:
            raise BenchbaseError(f"metrics: {metric} is of no action that is predicted. "
                                 f"{nearest(metric.action or '', names, 'Actions')}")
        label = table[:, names.index(name)]
        owners, index = np.unique(np.asarray(user), return_inverse=True)
        if metric.family != "user_auc":
            index = np.zeros(len(label), np.int64)
        positive, rows = np.bincount(index[label], minlength=len(owners)), np.bincount(index, minlength=len(owners))
        if ((positive > 0) & (positive < rows)).any():
            found.append(name)
    return found


def action_values(metric: ActionMetric, user: ArrayLike, labels: ArrayLike, probabilities: ArrayLike,
                  names: Sequence[str]) -> tuple[Ints, Floats]:
    """The users, ascending, and a value for each whose mean is the metric.

    user (rows,); labels and probabilities (rows, actions), columns in the order of `names`. All values are nan where no
    action has both labels. Errors: `BenchbaseError` as in the measures of one action.
    """
    table, predicted = np.asarray(labels), np.asarray(probabilities)
    told = defined(metric, user, table, names)
    users = np.unique(np.asarray(user)).astype(np.int64)
    if not told:
        return users, np.full(len(users), np.nan)
    made = [_user_values(metric.family, user, table[:, place], predicted[:, place])
            for place in (names.index(name) for name in told)]
    return users, np.mean(made, axis=0)


def _user_values(family: str, user: ArrayLike, label: ArrayLike, probability: ArrayLike) -> Floats:
    """A value (users,) for each user, ascending, whose mean is the metric of one action."""
    happened, p = read_rows(family, label, probability)
    users, index = np.unique(np.asarray(user), return_inverse=True)
    if family == "user_auc":
        known, areas = user_auc(user, happened, p)
        value = np.full(len(users), areas.mean())
        value[np.searchsorted(users, known)] += (areas - areas.mean()) * (len(users) / len(known))
        return value
    metric, moves = FAMILIES[family](happened, p)  # type: ignore[misc]
    return np.asarray(metric + len(users) * np.bincount(index, moves, len(users)))


def _log_loss(happened: NDArray[np.bool_], p: Floats) -> tuple[float, Floats]:
    each = losses(happened, p)
    return float(each.mean()), (each - each.mean()) / len(each)


def _normalised_entropy(happened: NDArray[np.bool_], p: Floats) -> tuple[float, Floats]:
    """The quotient of the log loss and the base rate's, both of which a user's rows move."""
    each, rate, base = losses(happened, p), happened.mean(), base_rate_loss(happened)
    metric = each.mean() / base
    slope = np.log1p(-rate) - np.log(rate)  # of the entropy, in the base rate
    moved = (each - each.mean()) - metric * slope * (happened - rate)
    return float(metric), moved / (base * len(each))


def _auc(happened: NDArray[np.bool_], p: Floats) -> tuple[float, Floats]:
    """The area and each row's placement among the rows of the other label, less the mean of its own."""
    everyone = np.zeros(len(p), np.int64)
    rank = _ranks(everyone, p)
    below = np.empty(len(p))
    for kind in (True, False):
        own = happened == kind
        below[own] = (rank[own] - _ranks(everyone[own], p[own])) / np.count_nonzero(~own)
    share = np.where(happened, below, 1 - below)
    metric = share[happened].mean()
    return float(metric), (share - metric) / np.where(happened, happened.sum(), (~happened).sum())


def _ranks(owner: Ints, p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    rank = np.empty(len(p))
    rank[order] = midranks(owner, p[order])
    return rank


Moves = Callable[[NDArray[np.bool_], Floats], tuple[float, Floats]]

FAMILIES: Mapping[str, Moves | None] = {
    "ne": _normalised_entropy, "log_loss": _log_loss, "auc": _auc, "user_auc": None,
}
"""Each with the metric of one action and what each row moves it by; the area within users is a mean over users."""

LOWER = frozenset({"ne", "log_loss"})
"""Families of which less is better."""
