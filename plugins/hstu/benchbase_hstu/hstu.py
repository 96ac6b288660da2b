"""HSTU: blocks of pointwise attention, each gated by its input; no softmax and no feed-forward map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, PositionEmbedding, init_linear

from .bias import Cells, RelativeBias, cells
from .config import HSTUConfig

EPS = 1e-6
"""Added to the variance by both norms of a block."""


class HSTU(Backbone):
    """Scaled tokens plus learned positions, dropout, causal blocks; the last block's output is the state.

    Source: Zhai et al. 2024, section 3; departures stand in the README.
    """

    def __init__(self, config: HSTUConfig, n_positions: int, max_tokens: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.dropout, self.time_ref = config.dropout, config.time_ref
        self.n_positions = n_positions
        self.full = max_tokens if config.normaliser == "length" else None
        self.positions = PositionEmbedding(n_positions, config.width)
        std = config.width**-0.5
        nn.init.trunc_normal_(self.positions.table, std=std, a=-2 * std, b=2 * std)
        self.blocks = nn.ModuleList(Block(config, n_positions) for _ in range(config.layers))

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        h = ctx.dropout(self.width**0.5 * tokens.x + self.positions(tokens.position), self.dropout)
        at = cells(tokens, self.n_positions, self.time_ref)
        stretch = None if self.full is None else self.full / ctx.base_mask.sum(dim=-1).clamp_min(1)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h, at, stretch)
        return h


class Block(nn.Module):
    """h + map(drop(gate * norm(attention))), with gate, values, queries and keys SiLU of one map of norm h.

    Source: Zhai et al. 2024, eq. (1) to (3).
    """

    def __init__(self, config: HSTUConfig, n_positions: int):
        super().__init__()
        self.n_heads, self.dropout, self.concat = config.heads, config.dropout, config.concat
        self.v_width = config.heads * (config.d_v or config.width // config.heads)
        self.qk_width = config.heads * (config.d_qk or config.width // config.heads)
        self.uvqk = nn.Linear(config.width, 2 * self.v_width + 2 * self.qk_width, bias=False)
        self.out = nn.Linear(self.v_width * (3 if config.concat else 1), config.width)
        self.bias = RelativeBias(n_positions, config.time_ref != "none")
        init_linear(self.uvqk)
        nn.init.xavier_uniform_(self.out.weight)

    def forward(self, ctx: PartContext, layer: int, h: Tensor, at: Cells, stretch: Tensor | None) -> Tensor:
        """(B, S, D) -> (B, S, D); `stretch` (1 or B, 1, S) multiplies what each query gets of its keys."""
        u, v, q, k = self._project(h, ctx.value(layer, h))
        a = ctx.attend(layer, self._split(q), self._split(k), self._split(v), bias=self.bias(at), scale=1.0)
        if stretch is not None:
            a = a * stretch.unsqueeze(-1)
        a = _norm(a.transpose(1, 2).flatten(2))
        gated = torch.cat([u, a, u * a], dim=-1) if self.concat else u * a
        return ctx.states(layer, h + self.out(ctx.dropout(gated, self.dropout)))

    def _project(self, h: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """Gate, values (B, S, h d_v), queries and keys (B, S, h d_qk); values come from `source`."""
        widths = [self.v_width, self.v_width, self.qk_width, self.qk_width]
        u, v, q, k = F.silu(self.uvqk(_norm(h))).split_with_sizes(widths, dim=-1)
        if source is not h:
            v = F.silu(F.linear(_norm(source), self.uvqk.weight[self.v_width : 2 * self.v_width]))
        return u, v, q, k

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, h d) -> (B, h, S, d)."""
        return x.view(*x.shape[:2], self.n_heads, x.shape[2] // self.n_heads).transpose(1, 2)


def _norm(x: Tensor) -> Tensor:
    """Layer norm over the last axis, without scale and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)
