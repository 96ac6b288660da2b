"""Strictly causal attention: who is similar among earlier events, and what is pooled of them."""

import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.nn import Earlier, PartContext, init_linear


class StrictAttention(nn.Module):
    """Attention of every event to earlier ones: queries and keys from one hidden, values from another.

    SA(Q, K, V)_n is the sum over m < n of softmax_{m < n}(q_n k_m) v_m, and SA_0 is zeros or a learned vector, then one
    linear map. Source: Cheng 2026, section 3.
    """

    def __init__(self, context: BuildContext, learned_null: bool, hidden: int | None = None):
        """`hidden`: the width of what queries and keys are made of, where that is not the backbone's."""
        super().__init__()
        width = context.width
        self.n_heads = max(context.n_heads, 1)
        self.queries_keys, self.values = nn.Linear(hidden or width, 2 * width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        init_linear(self.queries_keys, self.values, self.out)
        self.null = nn.Parameter(torch.zeros(width)) if learned_null else None

    def forward(self, ctx: PartContext, h: Tensor, pooled: Tensor) -> Tensor:
        """(B, S, D), with queries and keys from h (B, S, any) and values from `pooled` (B, S, D)."""
        q, k = self.queries_keys(h).chunk(2, dim=-1)
        made = ctx.pool(*map(self._split, (q, k, self.values(pooled))), earlier=Earlier(self.null))
        return self.out(made.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D / H)."""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class StrictMask(nn.Module):
    """What makes every layer of the backbone strictly causal; one vector for all of them where it is learned."""

    def __init__(self, context: BuildContext, learned_null: bool):
        super().__init__()
        shape = (context.n_layers, context.width)
        self.nulls = nn.Parameter(torch.zeros(shape)) if learned_null else None

    def forward(self, layer: int) -> Earlier:
        """The mask of a layer."""
        return Earlier(None if self.nulls is None else self.nulls[layer])
