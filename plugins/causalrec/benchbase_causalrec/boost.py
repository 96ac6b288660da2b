"""The modifier: a relation between events, found after layer k, changes the attention of the layers that follow."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.errors import ConfigError
from benchbase.nn import Boost, Modifier, PartContext

from .acyclicity import penalties, sizes
from .config import CausalBoostConfig
from .relation import bilinear, coefficients, covariance, factor_of, standardised, strength


class CausalBoost(Modifier):
    """Attention weights times 1 + alpha R, or those alone whose R is strong; one R for all heads and layers.

    R (B, T, T) is between events: the tokens of an event share its row and its column, others have neither. Publishes
    `relation`, R as discovered, and for objectives that read them `acyclicity`, h of each sequence, and `sparsity`, the
    mean of |R| over ordered pairs of its events.
    Source: the paper's eq. (7) and (9); what it leaves open stands in the README.
    """

    def __init__(self, config: CausalBoostConfig, context: BuildContext):
        super().__init__()
        if context.n_layers <= config.after:
            raise ConfigError([f"causal_boost: after is {config.after}, of {context.n_layers} layers. Expected a layer "
                               f"behind it to change. Take more layers, or after={max(context.n_layers - 1, 1)}."])
        self.config = config
        self.matrix = nn.Parameter(torch.eye(context.width)) if config.r_source == "bilinear" else None

    def states(self, ctx: PartContext, layer: int, h: Tensor) -> None:
        """Find the relation in the hiddens after the last plain layer; they stay as they are."""
        if layer != self.config.after - 1:
            return
        tokens = ctx.tokens
        with torch.autocast(h.device.type, enabled=False):
            relation = self._discover(h[:, tokens.n_prefix :: tokens.per_event], ctx)
            ctx.publish("relation", relation)
            if ctx.phase == "train" and (ctx.wants("acyclicity") or ctx.wants("sparsity")):
                nodes = ctx.batch.valid & ~ctx.batch.candidate
                h, edges = self._penalties(_among(nodes, relation) if bool(ctx.batch.candidate.any()) else relation)
                events = nodes.sum(dim=1)
                ctx.publish("acyclicity", h)
                ctx.publish("sparsity", edges / (events * (events - 1)).clamp_min(1))
            ctx.scratch["relation"] = relation.detach() if self.config.detach else relation

    def boost(self, ctx: PartContext, layer: int) -> Boost | None:
        if not self._acts(layer):
            return None
        return Boost(self._factor(ctx), renormalise=self.config.renormalised)

    def mask(self, ctx: PartContext, layer: int) -> Tensor | None:
        return self._kept(ctx) if self._acts(layer) else None

    def weights(self, ctx: PartContext, layer: int, w: Tensor) -> Tensor:
        changed = w * (self._kept(ctx) if self.config.variant == "filter" else self._factor(ctx))
        if not self.config.renormalised:
            return changed
        total = changed.sum(dim=-1, keepdim=True)
        return changed / torch.where(total == 0, 1.0, total)

    def changes_weights(self, layer: int) -> bool:
        return self._acts(layer)

    def _acts(self, layer: int) -> bool:
        return layer >= self.config.after and (self.config.variant == "filter" or self.config.alpha > 0)

    def _discover(self, h: Tensor, ctx: PartContext) -> Tensor:
        """The relation (B, T, T) of the events' hiddens (B, T, D), eq. (7)."""
        valid = ctx.batch.valid
        if self.config.r_source == "sem":  # a coefficient depends on all events before: candidates are none of these
            z = standardised(h, valid & ~ctx.batch.candidate)
            return coefficients(z, self.config.ridge, self.config.max_nodes)
        z = standardised(h, valid)
        return covariance(z) if self.matrix is None else bilinear(z, self.matrix.to(z.dtype))

    def _penalties(self, relation: Tensor) -> tuple[Tensor, Tensor]:
        """h and the sum of |R|, both (B); in the order of time no cycle is possible."""
        if self.config.r_source != "sem":
            return penalties(relation, self.config.bound, self.config.max_nodes)
        return relation.new_zeros(len(relation)), sizes(relation)

    def _factor(self, ctx: PartContext) -> Tensor:
        """1 + alpha R over tokens, (B, 1, S, S), 1 where a token is no event's. Made once for all layers."""
        if "factor" not in ctx.scratch:
            factor = factor_of(ctx.scratch["relation"], self.config.sign, self.config.alpha)
            ctx.scratch["factor"] = _over_tokens(factor, ctx, 1.0)
        made: Tensor = ctx.scratch["factor"]
        return made

    def _kept(self, ctx: PartContext) -> Tensor:
        """Which keys a query keeps, (B, 1, S, S) bool: strong relations, its own event, and all tokens of no event.

        Strong: above a share of the strongest that the core's mask lets it attend to. Where all are 0 the row stays.
        """
        if "kept" not in ctx.scratch:
            strong = _over_tokens(strength(ctx.scratch["relation"].detach(), self.config.sign), ctx, 0.0)
            strong = torch.where(ctx.base_mask, strong, 0.0)
            largest = strong.amax(dim=-1, keepdim=True)
            event = ctx.tokens.event[:, None, :]
            own = (event[..., None] == event[..., None, :]) | (event < 0)[..., None, :] | (event < 0)[..., None]
            ctx.scratch["kept"] = (strong > self.config.threshold * largest) | own | (largest <= 0)
        kept: Tensor = ctx.scratch["kept"]
        return kept


def _among(nodes: Tensor, relation: Tensor) -> Tensor:
    """The relation between these events (B, T) alone."""
    return relation * (nodes[:, :, None] & nodes[:, None, :])


def _over_tokens(matrix: Tensor, ctx: PartContext, fill: float) -> Tensor:
    """A matrix between events (B, T, T) as one between tokens (B, 1, S, S)."""
    each, before = ctx.tokens.per_event, ctx.tokens.n_prefix
    if each > 1:
        matrix = matrix.repeat_interleave(each, dim=1).repeat_interleave(each, dim=2)
    if before:
        matrix = F.pad(matrix, (before, 0, before, 0), value=fill)
    return matrix.unsqueeze(1)
