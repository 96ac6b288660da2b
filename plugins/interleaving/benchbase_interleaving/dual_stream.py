"""AttnDHN: a stream of items and one of actions, each pooling the other; what the paper leaves for later."""

import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.nn import Earlier, FeedForward, Modifier, PartContext

from .config import DualStreamConfig
from .pooling import StrictAttention, StrictMask


class ActionBlock(nn.Module):
    """A pre-norm block of the action stream: queries and keys from its own hidden, values from that and the items'."""

    def __init__(self, config: DualStreamConfig, context: BuildContext, learned: bool):
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(context.width), nn.LayerNorm(context.width)
        self.attention = StrictAttention(context, learned)
        self.forward_map = FeedForward(context.width, config.ffn * context.width, "silu")
        self.mix = config.mix

    def forward(self, ctx: PartContext, actions: Tensor, items: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        values = self.norm_attention(actions + self.mix * items)
        actions = actions + self.attention(ctx, self.norm_attention(actions), values)
        return actions + self.forward_map(self.norm_forward(actions))  # type: ignore[no-any-return]


class AttnDHN(Modifier):
    """Per layer A' = Block(Q = K = A, V = A + lambda H), then the items' block with V = H + lambda A'.

    Source: Cheng 2026, section 6 (AttnDHN, also called AttnDNA there).
    """

    def __init__(self, config: DualStreamConfig, context: BuildContext):
        super().__init__()
        learned = config.null == "learned"
        self.mix = config.mix
        self.strict = StrictMask(context, learned)
        self.blocks = nn.ModuleList(ActionBlock(config, context, learned) for _ in range(context.n_layers))
        self.pooling = StrictAttention(context, learned, context.state_width) if config.late_fusion else None
        self.readout_width = context.state_width + context.width if config.late_fusion else None

    def mask(self, ctx: PartContext, layer: int) -> Earlier:
        """Events see earlier events alone."""
        return self.strict(layer)  # type: ignore[no-any-return]

    def value(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """(B, S, D): the hidden and this layer's actions, which it makes."""
        actions = ctx.scratch.get("actions", ctx.tokens.action)
        actions = self.blocks[layer](ctx, actions, h)
        ctx.scratch["actions"] = actions
        mixed: Tensor = h + self.mix * actions
        return mixed

    def readout(self, ctx: PartContext, h: Tensor) -> Tensor | None:
        """(B, S, any) -> (B, S, any + D)."""
        if self.pooling is None:
            return None
        return torch.cat([h, self.pooling(ctx, h, ctx.scratch["actions"])], dim=-1)
