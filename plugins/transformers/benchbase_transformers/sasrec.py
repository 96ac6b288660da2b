"""SASRec: a causal Transformer whose state after an event predicts the next item."""

from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, PositionEmbedding, SelfAttention, TransformerBlock

from .config import SASRecConfig

EPS = {"pre_norm": 1e-5, "post_norm": 1e-8, "original": 1e-8}
"""What norms add to the variance: torch's default, and what the codes with the other orders add."""


class SASRec(Backbone):
    """Scaled tokens plus learned positions, dropout, causal blocks of the configured order, a last norm.

    Source: Kang and McAuley 2018, section III; departures stand in the README.
    """

    def __init__(self, config: SASRecConfig, n_positions: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.dropout = config.dropout
        self.scale = config.width**0.5 if config.scale_embedding else 1.0
        self.positions = PositionEmbedding(n_positions, config.width)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, EPS[config.order])
        if config.init == "glorot":
            self._init_glorot()

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        h = ctx.dropout(self.scale * tokens.x + self.positions(tokens.position), self.dropout)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h)
        return self.norm(h)  # type: ignore[no-any-return]

    def _init_glorot(self) -> None:
        """Glorot's uniform law for positions and every map; queries, keys and values are three maps, not one."""
        weights = [self.positions.table, *(part.weight for part in self.modules() if isinstance(part, nn.Linear))]
        for part in self.modules():
            if isinstance(part, SelfAttention):
                weights += part.qkv.weight.chunk(3)  # after the whole, which they replace
        for weight in weights:
            nn.init.xavier_uniform_(weight.data)


class OriginalBlock(TransformerBlock):
    """The block of the official code: q = norm(h), a = q + attention(q, h, h), n = norm(a), n + drop(f(n)).

    Keys and values are not normed, both residuals leave from a normed hidden, and attention has dropout on its weights
    alone. Source: `multihead_attention` and `feedforward` of Kang and McAuley's code.
    """

    def forward(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        queries = self.norm_attention(h)
        h = self.norm_forward(queries + self.attention(ctx, layer, queries, ctx.value(layer, h), keys=h))
        return ctx.states(layer, h + self.feed_forward(ctx, h))


def _block(config: SASRecConfig) -> TransformerBlock:
    kind = OriginalBlock if config.order == "original" else TransformerBlock
    return kind(
        config.width, config.heads, config.ffn * config.width, config.dropout, config.activation,
        order="post_norm" if config.order == "post_norm" else "pre_norm", attention_dropout=config.attention_dropout,
        ffn_dropout=config.ffn_dropout, head_map=config.head_map, eps=EPS[config.order],
    )
