"""AutoCDSR+: domains see themselves alone, and a few tokens through which all of them talk."""

import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Modifier, Objective, Output, PartContext, PrefixTokens, Tokens, init_linear, init_normal

from .config import BottleneckAttentionConfig, BottleneckConfig

SEGMENT = 6
"""The segment of these tokens, by which they are found among others."""


class BottleneckTokens(Modifier):
    """Items of a domain attend to each other and to the domain's own tokens, which read its items and, after a layer,
    become one with those of the other domains. Hidden events, whose domain nobody knows, see and are seen by all.

    Source: AutoCDSR+, information-bottleneck tokens; combined by sum in the paper, by mean in the release.
    """

    def __init__(self, config: BottleneckConfig, context: BuildContext):
        super().__init__()
        self.config, self.n_domains = config, context.n_domains
        self.table = nn.Parameter(init_normal(torch.empty(1, context.n_domains * config.tokens, context.width)))
        self.query = self.key = self.gate = None
        if config.combine == "attention":
            self.query, self.key = (nn.Linear(context.width, context.width, bias=False) for _ in range(2))
            init_linear(self.query, self.key)  # all weigh nearly the same at first
        elif config.combine == "gate":
            self.gate = nn.Linear(2 * context.width, context.width)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

    def prefix(self, ctx: PartContext) -> PrefixTokens:
        """The tokens of every domain, side by side; those of domains that a row lacks are not there for it."""
        domain = torch.arange(self.n_domains, device=self.table.device).repeat_interleave(self.config.tokens)
        ctx.publish("ib_tokens", self.table)  # so that `ib_attention` is refused where there are none
        return PrefixTokens(self.table, valid=self._present(ctx.batch).repeat_interleave(self.config.tokens, dim=1),
                            timestamp=_latest(ctx.batch, domain), domain=domain[None], segment=SEGMENT)

    def mask(self, ctx: PartContext, layer: int) -> Tensor | None:
        """Own domain alone, (B, 1, S, S), but for the last, shared layers."""
        if layer >= ctx.n_layers - self.config.shared_layers:
            return None
        domain = ctx.tokens.domain
        unknown = domain < 0
        same = domain[:, :, None] == domain[:, None, :]
        return (same | unknown[:, :, None] | unknown[:, None, :]).unsqueeze(1)

    def states(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        """The hidden with the tokens of all domains combined, in the layers that were chosen."""
        if self.config.after is not None and layer not in self.config.after:
            return h
        start = int((ctx.tokens.segment[0] == SEGMENT).nonzero()[0])
        stop = start + self.n_domains * self.config.tokens
        tokens = h[:, start:stop].reshape(len(h), self.n_domains, self.config.tokens, -1)  # (B, domains, k, D)
        combined = self._combined(tokens, self._present(ctx.batch)[:, :, None, None])
        return torch.cat([h[:, :start], combined.flatten(1, 2), h[:, stop:]], dim=1)

    def _combined(self, tokens: Tensor, present: Tensor) -> Tensor:
        here = tokens * present
        whole = here.sum(dim=1, keepdim=True)
        if self.config.combine == "sum":
            return whole.expand_as(tokens)
        mean = whole / present.sum(dim=1, keepdim=True).clamp_min(1)
        if self.config.combine == "mean":
            return mean.expand_as(tokens)
        if self.gate is not None:
            share = torch.sigmoid(self.gate(torch.cat([tokens, mean.expand_as(tokens)], dim=-1)))
            return tokens + share * (mean - tokens)
        assert self.query is not None and self.key is not None
        asks, keys = (part(tokens).transpose(1, 2) for part in (self.query, self.key))  # (B, k, domains, D)
        scores = asks @ keys.transpose(-1, -2) * tokens.shape[-1] ** -0.5
        scores = scores.masked_fill(~present.transpose(1, 2).transpose(-1, -2), torch.finfo(scores.dtype).min)
        mixed: Tensor = scores.softmax(dim=-1) @ here.transpose(1, 2)
        return mixed.transpose(1, 2)

    def _present(self, batch: Batch) -> Tensor:
        """Which domains a row has events of, (B, domains) bool."""
        known = torch.where(batch.valid, batch.domains, -1)
        return (known[:, :, None] == torch.arange(self.n_domains, device=known.device)).any(dim=1)


def _latest(batch: Batch, domain: Tensor) -> Tensor:
    """The latest time that the tokens of each domain use, (B, tokens)."""
    own = batch.valid[:, :, None] & (batch.domains[:, :, None] == domain)
    return (batch.timestamps[:, :, None] * own).amax(dim=1)


class BottleneckAttention(Objective):
    """The share of attention that items give to the tokens of `ib_tokens`: what crosses domains.

    Source: AutoCDSR+, as released; here a mean over items of a known domain, and over layers.
    """

    def __init__(self, config: BottleneckAttentionConfig, context: BuildContext):
        super().__init__()
        self.config = config

    def groups(self, tokens: Tokens) -> Tensor:
        """One group of keys, (B, S, 1): these tokens."""
        return ((tokens.segment == SEGMENT) & tokens.valid).unsqueeze(-1)

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`mass`: from 0 to 1."""
        tokens = output.tokens
        asks = tokens.valid & (tokens.domain >= 0) & (tokens.event >= 0)
        masses = output.masses[-1:] if self.config.layers == "last" else output.masses
        each = torch.stack([(mass.mean(dim=1).squeeze(-1) * asks).sum() for mass in masses]) / asks.sum().clamp_min(1)
        return {"mass": each.sum() if self.config.layers == "sum" else each.mean()}
