"""AutoCDSR+ as released: an encoder for each domain, tokens that they talk through, a shared encoder behind them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import (
    Backbone,
    FeedForward,
    Objective,
    Output,
    PartContext,
    PositionEmbedding,
    TransformerBlock,
    init_normal,
)

from .config import BottleneckAttentionConfig, DomainEncodersConfig
from .layers import DomainLayer

TRACE = "ib_attention"
"""The attention that events give to the tokens, (B, S, layers), each in its own domain's encoder."""


class DomainEncoders(Backbone):
    """Every domain's encoder reads its events, hidden ones, whose domain nobody knows, and its copy of k tokens; after
    a layer these copies become one. What an event's own encoder makes of it, of a hidden one what all make, is
    added to its token; norm, shared blocks, a last norm, two linear maps.

    `n_layers` and `n_heads` are those of the shared blocks, the only ones that modifiers reach.

    Source: AutoCDSR+, the released code; departures stand in the README.
    """

    def __init__(self, config: DomainEncodersConfig, context: BuildContext):
        super().__init__()
        shared = config.shared_layers
        self.width, self.n_layers, self.n_heads = config.width, shared, config.shared_heads if shared else 0
        self.config, self.n_domains = config, context.n_domains
        self.positions = PositionEmbedding(context.window, config.width)
        self.table = nn.Parameter(init_normal(torch.empty(config.tokens, config.width)))
        self.layers = nn.ModuleList(DomainLayer(config, context.n_domains) for _ in range(config.layers))
        self.first_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.shared_heads, config.ffn * config.width, config.dropout, "relu",
                             attention_dropout=config.attention_dropout, ffn_dropout=config.dropout,
                             attention_scale=config.attention_scale)
            for _ in range(shared)
        )
        self.norm = nn.LayerNorm(config.width) if shared else nn.Identity()
        self.projection = FeedForward(config.width, config.width, "relu") if config.projection else nn.Identity()

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, D), one per token."""
        tokens = ctx.tokens
        x = ctx.dropout(tokens.x + self.positions(tokens.position), self.config.dropout)
        h = self.first_norm(x + self._by_domain(ctx, x))
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h)
        return self.projection(self.norm(h))  # type: ignore[no-any-return]

    def _by_domain(self, ctx: PartContext, x: Tensor) -> Tensor:
        """What the domains' encoders make of each token, (B, S, D)."""
        k, streams = self.config.tokens, streams_of(ctx, self.n_domains)
        own = self.table.expand(*streams.at.shape[:2], -1, -1)
        h = torch.cat([own, streams.take(x)], dim=2)  # (domains, B, k + L, D)
        mask, masses = streams.mask(ctx, k), []
        counted = F.pad(h.new_ones(1, k, 1), (0, 0, 0, h.shape[2] - k)) if ctx.wants(TRACE) else None
        for number, layer in enumerate(self.layers):
            h, mass = layer(ctx, h, mask, counted)
            if mass is not None:
                masses.append(mass[:, :, k:])
            if self.config.after is None or number in self.config.after:
                h = torch.cat([self._combined(h[:, :, :k]), h[:, :, k:]], dim=2)
        if masses:
            ctx.publish(TRACE, streams.put(torch.cat(masses, dim=-1)))
        return streams.put(h[:, :, k:])

    def _combined(self, own: Tensor) -> Tensor:
        """The tokens of all domains (domains, B, k, D) as one, in each."""
        one = own.mean(dim=0) if self.config.combine == "mean" else own.sum(dim=0)
        return one.expand_as(own)


class Streams(NamedTuple):
    """What each domain's encoder reads, side by side: L tokens of each row, in order; L is that of the most.

    Shapes: at (domains, B, L), where a token stands among all S; there (domains, B, L) bool, False where the domain
    has fewer; has (domains, B, S) bool, and slot (domains, B, S), where among the L a token stands that it has.
    """

    at: Tensor
    there: Tensor
    has: Tensor
    slot: Tensor

    def take(self, x: Tensor) -> Tensor:
        """Rows of x (B, S, any) by domain, (domains, B, L, any)."""
        row = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
        return F.embedding(self.at + row, x.flatten(0, 1))

    def put(self, h: Tensor) -> Tensor:
        """What was made (domains, B, L, any) by token, summed over the domains that read it, (B, S, any)."""
        first = torch.arange(self.at.shape[:2].numel(), device=h.device).view(*self.at.shape[:2], 1) * h.shape[2]
        return (F.embedding(self.slot + first, h.flatten(0, 2)) * self.has.unsqueeze(-1)).sum(dim=0)

    def mask(self, ctx: PartContext, k: int) -> Tensor:
        """Who may attend to whom among k tokens and L others, (domains B, 1, 1 or k + L, k + L) bool.

        All see the k tokens, which see all but candidates; the rest is as the core's mask says.
        """
        keys = F.pad(self.there, (k, 0), value=True).unsqueeze(-2)
        base = ctx.base_mask
        if base.shape[-2] > 1:
            row = torch.arange(self.at.shape[1], device=base.device)[:, None, None]
            seen = base[:, 0].expand(len(row), -1, -1)[row, self.at.unsqueeze(-1), self.at.unsqueeze(-2)]
            read = F.pad(~_candidates(ctx)[row[..., 0], self.at], (k, 0), value=True).unsqueeze(-2)
            keys = keys & torch.cat([read.expand(-1, -1, k, -1), F.pad(seen, (k, 0), value=True)], dim=-2)
        return keys.flatten(0, 1).unsqueeze(1)


def streams_of(ctx: PartContext, n_domains: int) -> Streams:
    """The streams of a batch's tokens; those of no domain are in all."""
    tokens = ctx.tokens
    domain = torch.arange(n_domains, device=tokens.domain.device)[:, None, None]
    has = tokens.valid & ((tokens.domain == domain) | (tokens.domain < 0))
    length = max(int(has.sum(dim=-1).max()), 1)
    at = (~has).to(torch.int8).argsort(dim=-1, stable=True)[..., :length]
    return Streams(at, has.gather(-1, at), has, (has.cumsum(dim=-1) - 1).clamp_min(0))


def _candidates(ctx: PartContext) -> Tensor:
    """Tokens of candidates, (B, S) bool."""
    event = ctx.tokens.event
    return ctx.batch.candidate.gather(1, event.clamp_min(0)) & (event >= 0)


class DomainBottleneckAttention(Objective):
    """The share of attention that events give to the tokens of `domain_encoders`, each in its own domain's encoder.

    Source: AutoCDSR+, as released; here a mean over events of a known domain, and over layers.
    """

    def __init__(self, config: BottleneckAttentionConfig, context: BuildContext):
        super().__init__()
        self.config = config

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`mass`: from 0 to 1, or to the number of layers where they are summed."""
        tokens = output.tokens
        asks = tokens.valid & (tokens.domain >= 0) & (tokens.event >= 0)
        each = (output.traces[TRACE] * asks.unsqueeze(-1)).sum(dim=(0, 1)) / asks.sum().clamp_min(1)  # (layers)
        if self.config.layers == "last":
            return {"mass": each[-1]}
        return {"mass": each.sum() if self.config.layers == "sum" else each.mean()}
