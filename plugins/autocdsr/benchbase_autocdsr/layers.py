"""One layer of every domain's encoder, all domains in one product, each with weights of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase.nn import PartContext, attend, init_normal

from .config import DomainEncodersConfig

EPS = 1e-6
"""Added to the mean square by every norm."""


class DomainLayer(nn.Module):
    """h + drop(attention(norm h)), then h + drop(f(norm h)), then a norm; root mean squares, maps without biases.

    Source: Raffel et al. 2020, Exploring the limits of transfer learning with a unified text-to-text Transformer
    (T5), section 2.1, whose encoders of one layer the release of AutoCDSR+ strings together.
    """

    def __init__(self, config: DomainEncodersConfig, n_domains: int):
        super().__init__()
        self.config, width, hidden = config, config.width, config.ffn * config.width

        def maps(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(init_normal(torch.empty(n_domains, rows, columns)))

        self.qkv, self.out = maps(width, 3 * width), maps(width, width)
        self.rise, self.fall = maps(width, hidden), maps(hidden, width)
        self.gains = nn.Parameter(torch.ones(3, n_domains, 1, 1, width))

    def forward(self, ctx: PartContext, h: Tensor, mask: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(domains, B, S, D) of the same shape, and the attention mass (domains, B, S, G), a mean over heads.

        `mask` (domains B, 1, 1 or S, S) bool; `groups` (1, S, G) of keys, or None for no mass.
        """
        rate = self.config.dropout
        attended, mass = self._attended(ctx, self._norm(0, h), mask, groups)
        h = h + ctx.dropout(_mapped(attended, self.out), rate)
        inner = ctx.dropout(F.relu(_mapped(self._norm(1, h), self.rise)), rate)
        return self._norm(2, h + ctx.dropout(_mapped(inner, self.fall), rate)), mass

    def _attended(self, ctx: PartContext, h: Tensor, mask: Tensor,
                  groups: Tensor | None) -> tuple[Tensor, Tensor | None]:
        heads, rate, drop = self.config.heads, self.config.attention_dropout, None
        if rate > 0 and ctx.phase == "train":
            drop = lambda w: ctx.dropout(w, rate)  # noqa: E731
        n_domains, rows, length, width = h.shape
        split = _mapped(h, self.qkv).view(n_domains * rows, length, 3, heads, width // heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        made = attend(q, k, v, mask=mask, groups=None if groups is None else groups.expand(len(q), -1, -1),
                      scale=self.config.attention_scale, drop=drop)
        out = made.out.transpose(1, 2).flatten(2).view_as(h)
        return out, None if made.mass is None else made.mass.mean(dim=1).view(n_domains, rows, length, -1)

    def _norm(self, which: int, h: Tensor) -> Tensor:
        return F.rms_norm(h, h.shape[-1:], eps=EPS) * self.gains[which]


def _mapped(h: Tensor, maps: Tensor) -> Tensor:
    """(domains, B, S, any) by each domain's own map (domains, any, other)."""
    return torch.bmm(h.flatten(1, 2), maps).view(*h.shape[:3], -1)
