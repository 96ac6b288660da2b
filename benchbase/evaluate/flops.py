"""What reading a sequence costs in floating-point operations: a figure that no machine and no other load moves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ..assemble import Experiment, settled
from .forward import autocast

SAMPLE = 256
"""Evaluated events that are read, spread over all of them."""
ROWS = 64


def flops_per_sequence(experiment: Experiment) -> float | None:
    """Floating-point operations of the products of one forward pass, the mean over evaluated events; None where there
    is no model or nothing to read.

    What reads a sequence is counted, padding of its batch included, not the vectors of items, which are made once for
    all sequences, nor the scores of the catalogue; a triangle of attention counts as a square.
    """
    model, feed = experiment.model, experiment.feed
    split = experiment.data.split
    events = split.test_events if len(split.test_events) else split.valid_events
    if model is None or feed is None or not len(events):
        return None
    events = events[np.linspace(0, len(events) - 1, min(SAMPLE, len(events))).astype(np.int64)]
    model.eval()
    rows = 0
    counter = flop_counter()
    with settled(experiment.suite.train.threads), _without_gradients(model), autocast(experiment):
        items = model.items("score")
        items.items()
        for chunk in feed.score_batches(events, ROWS):
            batch = chunk.batch.to(experiment.device)
            rows += batch.n_rows
            with counter:
                model.encode(batch, "score", items=items)
    return counter.get_total_flops() / rows


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """No gradients, and no parameter that asks for one: under torch's counter a view of such a parameter is taken for a
    result whose gradient is wanted, and what hooks it finds none.
    """
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        with torch.no_grad():
            yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def flop_counter() -> FlopCounterMode:
    """Torch's counter of the operations of products, with the kernels that it lacks."""
    return FlopCounterMode(display=False, custom_mapping=dict(_unknown()))


def _unknown() -> Mapping[Any, Callable[..., int]]:
    """Fused attention on a CPU and its gradient, recurrent layers."""
    aten = torch.ops.aten
    return {aten._scaled_dot_product_flash_attention_for_cpu: _attention,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_gradient,
            aten.mkldnn_rnn_layer: _recurrent, aten._cudnn_rnn: _recurrent_on_gpu}


def _attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *rest: object,
               out_shape: object = None, **named: object) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_gradient(gradient: tuple[int, ...], query: tuple[int, ...], key: tuple[int, ...],
                        value: tuple[int, ...], *rest: object, out_shape: object = None, **named: object) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]


def _recurrent(x: tuple[int, ...], inner: tuple[int, ...], outer: tuple[int, ...], *rest: object,
               out_shape: object = None, **named: object) -> int:
    """Steps times rows times both maps."""
    return 2 * prod(x[:2]) * (prod(inner) + prod(outer))


def _recurrent_on_gpu(x: tuple[int, ...], weights: Sequence[tuple[int, ...]], *rest: object, out_shape: object = None,
                      **named: object) -> int:
    """The same, of all layers at once; biases have one axis."""
    return 2 * prod(x[:2]) * sum(prod(each) for each in weights if len(each) == 2)
