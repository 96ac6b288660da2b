"""A causal Transformer with rotary positions, as large language models have them."""

from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, PositionEmbedding, TransformerBlock, rotation

from .config import CausalTransformerConfig


class CausalTransformer(Backbone):
    """Tokens, causal pre-norm blocks whose queries and keys are turned by their positions, a last norm.

    Source: Cheng 2026, Beyond Interleaving, section 3 (the blocks that its three models share).
    """

    def __init__(self, config: CausalTransformerConfig, n_positions: int):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, config.heads
        self.config = config
        self.positions = PositionEmbedding(n_positions, config.width) if config.position == "learned" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens, config, turn = ctx.tokens, self.config, None
        h = tokens.x if self.positions is None else tokens.x + self.positions(tokens.position)
        if config.position == "rope":
            turn = rotation(tokens.position, config.width // config.heads, config.rope_base, h.dtype)
        h = ctx.dropout(h, config.dropout)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h, turn)
        return self.norm(h)  # type: ignore[no-any-return]


class Block(TransformerBlock):
    """h + s drop(attention(norm h)), then h + s drop(f(norm h)): a pre-norm block whose branches have a scale."""

    def __init__(self, config: CausalTransformerConfig):
        super().__init__(config.width, config.heads, config.ffn * config.width, config.dropout, config.activation,
                         attention_dropout=config.attention_dropout, attention_scale=config.attention_scale)
        self.skip_scale = config.skip_scale

    def forward(self, ctx: PartContext, layer: int, h: Tensor, turn: Tensor | None = None) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        source = ctx.value(layer, h)
        normed = self.norm_attention(h)
        values = normed if source is h else self.norm_attention(source)
        mixed = self.attention(ctx, layer, normed, values, turn=turn)
        h = h + self.skip_scale * ctx.dropout(mixed, self.dropout)
        return ctx.states(layer, h + self.skip_scale * self.feed_forward(ctx, self.norm_forward(h)))
