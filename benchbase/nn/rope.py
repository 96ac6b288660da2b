"""Rotary positions: queries and keys turned by their positions, so that scores tell distances alone."""

import torch
from torch import Tensor


def rotation(position: Tensor, width: int, base: float, dtype: torch.dtype) -> Tensor:
    """Cosines and sines (2, B, 1, S, width / 2) of positions (B, S); those below 0, of no event, are not turned.

    Source: Su et al. 2021, RoFormer, eq. (34).
    """
    rate = base ** (-torch.arange(0, width, 2, device=position.device, dtype=torch.float64) / width)
    angle = position.clamp_min(0)[:, None, :, None] * rate
    return torch.stack([angle.cos(), angle.sin()]).to(dtype)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """(B, H, S, D) turned by `rotation`; halves of the width are the two coordinates of each plane."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = turn
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
