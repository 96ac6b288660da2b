"""Dropout from a generator of its own, at one random byte per element."""

import torch
from torch import Tensor

LEVELS = 256
"""A byte has this many values, so probabilities are rounded to multiples of 1 / LEVELS."""


def dropout(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Zero elements with probability p and scale the rest, so that the mean stays.

    On the CPU one byte is drawn per element, eight times cheaper than a float, and p is rounded to the
    nearest 1 / 256 (the scale follows the rounded value, so the mean is exact).
    """
    cut = round(p * LEVELS)
    if cut == 0:
        return x
    if cut == LEVELS:
        return x * 0.0
    keep = _bytes(x, generator).ge_(cut) if x.device.type == "cpu" else _bytes(x, generator) >= cut
    return x * keep.to(x.dtype).mul_(LEVELS / (LEVELS - cut))


def _bytes(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random bytes in the shape of x."""
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[: x.numel()].view(x.shape)
