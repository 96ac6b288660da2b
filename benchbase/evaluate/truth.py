"""What the truth behind a generated data set says of a trained model."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..assemble import Experiment, settled
from ..data import Truth
from ..nn import Encoded, Tokens
from .forward import ROWS, autocast
from .ranking import ranked_events

WEIGHTS = 2**25
"""Weights of attention held at a time, at most, in each layer and head, while a truth judges."""


def against_truth(experiment: Experiment, truth: Truth) -> dict[str, float]:
    """What the truth behind a data set says of the model on the test part; nothing of a recommender, which has none."""
    model, feed = experiment.model, experiment.feed
    if model is None or feed is None:
        return {}
    model.eval()
    each_event = _each_event if model.traits.normaliser is None else None
    rows = max(1, min(ROWS, WEIGHTS // experiment.context.max_tokens**2))
    with settled(experiment.suite.train.threads), torch.inference_mode():
        known = model.items("score")
        for chunk in feed.score_batches(ranked_events(experiment, "test"), rows):
            batch = chunk.batch.to(experiment.device)
            with autocast(experiment):
                encoded = model.encode(batch, "score", each_event, known)
            items = batch.items.masked_fill(batch.hide_item | ~batch.valid, 0)
            traces = {name: encoded.traces[name].float().cpu().numpy() for name in truth.traces & set(encoded.traces)}
            truth.observe(items.cpu().numpy(), traces, _attention(encoded))
    return truth.metrics()


def _each_event(tokens: Tokens) -> Tensor:
    """Every event a group of its own, (B, S, T): the mass on groups is then the whole of attention."""
    return F.one_hot(tokens.event + 1, int(tokens.event.max()) + 2)[..., 1:]


def _attention(encoded: Encoded) -> np.ndarray | None:
    """Who attends to whom among events, (layers, B, T, T), the mean over heads; None where it was not asked for."""
    if not encoded.masses:
        return None
    tokens = encoded.tokens
    mass = torch.stack(list(encoded.masses)).float().mean(dim=2)
    return mass[:, :, tokens.n_prefix :: tokens.per_event].cpu().numpy()
