"""BERT4Rec: a bidirectional Transformer that fills in hidden events."""

from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, PositionEmbedding, TransformerBlock, init_linear

from .config import BERT4RecConfig

EPS = {"pre_norm": 1e-5, "post_norm": 1e-12}
"""What norms add to the variance: torch's default, and what BERT adds."""


class BERT4Rec(Backbone):
    """Tokens plus learned positions, norm, dropout, full blocks (pre-norm: a last norm), the output projection.

    Source: Sun et al. 2019, section 3; departures stand in the README.
    """

    def __init__(self, config: BERT4RecConfig, n_positions: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.dropout, eps = config.dropout, EPS[config.order]
        self.positions = PositionEmbedding(n_positions, config.width)
        self.first_norm = nn.LayerNorm(config.width, eps)
        hidden = config.ffn * config.width
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, hidden, config.dropout, config.activation, order=config.order,
                             attention_dropout=config.attention_dropout, eps=eps)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.order == "pre_norm" else nn.Identity()
        self.projection = _Projection(config.width, eps) if config.projection else nn.Identity()

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        h = ctx.dropout(self.first_norm(tokens.x + self.positions(tokens.position)), self.dropout)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h)
        return self.projection(self.norm(h))  # type: ignore[no-any-return]


class _Projection(nn.Module):
    """norm(GELU(h W + b)). Source: Sun et al. 2019, eq. (7); the norm is the official code's."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.map, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps)
        init_linear(self.map)

    def forward(self, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        return self.norm(nn.functional.gelu(self.map(h)))  # type: ignore[no-any-return]
