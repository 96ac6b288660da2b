"""What a model is for groups of users: metrics within each, what each is shown, and whether states tell them apart."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from .. import metrics
from ..assemble import Experiment
from ..data import Groups
from .assess import Assessment
from .predictions import Asked, Predictions
from .probe import probe_auc
from .ranking import Ranking, ranked_events

MOST_USERS = 20_000
"""Users whose states and scores are compared, at most; of more so many are drawn."""

MOST_BYTES = 256 * 2**20
"""Memory for their scores: of large catalogues some items are drawn."""


class Watch:
    """Notes states and scores of the users who are compared, each at their first ranked event, as they are ranked."""

    def __init__(self, experiment: Experiment, users: np.ndarray):
        """users (n,): those of the ranked events, in their order."""
        who, first = np.unique(users, return_index=True)
        random = np.random.default_rng(0)
        if len(who) > MOST_USERS:
            first = np.sort(random.choice(first, MOST_USERS, replace=False))
        self.user = users[first]
        self.row = np.full(len(users), -1)
        self.row[first] = np.arange(len(first))
        n_items = experiment.data.prepared.catalogue.n_items
        room = max(1, MOST_BYTES // (4 * max(1, len(first))))
        self.items = np.arange(n_items) if room >= n_items else np.sort(random.choice(n_items, room, replace=False))
        self.scores = np.zeros((len(first), len(self.items)), np.float32)
        self.states: np.ndarray | None = None

    def __call__(self, index: np.ndarray, scores: Tensor, states: Tensor | None) -> None:
        """Take in a chunk: scores (b, n_items) and states (b, D) of the ranked events at `index`."""
        some = self.row[index] >= 0
        at = self.row[index[some]]
        self.scores[at] = scores.cpu().numpy()[some][:, self.items]
        if states is None:
            return
        if self.states is None:
            self.states = np.zeros((len(self.user), states.shape[1]), np.float32)
        self.states[at] = states.float().cpu().numpy()[some]


def watching(experiment: Experiment) -> Watch | None:
    """A watch of the test part's ranking, where there are groups to compare and events to rank."""
    if experiment.suite.protocol.tasks == ("action",) or not experiment.data.prepared.groups:
        return None
    events = ranked_events(experiment, "test")
    users = np.searchsorted(experiment.data.prepared.interactions.offsets, events, side="right") - 1
    return Watch(experiment, users) if len(events) else None


@dataclass(frozen=True)
class GroupFigures:
    """Figures by name, and what some of them would be by chance."""

    values: dict[str, float]
    chance: dict[str, float]


def group_figures(experiment: Experiment, found: Assessment, metric: str, watch: Watch | None = None) -> GroupFigures:
    """By each of the data set's groups: `metric` within each; of rankings the exposure gap of lists as long as its
    cutoff, and where it was watched the threshold gap of scores and the probe of states; of predictions the threshold
    gap of each action's probabilities.
    """
    values: dict[str, float] = {}
    chance: dict[str, float] = {}
    for name, groups in experiment.data.prepared.groups.items():
        within = _rankings(found, groups, metric) if isinstance(found, Ranking) else _predictions(found, groups, metric)
        told = dict(within)
        if isinstance(found, Ranking):
            k, n_items = metrics.parse(metric).cutoff, experiment.data.prepared.catalogue.n_items
            if found.top_items.shape[1] >= k:
                code = groups.code[found.user]
                told[f"exposure_gap@{k}"] = metrics.exposure_gap(found.top_items, code, n_items, k)
                by_chance = metrics.exposure_gap_by_chance(found.top_items, code, n_items, k)
                chance[f"{name}.exposure_gap@{k}"] = by_chance
            if watch is not None:
                told |= _watched(watch, groups)
        values |= {f"{name}.{what}": value for what, value in told.items() if math.isfinite(value)}
    chance |= {name: 0.5 for name in values if name.endswith(".probe_auc")}
    return GroupFigures(values, {name: value for name, value in chance.items() if name in values})


def _watched(watch: Watch, groups: Groups) -> dict[str, float]:
    code = groups.code[watch.user]
    found = {"threshold_gap": metrics.threshold_gap(watch.scores, code)}
    if watch.states is not None:
        found["probe_auc"] = probe_auc(watch.states[code >= 0], code[code >= 0])
    return found


def _rankings(found: Ranking, groups: Groups, metric: str) -> Iterator[tuple[str, float]]:
    users, values = found.user_values(metric)
    for place, label in enumerate(groups.labels):
        some = groups.code[users] == place
        if some.any():
            yield f"{label}.{metric}", float(values[some].mean())


def _predictions(found: Predictions, groups: Groups, metric: str) -> Iterator[tuple[str, float]]:
    code = groups.code[found.asked.user]
    for place, label in enumerate(groups.labels):
        some = _only(found, code == place)
        if len(some) and some.asked.told(metric):
            yield f"{label}.{metric}", float(some.user_values(metric)[1].mean())
    for place, action in enumerate(found.asked.names):
        yield f"threshold_gap.{action}", metrics.threshold_gap(found.probabilities[:, place, None], code)


def _only(found: Predictions, rows: np.ndarray) -> Predictions:
    asked, columns = found.asked, ("events", "user", "event", "labels")
    some: dict[str, Any] = {name: getattr(asked, name)[rows] for name in columns}
    return replace(found, asked=Asked(**some, names=asked.names), probabilities=found.probabilities[rows])
