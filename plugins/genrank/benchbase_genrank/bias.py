"""ALiBi: attention falls off with the distance of two events, at a rate of each head's own, without parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase.nn import Kind, Tokens

from .times import buckets


def slopes(n_heads: int) -> Tensor:
    """m_h = 2^(-8 h / H) for h = 1, ..., H: (H) in float64. Source: Press et al. 2022, Train Short, Test Long."""
    return 2.0 ** (-8 * torch.arange(1, n_heads + 1, dtype=torch.float64) / n_heads)


def alibi(tokens: Tokens, slope: Tensor, time_bias: float) -> Tensor:
    """-m_h (|i - j| + time_bias b(t_i - t_j)), (1 or B, H, S, S), queries first.

    i and j are positions, which the candidates of one request share; b is the bucket of a gap. Where either token is no
    event the bias is 0, but for the time since compressed history, which is known. One row serves all where their
    distances are equal. Source: Huang et al. 2025, section 3, whose formula for times is not published.
    """
    place, n_prefix = _places(tokens).to(tokens.x.dtype), tokens.n_prefix
    if bool((place == place[:1]).all()):
        place = place[:1]
    far = F.pad((place[:, :, None] - place[:, None, :]).abs(), (n_prefix, 0, n_prefix, 0))
    if time_bias > 0:
        far = far + time_bias * _gaps(tokens).to(far.dtype)
    return -slope.to(far.dtype)[:, None, None] * far.unsqueeze(1)


def _places(tokens: Tokens) -> Tensor:
    """How far each event lies behind the first of its row, (B, E), in positions; in the padding as if events went on.

    Distances are those of positions, from whichever end these count, and mostly the same in all rows.
    """
    position = tokens.position[:, tokens.n_prefix :]
    place = (position - position[:, :1]).abs()
    after = torch.arange(place.shape[1], device=place.device)
    return torch.where(tokens.valid[:, tokens.n_prefix :], place, after)


def _gaps(tokens: Tokens) -> Tensor:
    """Buckets (B, S, S) of the time between two events, or an event and history before it; 0 for all other tokens."""
    time, event = tokens.timestamp, tokens.kind >= Kind.ITEM
    timed = event | (tokens.kind == Kind.HISTORY)
    return buckets(time[:, :, None] - time[:, None, :]) * (event[:, :, None] & timed[:, None, :])
