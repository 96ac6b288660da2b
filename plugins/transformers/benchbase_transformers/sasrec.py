"""SASRec: a causal Transformer whose state after an event predicts the next item."""

from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, PositionEmbedding, TransformerBlock

from .config import SASRecConfig


class SASRec(Backbone):
    """Scaled tokens plus learned positions, dropout, pre-norm causal blocks, a last norm.

    Source: Kang and McAuley 2018, section III; departures stand in the README.
    """

    def __init__(self, config: SASRecConfig, n_positions: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.dropout = config.dropout
        self.scale = config.width**0.5 if config.scale_embedding else 1.0
        self.positions = PositionEmbedding(n_positions, config.width)
        hidden = config.ffn * config.width
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, hidden, config.dropout, config.activation)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        h = ctx.dropout(self.scale * tokens.x + self.positions(tokens.position), self.dropout)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h)
        return self.norm(h)  # type: ignore[no-any-return]
