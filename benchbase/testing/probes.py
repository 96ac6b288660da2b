"""Probes: one small technique of every shape that the contracts must carry, each plain at `strength` 0.

They stand for no paper. Every pair of them must train and score together on every backbone; so will the
techniques that have their shape.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..data.batches import Batch, Targets
from ..data.sequences import Events
from ..nn import (
    Combiner,
    CombinerParameters,
    Compressor,
    DevicePlan,
    Encoder,
    EncoderContext,
    ItemBias,
    Modifier,
    Objective,
    Output,
    PartContext,
    Plan,
    PrefixTokens,
    Tokens,
    init_normal,
)
from ..specs import (
    BuildContext,
    CombinerConfig,
    CombinerSpec,
    CompressorSpec,
    Config,
    EncoderSpec,
    ModifierSpec,
    Needs,
    ObjectiveSpec,
)

SOURCE = "benchbase.testing"


class ProbeConfig(Config):
    """How much a probe does; 0 is the plain backbone, exactly."""

    strength: float = Field(1.0, ge=0, description="how much it does")


class RelationConfig(ProbeConfig):
    """A probe's strength, and the layer after which it looks."""

    after: int = Field(0, ge=0, description="layer whose states are related; later layers are changed")


class Relation(Modifier):
    """Weights and trace: later layers' weights grow where an early layer's states agree; no renormalising."""

    def __init__(self, config: RelationConfig, context: BuildContext):
        super().__init__()
        self.strength, self.after = config.strength, config.after

    def states(self, ctx: PartContext, layer: int, h: Tensor) -> None:
        if layer == self.after:
            z = F.layer_norm(h, h.shape[-1:])
            relation = (z @ z.transpose(-1, -2)).abs() / h.shape[-1]  # (B, S, S)
            valid = ctx.tokens.valid
            relation = relation * (valid[:, :, None] & valid[:, None, :])
            ctx.scratch["relation"] = relation
            ctx.publish("relation", relation)

    def changes_weights(self, layer: int) -> bool:
        return self.strength > 0 and layer > self.after

    def weights(self, ctx: PartContext, layer: int, w: Tensor) -> Tensor:
        relation: Tensor = ctx.scratch["relation"]
        return w * (1 + self.strength * relation.unsqueeze(1))


class SparseRelation(Objective):
    """Reads the trace that `probe_relation` publishes: its mean over pairs of valid tokens."""

    def __init__(self, config: ProbeConfig, context: BuildContext):
        super().__init__()
        self.strength = config.strength

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        if self.strength == 0:
            return {}
        pairs = output.tokens.valid.sum(1).square().sum().clamp_min(1)
        return {"sparse": self.strength * output.traces["relation"].sum() / pairs}


class Feedback(Modifier):
    """Mask, value and readout: no token sees itself, values hold actions, the readout adds earlier actions."""

    def __init__(self, config: ProbeConfig, context: BuildContext):
        super().__init__()
        self.strength = config.strength
        self.readout_width = context.state_width + context.width if config.strength > 0 else None

    def mask(self, ctx: PartContext, layer: int) -> Tensor | None:
        if self.strength == 0:
            return None
        x = ctx.tokens.x
        return ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)[None, None]

    def value(self, ctx: PartContext, layer: int, h: Tensor) -> Tensor:
        return h if self.strength == 0 else h + self.strength * ctx.tokens.action

    def readout(self, ctx: PartContext, h: Tensor) -> Tensor | None:
        if self.strength == 0:
            return None
        action = ctx.tokens.action
        earlier = action.cumsum(1) - action
        return torch.cat([h, earlier / torch.arange(1, h.shape[1] + 1, device=h.device)[:, None]], dim=-1)


class DomainMass(Objective):
    """Groups of keys: attention that leaves an event's domain, as a share, is a loss of its own."""

    def __init__(self, config: ProbeConfig, context: BuildContext):
        super().__init__()
        self.strength, self.n_domains = config.strength, context.n_domains

    def groups(self, tokens: Tokens) -> Tensor | None:
        if self.strength == 0:
            return None
        known = tokens.valid & (tokens.domain >= 0)
        return F.one_hot(tokens.domain.clamp_min(0), self.n_domains) * known.unsqueeze(-1)

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        if self.strength == 0:
            return {}
        groups = self.groups(output.tokens)
        assert groups is not None
        asked = groups.sum(-1)  # (B, S): 1 where the domain is known
        leaves = torch.stack([(mass.mean(1) * (1 - groups)).sum(-1) for mass in output.masses]).mean(0)
        return {"leaves": self.strength * (leaves * asked).sum() / asked.sum().clamp_min(1)}


