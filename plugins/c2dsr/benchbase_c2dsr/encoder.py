"""One causal encoder, and the contexts that its blocks run in: all events, one domain's alone, or made-up ones."""

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from benchbase.nn import PartContext, PositionEmbedding, TransformerBlock, attend

from .config import C2DSRConfig


class Asks(Protocol):
    """What attention and dropout of an encoder ask for."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None,
               dropout: float = 0.0) -> Tensor: ...

    def dropout(self, x: Tensor, p: float) -> Tensor: ...


class Encoder(nn.Module):
    """Scaled vectors plus learned positions, dropout, causal blocks with norms before each sublayer, a last norm.

    Source: C2DSR, sequential attentive encoder.
    """

    def __init__(self, config: C2DSRConfig, n_positions: int):
        super().__init__()
        self.dropout, self.scale = config.dropout, config.width**0.5
        self.positions = PositionEmbedding(n_positions, config.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.width, config.dropout, "relu")
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, asks: Asks, x: Tensor, position: Tensor) -> Tensor:
        """Vectors (B, S, w) at positions (B, S) -> states (B, S, w)."""
        h = asks.dropout(self.scale * x + self.positions(position), self.dropout)
        inside = cast(PartContext, _Blocks(asks))
        for layer, block in enumerate(self.blocks):
            h = block(inside, layer, h)
        return self.norm(h)  # type: ignore[no-any-return]


class _Blocks:
    """What blocks ask of a context, without the sites that hold hiddens: those are narrower than the tokens here."""

    def __init__(self, asks: Asks):
        self.attend, self.dropout = asks.attend, asks.dropout

    def value(self, layer: int, h: Tensor) -> Tensor:
        return h

    def states(self, layer: int, h: Tensor) -> Tensor:
        return h


class Plain:
    """The core's attention for rows that are not the batch's own: `copies` of it; no modifier has a say."""

    def __init__(self, ctx: PartContext, copies: int):
        plain = ctx.tokens.n_prefix == 0 and not bool(ctx.batch.candidate.any())
        self.dropout, self.mask = ctx.dropout, None
        if not plain:
            mask = ctx.base_mask
            self.mask = mask if len(mask) == 1 else mask.repeat(copies, 1, 1, 1)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None,
               dropout: float = 0.0) -> Tensor:
        return attend(q, k, v, mask=self.mask, causal=self.mask is None, scale=scale).out


class Apart:
    """The events of one domain, taken out of their rows: first come those that a row has, in their order.

    `own` (B, S) bool: the tokens of the domain; `size`: places, at least as many as a row has. A candidate sees the
    context of its domain and itself.
    """

    def __init__(self, ctx: PartContext, own: Tensor, candidate: Tensor | None, size: int):
        self.ctx, self.shape = ctx, own.shape
        self.tokens = (~own).to(torch.uint8).argsort(dim=1, stable=True)[:, :size]  # (B, size), of each place
        context = own if candidate is None else own & ~candidate
        seen = context.cumsum(dim=1)
        # the place (B, S) of each token, or else of the last of the context before it; -1 for none
        self.place = torch.where(own, own.cumsum(dim=1), seen) - 1
        places = torch.arange(size, device=own.device)
        self.position = torch.minimum(places, seen[:, -1:]) // ctx.tokens.per_event
        self.mask = None
        if candidate is not None:
            self.mask = self._mask(ctx.base_mask, places < own.sum(dim=1, keepdim=True))

    def take(self, x: Tensor) -> Tensor:
        """What stands at each place, (B, S, w) -> (B, size, w)."""
        return x.gather(1, self.tokens.unsqueeze(-1).expand(-1, -1, x.shape[-1]))

    def carry(self, states: Tensor) -> Tensor:
        """For each token the last state of the domain up to it, (B, size, w) -> (B, S, w); 0 before the first."""
        at = self.place.clamp_min(0).unsqueeze(-1).expand(-1, -1, states.shape[-1])
        return states.gather(1, at) * (self.place >= 0).unsqueeze(-1)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None,
               dropout: float = 0.0) -> Tensor:
        return attend(q, k, v, mask=self.mask, causal=self.mask is None, scale=scale).out

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """Dropout that is drawn for all tokens: what an event draws must not hang on the domains of later ones."""
        if self.ctx.phase == "score" or p == 0:
            return x
        return x * self.take(self.ctx.dropout(x.new_ones(*self.shape, x.shape[-1]), p))

    def _mask(self, mask: Tensor, there: Tensor) -> Tensor:
        """The core's mask between places, (B, 1, size, size) bool; `there` (B, size): places that hold a token."""
        rows, size = self.tokens.shape
        seen = mask.expand(rows, -1, -1, -1)[:, 0]
        seen = seen.gather(1, self.tokens[:, :, None].expand(-1, -1, seen.shape[-1]))
        return (seen.gather(2, self.tokens[:, None, :].expand(-1, size, -1)) & there[:, None, :]).unsqueeze(1)
