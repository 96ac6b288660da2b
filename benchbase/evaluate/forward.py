"""What every evaluation shares: how many rows go through the model at a time, and in which number format."""

import torch

from ..assemble import Experiment

ROWS = 256
"""Rows encoded and scored at a time, at most: more do not stay in cache."""


def autocast(experiment: Experiment) -> torch.autocast:
    """The number format of the forward pass, as `train.precision` says."""
    low = experiment.suite.train.precision == "bfloat16"
    return torch.autocast(experiment.device.type, dtype=torch.bfloat16, enabled=low)