class BalanceConfig(ProbeConfig, CombinerConfig):
    """The two losses, and how large the other's step is beside the main one's."""

    balance: tuple[str, str] = Field(("tiny_softmax.softmax", "probe_domain_mass.leaves"), description="the two losses")


class Balance(Combiner):
    """Scales the second loss's gradient to `strength` times the first's length on the shared parameters."""

    steps: Tensor

    def __init__(self, config: BalanceConfig, context: BuildContext):
        super().__init__()
        self.strength = config.strength
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def combine(self, losses: Any, parameters: CombinerParameters) -> dict[str, float]:
        grads = [
            torch.autograd.grad(loss, parameters.all, retain_graph=True, allow_unused=True)
            for loss in losses.values()
        ]
        shared = {id(p) for p in parameters.shared}
        main, other = (
            sum(float(g.square().sum()) for p, g in zip(parameters.all, each, strict=True)
                if g is not None and id(p) in shared) ** 0.5 for each in grads
        )
        factor = self.strength * main / other if other > 0 else 0.0
        for parameter, first, second in zip(parameters.all, *grads, strict=True):
            if first is None or second is None or factor == 0:
                parameter.grad = first if second is None or factor == 0 else factor * second
            else:
                parameter.grad = first + factor * second
        self.steps += 1
        return dict(zip(losses, (1.0, factor), strict=True))


class TokensConfig(Config):
    """How many tokens a probe puts before the events; 0 is the plain backbone, exactly."""

    strength: int = Field(2, ge=0, description="tokens")


class Learned(Modifier):
    """Prefix: learned tokens that every event may read."""

    def __init__(self, config: TokensConfig, context: BuildContext):
        super().__init__()
        self.table = nn.Parameter(init_normal(torch.empty(1, config.strength, context.width)))

    def prefix(self, ctx: PartContext) -> PrefixTokens | None:
        return PrefixTokens(self.table) if self.table.shape[1] else None


