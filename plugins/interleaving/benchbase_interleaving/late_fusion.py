"""AttnLFA: the stack sees items alone; actions are pooled once, behind it, by the similarity of items."""

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.nn import Earlier, Modifier, PartContext

from .config import LateFusionConfig
from .pooling import StrictAttention, StrictMask


class AttnLFA(Modifier):
    """States [h_t ; P_t], with P = SA(H W_q, H W_k, A W_v) W_o of the last hidden H and the actions A.

    Source: Cheng 2026, section 3 (AttnLFA).
    """

    def __init__(self, config: LateFusionConfig, context: BuildContext):
        super().__init__()
        learned = config.null == "learned"
        self.strict = StrictMask(context, learned) if config.strict else None
        self.pooling = StrictAttention(context, learned, context.state_width)
        self.readout_width = context.state_width + context.width

    def mask(self, ctx: PartContext, layer: int) -> Earlier | None:
        """Events see earlier events alone."""
        return None if self.strict is None else self.strict(layer)

    def readout(self, ctx: PartContext, h: Tensor) -> Tensor:
        """(B, S, any) -> (B, S, any + D)."""
        return torch.cat([h, self.pooling(ctx, h, ctx.tokens.action)], dim=-1)
