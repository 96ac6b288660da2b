"""Transformer blocks that backbones are built of; each honours every site through the context."""

from collections.abc import Callable
from itertools import groupby
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .context import PartContext
from .embedding import init_linear, init_normal
from .rope import rotate


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
    """Multi-head attention over the tokens; queries, keys and values may come from different hiddens.

    `head_map` is the linear map of the joined heads; `dropout` acts on the attention weights, on the explicit route;
    `scale` of the scores, None for that of the root of the heads' width.
    """

    def __init__(self, width: int, n_heads: int, dropout: float = 0.0, head_map: bool = True,
                 scale: float | None = None):
        super().__init__()
        if width % n_heads:
            near = max(round(width / n_heads), 1) * n_heads
            raise ConfigError([f"attention: width {width} does not divide into {n_heads} heads. "
                               f"Expected a multiple of {n_heads}. Take width {near}."])
        self.n_heads, self.dropout, self.scale = n_heads, dropout, scale
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width) if head_map else nn.Identity()
        init_linear(*(part for part in (self.qkv, self.out) if isinstance(part, nn.Linear)))

    def forward(self, ctx: PartContext, layer: int, h: Tensor, source: Tensor, keys: Tensor | None = None,
                turn: Tensor | None = None) -> Tensor:
        """Attend with queries from h, values from `source` and keys from `keys`, or else from h; all (B, S, D).

        `turn`: a `rotation` of queries and keys.
        """
        q, k, v = map(self._split, self._project(h, h if keys is None else keys, source))
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        out = ctx.attend(layer, q, k, v, scale=self.scale, dropout=self.dropout)
        return self.out(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _project(self, *sources: Tensor) -> list[Tensor]:
        """Queries, keys and values; neighbours that read one hidden are made by one product."""
        if all(source is sources[0] for source in sources):
            return list(self.qkv(sources[0]).chunk(3, dim=-1))
        made: list[Tensor] = []
        for _, group in groupby(sources, key=id):
            hidden, *others = group
            width, many = hidden.shape[-1], 1 + len(others)
            rows = slice(len(made) * width, (len(made) + many) * width)
            made += F.linear(hidden, self.qkv.weight[rows], self.qkv.bias[rows]).chunk(many, dim=-1)
        return made

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

    def forward(self, h: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(B, S, D) -> (B, S, D); `drop` acts between the activation and the second map."""
        inner = self.activation(self.rise(h))
        return self.fall(inner if drop is None else drop(inner))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention and a feed-forward map f, each inside a residual.

    `pre_norm`: h + drop(f(norm h)); `post_norm`: norm(h + drop(f(h))). Dropout of the attention weights and between
    the two feed-forward maps have rates of their own. `attention_scale` is that of the scores.
    """

    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float, activation: str = "gelu", *,
                 order: Literal["pre_norm", "post_norm"] = "pre_norm", attention_dropout: float = 0.0,
                 ffn_dropout: float = 0.0, head_map: bool = True, eps: float = 1e-5,
                 attention_scale: float | None = None):
        super().__init__()
        self.dropout, self.ffn_dropout, self.order = dropout, ffn_dropout, order
        self.norm_attention, self.norm_forward = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attention = SelfAttention(width, n_heads, attention_dropout, head_map, attention_scale)
        self.forward_map = FeedForward(width, hidden, activation)

    def forward(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        return ctx.states(layer, self._pre(ctx, layer, h) if self.order == "pre_norm" else self._post(ctx, layer, h))

    def feed_forward(self, ctx: PartContext, h: Tensor) -> Tensor:
        """The feed-forward map of h, with both of its dropouts, (B, S, D)."""
        made = self.forward_map(h, lambda inner: ctx.dropout(inner, self.ffn_dropout))
        return ctx.dropout(made, self.dropout)

    def _pre(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        source = ctx.value(layer, h)
        normed = self.norm_attention(h)
        values = normed if source is h else self.norm_attention(source)
        h = h + ctx.dropout(self.attention(ctx, layer, normed, values), self.dropout)
        return h + self.feed_forward(ctx, self.norm_forward(h))

    def _post(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        attended = self.attention(ctx, layer, h, ctx.value(layer, h))
        h = self.norm_attention(h + ctx.dropout(attended, self.dropout))
        return self.norm_forward(h + self.feed_forward(ctx, h))  # type: ignore[no-any-return]
