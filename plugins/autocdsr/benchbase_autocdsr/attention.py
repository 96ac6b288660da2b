"""The objective: how much attention leaves an event's own domain."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output, Tokens

from .config import CrossDomainConfig


class CrossDomainAttention(Objective):
    """Attention from events to events of other domains; hidden and padded ones, and those of no domain, are left out.

    The forward pass is the backbone's: the loss measures, and only its gradient changes anything.

    Source: AutoCDSR, a_cd.
    """

    def __init__(self, config: CrossDomainConfig, context: BuildContext):
        super().__init__()
        self.config, self.n_domains = config, context.n_domains

    def groups(self, tokens: Tokens) -> Tensor:
        """One group of keys a domain, (B, S, domains)."""
        return F.one_hot(tokens.domain.clamp_min(0), self.n_domains) * _known(tokens).unsqueeze(-1)

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`mass`: a scalar by the norm that was chosen."""
        tokens = output.tokens
        known = _known(tokens)
        own = self.groups(tokens).to(torch.bool)
        masses = output.masses[-1:] if self.config.layers == "last" else output.masses
        left = torch.stack([mass.mean(dim=1).masked_fill(own, 0).sum(dim=-1) for mass in masses])  # (layers, B, S)
        rows = left.sum(dim=0) if self.config.layers == "sum" else left.mean(dim=0)
        return {"mass": self._normed(rows * known, known, own)}

    def _normed(self, rows: Tensor, known: Tensor, own: Tensor) -> Tensor:
        """The mass of each query (B, S) as one number."""
        if self.config.norm == "row":
            return rows.sum() / known.sum().clamp_min(1)
        if self.config.norm == "sum":
            return rows.sum() / known.any(dim=1).sum().clamp_min(1)
        counts = own.sum(dim=1).to(rows.dtype)  # (B, domains)
        pairs = counts.sum(dim=1).square() - counts.square().sum(dim=1)
        mixed = pairs > 0
        return (rows.sum(dim=1) / pairs.clamp_min(1))[mixed].sum() / mixed.sum().clamp_min(1)


def _known(tokens: Tokens) -> Tensor:
    """Tokens of an event whose domain is known, (B, S)."""
    return tokens.valid & (tokens.domain >= 0) & (tokens.event >= 0)
