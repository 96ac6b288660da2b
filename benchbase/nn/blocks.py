"""Transformer blocks that backbones are built of; each honours every site through the context."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .context import PartContext
from .embedding import init_linear, init_normal


class PositionEmbedding(nn.Module):
    """Learned absolute positions; tokens that are no event (position -1) get none."""

    def __init__(self, n_positions: int, width: int):
        super().__init__()
        self.table = nn.Parameter(init_normal(torch.empty(n_positions, width)))

    def forward(self, position: Tensor) -> Tensor:
        """Vectors (B, S, D) of positions (B, S)."""
        if bool((position >= 0).all()):
            return F.embedding(position, self.table)
        x = F.embedding(position.clamp_min(0), self.table)
        return x * (position >= 0).unsqueeze(-1)


class SelfAttention(nn.Module):
    """Multi-head attention over the tokens; values may come from another hidden than queries and keys."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        if width % n_heads:
            near = max(round(width / n_heads), 1) * n_heads
            raise ConfigError([f"attention: width {width} does not divide into {n_heads} heads. "
                               f"Expected a multiple of {n_heads}. Take width {near}."])
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        init_linear(self.qkv, self.out)

    def forward(self, ctx: PartContext, layer: int, h: Tensor, source: Tensor) -> Tensor:
        """Attend with queries and keys from h and values from `source`, both (B, S, D) and normed."""
        q, k, v = self._project(h, source)
        out = ctx.attend(layer, self._split(q), self._split(k), self._split(v))
        return self.out(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _project(self, h: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        if source is h:
            return self.qkv(h).chunk(3, dim=-1)  # type: ignore[no-any-return]
        width = h.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q, k = F.linear(h, weight[: 2 * width], bias[: 2 * width]).chunk(2, dim=-1)
        return q, k, F.linear(source, weight[2 * width :], bias[2 * width :])

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return x.view(*x.shape[:2], self.n_heads, x.shape[2] // self.n_heads).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(self, width: int, hidden: int, activation: str):
        super().__init__()
        self.rise, self.fall = nn.Linear(width, hidden), nn.Linear(hidden, width)
        known: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
        self.activation = known[activation]
        init_linear(self.rise, self.fall)

    def forward(self, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        return self.fall(self.activation(self.rise(h)))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """A pre-norm block: h + drop(attention(norm h)), then h + drop(feed-forward(norm h))."""

    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float, activation: str = "gelu"):
        super().__init__()
        self.dropout = dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, n_heads)
        self.forward_map = FeedForward(width, hidden, activation)

    def forward(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        source = ctx.value(layer, h)
        normed = self.norm_attention(h)
        values = normed if source is h else self.norm_attention(source)
        h = h + ctx.dropout(self.attention(ctx, layer, normed, values), self.dropout)
        h = h + ctx.dropout(self.forward_map(self.norm_forward(h)), self.dropout)
        return ctx.states(layer, h)
