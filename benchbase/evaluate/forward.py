"""What every evaluation shares: how many rows go through the model at a time, its number format, what it reads, when it
is.
"""

from dataclasses import replace

import numpy as np
import torch

from ..assemble import Experiment
from ..data.batches import OwnDomainFeed

ROWS = 256
"""Rows encoded and scored at a time, at most: more do not stay in cache."""


def autocast(experiment: Experiment) -> torch.autocast:
    """The number format of the forward pass, as `train.precision` says."""
    low = experiment.suite.train.precision == "bfloat16"
    return torch.autocast(experiment.device.type, dtype=torch.bfloat16, enabled=low)


def read_whole(experiment: Experiment, events: np.ndarray) -> dict[str, int]:
    """How many of these events (n,) are asked for after all earlier ones although the model reads one domain alone,
    as a fact; nothing of other configurations.
    """
    feed = experiment.feed
    return {"read_whole": int(feed.read_whole(events).sum())} if isinstance(feed, OwnDomainFeed) else {}


def when(experiment: Experiment, period: int) -> Experiment:
    """The experiment, with the same model, when a period of its stream begins; after the last one nothing is tested."""
    return replace(experiment, data=replace(experiment.data, split=experiment.data.split.at(period)))
