"""Predictions: a probability of every predicted action for every evaluated event, and what they are worth."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .. import metrics
from ..assemble import Experiment, settled
from ..data import TRAIN
from ..errors import RunError
from .forward import ROWS, autocast, read_whole


@dataclass(frozen=True)
class Asked:
    """The evaluated events of a part and what came of them, before anything is predicted.

    `events` (n,) int64: positions in the interactions; `user`, `event` (n,) int32: the row of the prepared data and the
    index in the user's own sequence; `labels` (n, K) bool, columns by `names`.
    """

    events: np.ndarray
    user: np.ndarray
    event: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.user)

    def told(self, metric: str) -> list[str]:
        """The actions that a metric can be told of: both labels occur."""
        known = metrics.action_metric(metric)
        assert known is not None, "the protocol holds metrics of its task alone"
        return metrics.defined(known, self.user, self.labels, self.names)


@dataclass(frozen=True)
class Predictions:
    """What was asked, and the probabilities (n, K) float32; `facts`: events evaluated, base rates, cold share."""

    asked: Asked
    probabilities: np.ndarray
    facts: dict[str, Any]
    seconds: float

    def __len__(self) -> int:
        return len(self.asked)

    def user_values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """The users, ascending, and a value for each, whose mean is the metric; nan where it is not defined."""
        known = metrics.action_metric(metric)
        assert known is not None, "the protocol holds metrics of its task alone"
        asked = self.asked
        return metrics.action_values(known, asked.user, asked.labels, self.probabilities, asked.names)


def ask(experiment: Experiment, part: str) -> Asked:
    """The events of a part, `valid`, `test` or `retained`, whose actions are to be predicted."""
    data = experiment.data
    interactions = data.prepared.interactions
    events = data.split.events(part)
    user = np.searchsorted(interactions.offsets, events, side="right") - 1
    labels = np.asarray(interactions.actions[events])[:, interactions.labels] > 0
    return Asked(events, user.astype(np.int32), (events - interactions.offsets[user]).astype(np.int32), labels,
                 interactions.label_names)


def predict(experiment: Experiment, part: str) -> Predictions:
    """The probability of every predicted action for each evaluated event of a part.

    Errors: `RunError` where one is not finite.
    """
    start = time.perf_counter()
    model, feed = experiment.model, experiment.feed
    assert model is not None and feed is not None, "check refuses recommenders in the action task"
    asked = ask(experiment, part)
    probabilities = np.zeros(asked.labels.shape, np.float32)
    model.eval()
    with settled(experiment.suite.train.threads), torch.inference_mode():
        items = model.items("score")
        for chunk in feed.score_batches(asked.events, ROWS):
            batch, targets = chunk.batch.to(experiment.device), chunk.targets.to(experiment.device)
            with autocast(experiment):
                encoded = model.encode(batch, "score", items=items)
            logits = model.output(encoded, batch, targets, "score").logits
            assert logits is not None, "every model of the action task has a head"
            probabilities[chunk.index] = torch.sigmoid(logits.double()).float().cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise RunError("prediction: a probability is not finite. Expected finite ones for every event.")
    facts = _facts(experiment, asked) | read_whole(experiment, asked.events)
    return Predictions(asked, probabilities, facts, time.perf_counter() - start)


def _facts(experiment: Experiment, asked: Asked) -> dict[str, Any]:
    data = experiment.data
    item = data.prepared.interactions.item
    known = np.zeros(data.prepared.catalogue.n_items + 1, bool)
    known[item[data.split.part == TRAIN]] = True
    n = len(asked)
    return {
        "evaluated": n,
        "cold_share": float((~known[item[asked.events]]).mean()) if n else None,
        "base_rates": dict(zip(asked.names, asked.labels.mean(axis=0).tolist(), strict=True)) if n else {},
    }
