"""Build a model straight from specs, and take one training step: for tests that need no suite."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batches import Batch, Targets
from ..nn import (
    ActionEmbedding,
    Combiner,
    CombinerParameters,
    Encoded,
    ItemEmbedding,
    Objective,
    Output,
    Scorer,
    SequenceModel,
    TaggedParameter,
    Tokens,
    Traits,
    UserEmbedding,
    init_linear,
)
from ..specs import BackboneSpec, BuildContext, Config, LayoutConfig, ScorerConfig, Spec
from .world import tiny_context

Part = Spec | tuple[Spec, Config | Mapping[str, Any] | None]
"""A spec alone, with its default parameters, or with the parameters to build it with."""


def part_config(spec: Spec, config: Config | Mapping[str, Any] | None) -> Config:
    """Parameters of a part: as given, or made from a mapping, or the defaults."""
    return config if isinstance(config, Config) else spec.config(**(config or {}))


def make_model(
    backbone: BackboneSpec, config: Config | Mapping[str, Any] | None = None, *,
    modifiers: Sequence[Part] = (), objectives: Sequence[Part] = (), compressor: Part | None = None,
    layout: LayoutConfig | str = "items", scorer: ScorerConfig | None = None,
    context: BuildContext | None = None, n_items: int = 30, seed: int = 0,
) -> SequenceModel:
    """A model of these parts, each initialised from hash(seed, kind, name) as in a run."""
    layout = LayoutConfig.model_validate({"kind": layout}) if isinstance(layout, str) else layout
    context = replace(context or tiny_context(n_items), layout=layout.kind)
    body = _build(backbone, part_config(backbone, config), context, seed)
    context = replace(context, width=body.width, n_heads=body.n_heads, n_layers=body.n_layers)
    changes = {spec.name: (spec, chosen, _build(spec, chosen, context, seed)) for spec, chosen in _parts(modifiers)}
    terms = {spec.name: _build(spec, chosen, context, seed) for spec, chosen in _parts(objectives)}
    short = [_build(spec, chosen, context, seed) for spec, chosen in _parts([compressor] if compressor else [])]
    masked = backbone.resolve("training", part_config(backbone, config)) == "masked"
    with _seeded(seed, "core", "tables"):
        embedding = ItemEmbedding(context.n_items, body.width, hidden=masked)
        actions = ActionEmbedding(len(context.action_names), body.width) if context.action_names else None
    with _seeded(seed, "core", "users"):
        users = UserEmbedding(context.n_users, body.width) if layout.user_token else None
    with _seeded(seed, "core", "scorer"):
        scored = Scorer(scorer or ScorerConfig(), embedding)
    model = SequenceModel(
        embedding, layout, body, scored, _traits(backbone, part_config(backbone, config), body, changes),
        {name: torch.Generator().manual_seed(_number(seed, name, "draw"))
         for name in ("backbone", *(f"modifier.{name}" for name in changes))},
        {name: part for name, (_, _, part) in changes.items()}, terms, short[0] if short else None,
        actions, users, _readout(body.width, [part for _, _, part in changes.values()], seed),
    )
    bind(model)
    return model


def bind(model: SequenceModel) -> None:
    """Tell every objective the parameters of the model."""
    tagged = tagged_parameters(model)
    for objective in model.objectives.values():
        objective.bind(tagged)  # type: ignore[operator]


def tagged_parameters(model: SequenceModel) -> list[TaggedParameter]:
    """Every parameter with the part it belongs to."""
    tags = {"embedding": "embedding", "actions": "embedding", "users": "embedding", "scorer": "head",
            "readout": "head", "objectives": "objective"}
    return [
        TaggedParameter(name, tags.get(name.partition(".")[0], "encoder"), parameter)  # type: ignore[arg-type]
        for name, parameter in model.named_parameters()
    ]


@dataclass(frozen=True)
class Step:
    """What one training step computed: losses by objective.term, the output they read, and the weights used."""

    losses: Mapping[str, Tensor]
    output: Output
    encoded: Encoded
    weights: Mapping[str, float]


def forward(model: SequenceModel, batch: Batch, targets: Targets, phase: Any = "train") -> Step:
    """Encode a batch and ask every objective for its losses, example weights applied first."""
    objectives: dict[str, Any] = dict(model.objectives.items())
    for objective in objectives.values():
        if (factor := objective.example_weights(targets, batch)) is not None:
            targets = replace(targets, weights=targets.weights * factor)
    groups = Groups(objectives)
    encoded = model.encode(batch, phase, groups if groups.asked else None)
    output = model.output(encoded, batch, targets, phase)
    losses: dict[str, Tensor] = {}
    for name, objective in objectives.items():
        own = replace(output, masses=groups.of(name, encoded.masses))
        losses |= {f"{name}.{term}": loss for term, loss in objective.losses(own, targets, batch).items()}
    return Step(losses, output, encoded, {})


class Groups:
    """The groups of keys of all objectives side by side, and each one's columns of the mass."""

    def __init__(self, objectives: Mapping[str, Any]):
        self.asked = {n: o for n, o in objectives.items() if type(o).groups is not Objective.groups}
        self._columns: dict[str, slice] = {}

    def __call__(self, tokens: Tokens) -> Tensor | None:
        found = {name: groups for name, o in self.asked.items() if (groups := o.groups(tokens)) is not None}
        start = 0
        for name, groups in found.items():
            self._columns[name] = slice(start, start := start + groups.shape[-1])
        return torch.cat(list(found.values()), dim=-1) if found else None

    def of(self, name: str, masses: Sequence[Tensor]) -> list[Tensor]:
        """One objective's mass per layer; none if it asked for none."""
        return [mass[..., self._columns[name]] for mass in masses] if name in self._columns else []


