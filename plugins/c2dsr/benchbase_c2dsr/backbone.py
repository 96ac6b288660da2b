"""C2DSR: what all events say, and what those of each domain say by themselves."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.nn import Backbone, Kind, PartContext

from . import CORRUPTED, MIXED, OWN
from .blocks import domains_of, own_block
from .config import C2DSRConfig
from .encoder import Apart, Encoder, Plain
from .graph import Graph, transitions


class C2DSR(Backbone):
    """A state holds for each domain the state after all events plus that after the domain's own, side by side.

    Item vectors are as wide, and an item reads and fills its own domain's block, so that an item's score is that of its
    domain: (h + h_d) . e. Nobody needs to know the domain that is asked for.
    Source: C2DSR, graphical and attentive encoders and their prediction; departures stand in the README.
    """

    domain: Tensor
    members: Tensor
    starts: Tensor

    def __init__(self, config: C2DSRConfig, context: BuildContext):
        super().__init__()
        self.n_domains, self.window, self.rate = context.n_domains, context.window, config.dropout
        self.width, self.n_layers, self.n_heads = context.n_domains * config.width, config.layers, config.heads
        self.mixed = Encoder(config, context.window)
        self.own = nn.ModuleList(Encoder(config, context.window) for _ in range(context.n_domains))
        domain = domains_of(context.catalogue)
        sizes = torch.bincount(domain + 1, minlength=context.n_domains + 1)  # the first are of no domain
        self.register_buffer("domain", domain, persistent=False)
        self.register_buffer("members", domain.argsort(stable=True) + 1, persistent=False)  # items, domain by domain
        self.register_buffer("starts", sizes.cumsum(dim=0), persistent=False)  # the last one: where all end
        self.graph = self.own_graph = None
        if config.graph_layers:
            events, n = context.train(), context.n_items
            own = transitions(events, n, context.catalogue.domain)
            self.graph = Graph(*transitions(events, n), n, config.graph_layers)
            self.own_graph = Graph(*own, n, config.graph_layers)

    def forward(self, ctx: PartContext) -> Tensor:
        """States (B, S, domains w), one per token."""
        tokens = ctx.tokens
        domain = torch.where(tokens.event >= 0, tokens.domain, -1)
        known = torch.where(tokens.valid, domain, -1)
        x = own_block(tokens.x, domain, self.n_domains)  # (B, S, w)
        ahead, own_ahead = self._ahead(ctx)
        mixed = self.mixed(ctx, x + self._at_items(ctx, ahead), tokens.position)
        carried = self._own(ctx, x + self._at_items(ctx, own_ahead), known)
        if ctx.wants(MIXED):
            ctx.publish(MIXED, mixed)
        if ctx.wants(OWN):
            own = [each * (known == d).unsqueeze(-1) for d, each in enumerate(carried)]
            ctx.publish(OWN, torch.stack(own).sum(dim=0))
        if ctx.wants(CORRUPTED) and ctx.phase == "train":
            ctx.publish(CORRUPTED, self._corrupted(ctx, x, known, ahead))
        return torch.cat([mixed + each for each in carried], dim=-1)

    def _own(self, ctx: PartContext, x: Tensor, known: Tensor) -> list[Tensor]:
        """For each domain the state of its own encoder that each token carries, (B, S, w) each."""
        own = known[..., None] == torch.arange(self.n_domains, device=known.device)  # (B, S, domains)
        sizes = own.sum(dim=1).amax(dim=0).clamp_min(1).tolist()  # one place at least: all domains draw alike
        candidate = _candidates(ctx)
        carried = []
        for d, encoder in enumerate(self.own):
            apart = Apart(ctx, own[..., d], candidate, sizes[d])
            carried.append(apart.carry(encoder(apart, apart.take(x), apart.position)))
        return carried

    def _corrupted(self, ctx: PartContext, x: Tensor, known: Tensor, ahead: Tensor | None) -> Tensor:
        """States of the mixed encoder after sequences in which one domain's items are others of it, drawn at random;
        for each domain, (domains, B, S, w).
        """
        tokens, items = ctx.tokens, ctx.batch.items
        other = self._others(ctx)
        change = self._item_vectors(ctx, other) - self._item_vectors(ctx, items)
        if ahead is not None:
            change = change + _rows(ahead, other) - _rows(ahead, items)
        plain = x + self._at_items(ctx, ahead)
        moved = plain + _spread(ctx, change)
        every = torch.arange(self.n_domains, device=known.device)[:, None, None, None]
        versions = torch.where(known.unsqueeze(-1) == every, moved, plain)  # (domains, B, S, w)
        position = tokens.position.repeat(self.n_domains, 1)
        states: Tensor = self.mixed(Plain(ctx, self.n_domains), versions.flatten(0, 1), position)
        return states.view_as(versions)

    def _others(self, ctx: PartContext) -> Tensor:
        """For each event an item of its item's domain, all equally likely, (B, T); 0 where that is not known."""
        batch = ctx.batch
        rows, events = batch.items.shape
        shape = (max(self.window, events), rows)  # of the window, so that padding moves no draw
        share = torch.rand(shape, generator=ctx.generator, device=batch.items.device, dtype=torch.float64)[:events].T
        at = batch.domains.clamp_min(0)
        first, size = self.starts[at], self.starts[at + 1] - self.starts[at]
        last = (size - 1).clamp_min(0)
        place = first + torch.minimum((share * size).to(torch.int64), last)
        drawn = self.members[place.clamp_max(len(self.members) - 1)]
        there = batch.valid & (batch.domains >= 0) & (batch.items > 0) & (size > 0)
        return torch.where(there, drawn, batch.items)

    def _item_vectors(self, ctx: PartContext, items: Tensor) -> Tensor:
        """The own block of items (B, T) in their events' domains, (B, T, w)."""
        return own_block(ctx.embed(items), ctx.batch.domains, self.n_domains)

    def _ahead(self, ctx: PartContext) -> tuple[Tensor | None, Tensor | None]:
        """What the two graphs make of all item vectors, (N, w) each; None where there is no graph."""
        if self.graph is None or self.own_graph is None:
            return None, None
        every = torch.arange(1, len(self.domain) + 1, device=self.domain.device)
        vectors = own_block(ctx.embed(every), self.domain, self.n_domains)

        def drop(x: Tensor) -> Tensor:
            return ctx.dropout(x, self.rate)

        return self.graph(vectors, drop), self.own_graph(vectors, drop)

    def _at_items(self, ctx: PartContext, ahead: Tensor | None) -> Tensor | float:
        """What the graph adds to each token, (B, S, w)."""
        return 0.0 if ahead is None else _spread(ctx, _rows(ahead, ctx.batch.items))


def _rows(table: Tensor, items: Tensor) -> Tensor:
    """Rows (B, T, w) of a table (N, w) for items (B, T); 0 for id 0."""
    return F.embedding((items - 1).clamp_min(0), table) * (items > 0).unsqueeze(-1)


def _spread(ctx: PartContext, values: Tensor) -> Tensor:
    """Values of events' items (B, T, w) at the tokens that hold them, (B, S, w); 0 at others."""
    tokens = ctx.tokens
    at = tokens.event.clamp_min(0).unsqueeze(-1).expand(-1, -1, values.shape[-1])
    holds = (tokens.event >= 0) & (tokens.kind != Kind.ACTION)
    return values.gather(1, at) * holds.unsqueeze(-1)


def _candidates(ctx: PartContext) -> Tensor | None:
    """Tokens of candidates (B, S) bool, None where there is none."""
    if not bool(ctx.batch.candidate.any()):
        return None
    event = ctx.tokens.event
    return torch.where(event >= 0, ctx.batch.candidate.gather(1, event.clamp_min(0)), False)