class Recent(Compressor):
    """History and displacement: each token is the mean of a few older items and costs one window event."""

    EACH = 3
    """Items in one token."""

    def __init__(self, config: TokensConfig, context: BuildContext):
        super().__init__()
        self.max_tokens = config.strength

    def plan(self, history: Events, window: Events, budget: int) -> Plan:
        lengths = history.lengths
        tokens = np.minimum(-(-lengths // self.EACH), self.max_tokens)
        shape = (history.n_rows, self.max_tokens, self.EACH)
        back = np.arange(shape[1] * shape[2])  # the newest events first
        at = np.where(back < lengths[:, None], history.offsets[1:, None] - 1 - back, len(history.item))
        item, time = (np.append(column, 0)[at].reshape(shape).astype(np.int64)
                      for column in (history.item, history.timestamp))
        displaced = np.clip(tokens + window.lengths - budget, 0, np.maximum(window.lengths - 1, 0))
        return Plan(tokens, displaced, time[:, :, 0], {"items": item})

    def encode(self, plan: DevicePlan, embed: Any) -> PrefixTokens:
        items = plan.arrays["items"][:, : plan.latest.shape[1]]
        x = embed(items).sum(2) / (items > 0).sum(2, keepdim=True).clamp_min(1)
        return PrefixTokens(x, valid=plan.used, timestamp=plan.latest, segment=2)


class Popularity(Objective):
    """Example weights and score terms: rare items weigh more, and a known term per item joins the score."""

    counts: Tensor

    def __init__(self, config: "PopularityConfig", context: BuildContext):
        super().__init__()
        self.strength, self.matrix = config.strength, config.matrix
        self.register_buffer("counts", torch.as_tensor(np.asarray(context.item_counts)[1:]).clamp_min(1))

    def example_weights(self, targets: Targets, batch: Batch) -> Tensor | None:
        if self.strength == 0:
            return None
        return self.counts[targets.item - 1].to(targets.weights.dtype) ** -self.strength

    def score_term(self, batch: Batch, items: Tensor, phase: str) -> Tensor | ItemBias | None:
        if self.strength == 0:
            return None
        term = self.strength * self.counts.to(batch.actions.dtype).log()
        if not self.matrix:
            return ItemBias(term)
        return term[items - 1] / batch.lengths[:, None]


class PopularityConfig(ProbeConfig):
    """A probe's strength, and the form of its score term."""

    matrix: bool = Field(False, description="a term per row and item instead of one per item")


class Facts(Encoder):
    """Features of items: a vector for each label of the catalogue's first column of categories, added up."""

    labels: Tensor

    def __init__(self, config: ProbeConfig, context: BuildContext):
        super().__init__()
        self.strength = config.strength
        categories = next(iter(context.catalogue.categories.values()))
        labels = np.zeros((context.n_items, len(categories.labels)), np.float32)
        labels[np.repeat(np.arange(context.n_items), np.diff(categories.offsets[1:])), categories.values] = 1
        self.register_buffer("labels", torch.from_numpy(labels), persistent=False)
        self.table = nn.Parameter(init_normal(torch.empty(len(categories.labels), context.width)))

    def forward(self, items: Tensor, ctx: EncoderContext) -> Tensor:
        return self.strength * ctx.dropout(self.labels[items - 1] @ self.table, 0.2)


probe_relation = ModifierSpec(
    name="probe_relation", config=RelationConfig, build=Relation, source=SOURCE, sites=frozenset({"states", "weights"}),
    publishes=frozenset({"relation"}),
)
probe_sparse = ObjectiveSpec(
    name="probe_sparse", config=ProbeConfig, build=SparseRelation, source=SOURCE,
    needs=Needs(traces=frozenset({"relation"})),
)
probe_feedback = ModifierSpec(
    name="probe_feedback", config=ProbeConfig, build=Feedback, source=SOURCE,
    sites=frozenset({"mask", "value", "readout"}), needs=Needs(layouts=frozenset({"items"}), actions=True),
)
probe_domain_mass = ObjectiveSpec(
    name="probe_domain_mass", config=ProbeConfig, build=DomainMass, source=SOURCE,
    needs=Needs(groups=True, domains=True),
)
probe_balance = CombinerSpec(name="probe_balance", config=BalanceConfig, build=Balance, source=SOURCE)
probe_prefix = ModifierSpec(
    name="probe_prefix", config=TokensConfig, build=Learned, source=SOURCE, sites=frozenset({"prefix"})
)
probe_recent = CompressorSpec(name="probe_recent", config=TokensConfig, build=Recent, source=SOURCE)
probe_facts = EncoderSpec(name="probe_facts", config=ProbeConfig, build=Facts, source=SOURCE,
                          needs=Needs(categories=True))
probe_popularity = ObjectiveSpec(name="probe_popularity", config=PopularityConfig, build=Popularity, source=SOURCE)

PROBES: dict[str, dict[str, Any]] = {
    "relation": {"modifiers": [probe_relation], "objectives": [probe_sparse]},
    "feedback": {"modifiers": [probe_feedback]},
    "mass": {"objectives": [probe_domain_mass], "combiner": probe_balance},
    "history": {"modifiers": [probe_prefix], "compressor": probe_recent},
    "popularity": {"objectives": [probe_popularity]},
    "facts": {"encoders": [probe_facts]},
}
"""What each shape of technique adds to a configuration, at full strength."""


def together(*names: str, strength: float | None = None) -> dict[str, Any]:
    """The parts of several probes, for `configure`; `strength` replaces each default."""
    def chosen(spec: Any) -> Any:
        return spec if strength is None else (spec, {"strength": strength})

    parts: dict[str, Any] = {"modifiers": [], "objectives": [], "encoders": []}
    for name in names:
        for key, value in PROBES[name].items():
            if isinstance(value, list):
                parts[key] = [*parts[key], *map(chosen, value)]
            elif strength != 0 or key != "combiner":  # nothing is there to balance
                parts[key] = chosen(value)
    return parts
