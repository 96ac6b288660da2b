"""GenRank: causal blocks over tokens of item and action that know position, request and the gap before it."""

import torch.nn.functional as F
from torch import Tensor, nn

from benchbase.nn import Backbone, FeedForward, PartContext, PositionEmbedding, init_linear

from .bias import alibi, slopes
from .config import GenRankConfig
from .times import BUCKETS, requests


class GenRank(Backbone):
    """Tokens plus the vectors of position, request and gap, dropout, causal blocks that share one bias, a last norm.

    Source: Huang et al. 2025, section 3; departures stand in the README.
    """

    slopes: Tensor

    def __init__(self, config: GenRankConfig, n_positions: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.dropout, self.time_bias = config.dropout, config.time_bias
        timed = config.time == "requests"
        self.positions = PositionEmbedding(n_positions, config.width)
        self.requests = PositionEmbedding(n_positions, config.width) if timed else None
        self.gaps = PositionEmbedding(BUCKETS, config.width) if timed else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.register_buffer("slopes", slopes(config.heads), persistent=False)

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        h = tokens.x + self.positions(tokens.position)
        if self.requests is not None and self.gaps is not None:
            request = requests(tokens, ctx.batch.candidate)
            h = h + self.requests(request.number) + self.gaps(request.gap)
        h = ctx.dropout(h, self.dropout)
        bias = alibi(tokens, self.slopes, self.time_bias)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h, bias)
        return self.norm(h)  # type: ignore[no-any-return]


class Block(nn.Module):
    """h + drop(attention(norm h)), then h + drop(f(norm h)); attention has a bias that is given."""

    def __init__(self, config: GenRankConfig):
        super().__init__()
        width = config.width
        self.n_heads, self.dropout = config.heads, config.dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qk, self.v, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width), nn.Linear(width, width)
        init_linear(self.qk, self.v, self.out)
        hidden = config.ffn * width
        self.forward_map: nn.Module = (
            GatedFeedForward(width, max(2 * hidden // 3, 1)) if config.activation == "swiglu"
            else FeedForward(width, hidden, config.activation)
        )

    def forward(self, ctx: PartContext, layer: int, h: Tensor, bias: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D); the bias is (1 or B, H, S, S)."""
        source = ctx.value(layer, h)
        normed = self.norm_attention(h)
        q, k = map(self._split, self.qk(normed).chunk(2, dim=-1))
        v = self._split(self.v(normed if source is h else self.norm_attention(source)))
        out = ctx.attend(layer, q, k, v, bias=bias)
        h = h + ctx.dropout(self.out(out.transpose(1, 2).flatten(2)), self.dropout)
        return ctx.states(layer, h + ctx.dropout(self.forward_map(self.norm_forward(h)), self.dropout))

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return x.view(*x.shape[:2], self.n_heads, x.shape[2] // self.n_heads).transpose(1, 2)


class GatedFeedForward(nn.Module):
    """A linear map times the SiLU of another, and a map back.

    Source: Shazeer 2020, GLU Variants Improve Transformer, eq. (6).
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.rise, self.fall = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)
        init_linear(self.rise, self.fall)

    def forward(self, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        gate, inner = self.rise(h).chunk(2, dim=-1)
        return self.fall(F.silu(gate) * inner)  # type: ignore[no-any-return]
