"""Who attends to whom among the events of a sequence, whatever the layout makes of them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..assemble import Experiment
from ..nn import Encoded, SequenceModel, Tokens
from .forward import ROWS

WEIGHTS = 2**25
"""Weights of attention held at a time, at most, in each layer and head."""


def attending_rows(experiment: Experiment) -> int:
    """Rows that may be encoded at a time where attention is looked at."""
    return max(1, min(ROWS, WEIGHTS // experiment.context.max_tokens**2))


def has_shares(model: SequenceModel) -> bool:
    """Whether the weights of a model's attention are shares, so that `attention` tells of them."""
    return model.traits.normaliser is None


def each_event(tokens: Tokens) -> Tensor:
    """Every event a group of its own, (B, S, T): the mass on groups is then the whole of attention."""
    return F.one_hot(tokens.event + 1, int(tokens.event.max()) + 2)[..., 1:]


def attention(encoded: Encoded, knowing: bool = False) -> np.ndarray | None:
    """Who attends to whom among events, (layers, B, T, T), the mean over heads; None where it was not asked for, or
    there is none.

    Of an event that is several tokens the first one attends; `knowing` the action: the last, whose state asks for what
    comes next.
    """
    if not encoded.masses:
        return None
    tokens = encoded.tokens
    mass = torch.stack(list(encoded.masses)).float().mean(dim=2)
    return mass[:, :, tokens.n_prefix + (tokens.per_event - 1) * knowing :: tokens.per_event].cpu().numpy()