def train_step(
    model: SequenceModel, batch: Batch, targets: Targets, combiner: Combiner | None = None,
    balance: tuple[str, str] | None = None,
) -> Step:
    """Forward and backward: afterwards every parameter that a loss reaches has its gradient."""
    model.zero_grad(set_to_none=True)
    step = forward(model, batch, targets)
    if combiner is None or balance is None:
        torch.stack(list(step.losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return step
    other = step.losses[balance[1]]
    main = torch.stack([loss for name, loss in step.losses.items() if name != balance[1]]).sum()
    tagged = tagged_parameters(model)
    parameters = CombinerParameters(
        [p.parameter for p in tagged], [p.parameter for p in tagged if p.tag == "encoder"]
    )
    used = combiner.combine({balance[0]: main, balance[1]: other}, parameters)
    return replace(step, weights=used)


def _parts(parts: Sequence[Part]) -> Iterator[tuple[Spec, Config]]:
    for part in parts:
        spec, config = (part, None) if isinstance(part, Spec) else part
        yield spec, part_config(spec, config)


def _build(spec: Spec, config: Config, context: BuildContext, seed: int) -> Any:
    with _seeded(seed, spec.kind, spec.name):
        return spec.build(config, context)


def _traits(backbone: BackboneSpec, config: Config, body: Any, modifiers: Mapping[str, Any]) -> Traits:
    pointwise = backbone.resolve("attention", config) == "pointwise"

    def of(what: str, wrap: Callable[[Any], Any]) -> dict[str, Any]:
        return {name: wrap(spec.resolve(what, chosen)) for name, (spec, chosen, _) in modifiers.items()}

    return Traits(
        causal=backbone.resolve("causal", config), masked=backbone.resolve("training", config) == "masked",
        normaliser=body.normaliser if pointwise else None, sites=of("sites", frozenset),
        publishes=of("publishes", frozenset), reads_events=of("reads_events", bool),
    )


def _readout(width: int, modifiers: Sequence[Any], seed: int) -> nn.Linear | None:
    """The map from what the last widening modifier returns back to the width of items."""
    widths = [part.readout_width for part in modifiers if part.readout_width is not None]
    if not widths:
        return None
    with _seeded(seed, "core", "readout"):
        readout = nn.Linear(widths[-1], width)
        init_linear(readout)
    return readout


@contextmanager
def _seeded(*key: Any) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_number(*key))
        yield


def _number(*key: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7], "big")
