"""AttnMVP: in every layer items are compared, and items with what was done to them are pooled."""

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.nn import Earlier, Modifier, PartContext

from .config import MixedValueConfig
from .pooling import StrictAttention, StrictMask


class AttnMVP(Modifier):
    """Queries and keys from H, values from H + lambda A, strictly causal in every layer; then the pooling of AttnLFA.

    Source: Cheng 2026, section 3 (AttnMVP; without late fusion AttnMVP-LFA).
    """

    def __init__(self, config: MixedValueConfig, context: BuildContext):
        super().__init__()
        learned = config.null == "learned"
        self.mix = config.mix
        self.strict = StrictMask(context, learned)
        self.pooling = StrictAttention(context, learned, context.state_width) if config.late_fusion else None
        self.readout_width = context.state_width + context.width if config.late_fusion else None

    def mask(self, ctx: PartContext, layer: int) -> Earlier:
        """Events see earlier events alone."""
        return self.strict(layer)  # type: ignore[no-any-return]

    def value(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """(B, S, D): the hidden and what was done."""
        return h if self.mix == 0 else h + self.mix * ctx.tokens.action

    def readout(self, ctx: PartContext, h: Tensor) -> Tensor | None:
        """(B, S, any) -> (B, S, any + D)."""
        if self.pooling is None:
            return None
        return torch.cat([h, self.pooling(ctx, h, ctx.tokens.action)], dim=-1)
