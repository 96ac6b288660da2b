"""What a model is for groups of users: metrics within each, what each is shown, and whether states tell them apart."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..assemble import Experiment, settled
from ..data import Groups
from ..data.groups import FEWEST
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
        at = self.row[index]
        some = np.flatnonzero(at >= 0)
        if not len(some):
            return
        rows = torch.from_numpy(some).to(scores.device)
        kept = scores[rows]
        if len(self.items) < scores.shape[1]:
            kept = kept[:, torch.from_numpy(self.items).to(scores.device)]
        self.scores[at[some]] = kept.float().cpu().numpy()
        if states is None:
            return
        if self.states is None:
            self.states = np.zeros((len(self.user), states.shape[1]), np.float32)
        self.states[at[some]] = states[rows].float().cpu().numpy()


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


def group_figures(experiment: Experiment, found: Assessment, metric: str, k: int = 0, watch: Watch | None = None
                  ) -> GroupFigures:
    """By each of the data set's groups: `metric` within each; of rankings the exposure gap of the lists' first `k`, and
    where it was watched the threshold gap of scores and the probe of states; of predictions the threshold gap of each
    action's probabilities. Groups of fewer than `FEWEST` evaluated users have no part in any.
    """
    values: dict[str, float] = {}
    chance: dict[str, float] = {}
    with settled(experiment.suite.train.threads):
        for name, groups in experiment.data.prepared.groups.items():
            code = _large(groups, found)
            told, by_chance = (_of_ranking(experiment, found, groups, code, metric, k, watch)
                               if isinstance(found, Ranking) else (_of_predictions(found, groups, code, metric), {}))
            values |= {f"{name}.{what}": value for what, value in told.items() if math.isfinite(value)}
            chance |= {f"{name}.{what}": value for what, value in by_chance.items()}
    return GroupFigures(values, {name: value for name, value in chance.items() if name in values})


def _large(groups: Groups, found: Assessment) -> np.ndarray:
    """The group of every user (n_users,), -1 too for those of groups of whom few are evaluated."""
    user = found.user if isinstance(found, Ranking) else found.asked.user
    code = groups.code[np.unique(user)]
    sizes = np.bincount(code[code >= 0], minlength=len(groups.labels))
    small = np.append(sizes < FEWEST, True)  # the last is that of -1
    return np.where(small[groups.code], -1, groups.code)


def _of_ranking(experiment: Experiment, found: Ranking, groups: Groups, code: np.ndarray, metric: str, k: int,
                watch: Watch | None) -> tuple[dict[str, float], dict[str, float]]:
    """The figures of one column of groups, and what the gap of exposure and the probe would be by chance."""
    users, values = found.user_values(metric)
    told = {f"{label}.{metric}": float(values[code[users] == place].mean())
            for place, label in enumerate(groups.labels) if (code[users] == place).any()}
    n_items = experiment.data.prepared.catalogue.n_items
    chance: dict[str, float] = {}
    if 1 <= k <= found.top_items.shape[1] and len(found):
        given = found.top_items, code[found.user], n_items, k, found.user
        told[f"exposure_gap@{k}"] = metrics.exposure_gap(*given)
        chance[f"exposure_gap@{k}"] = metrics.exposure_gap_by_chance(*given)
    if watch is not None:
        mine = code[watch.user]
        told["threshold_gap"] = metrics.threshold_gap(watch.scores, mine)
        if watch.states is not None:
            told["probe_auc"], chance["probe_auc"] = probe_auc(watch.states[mine >= 0], mine[mine >= 0]), 0.5
    return told, chance


def _of_predictions(found: Predictions, groups: Groups, code: np.ndarray, metric: str) -> dict[str, float]:
    """A metric that names no action is the mean over those that it can be told of in every group."""
    mine = code[found.asked.user]
    within = {label: _only(found, mine == place) for place, label in enumerate(groups.labels) if (mine == place).any()}
    alike = [action for action in found.asked.names
             if all(action in some.asked.told(metric) for some in within.values())]
    known = metrics.action_metric(metric)
    names = [metric] if known is None or known.action is not None else [f"{metric}.{action}" for action in alike]
    told = {}
    if alike:
        for label, some in within.items():
            told[f"{label}.{metric}"] = float(np.mean([some.user_values(name)[1].mean() for name in names]))
    for place, action in enumerate(found.asked.names):
        told[f"threshold_gap.{action}"] = metrics.threshold_gap(found.probabilities[:, place, None], mine)
    return told


def _only(found: Predictions, rows: np.ndarray) -> Predictions:
    asked, columns = found.asked, ("events", "user", "event", "labels")
    some: dict[str, Any] = {name: getattr(asked, name)[rows] for name in columns}
    return replace(found, asked=Asked(**some, names=asked.names), probabilities=found.probabilities[rows])
