"""Build models and experiments straight from specs, and take single steps: for tests that need no suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ..assemble import Experiment, RunData, assemble, build_model
from ..config import Configuration, Part, Protocol, Suite, Train
from ..data import Prepared, split
from ..data.batches import Batch, Targets
from ..nn import Combiner, CombinerParameters, Encoded, Output, SequenceModel
from ..registry import Registry
from ..specs import (
    BackboneSpec,
    BuildContext,
    Config,
    HeadConfig,
    LayoutConfig,
    ScorerConfig,
    SequenceConfig,
    Spec,
    defaults,
)
from ..train import tag_parameters
from ..train.losses import Groups, ask_objectives, weigh_examples
from .checking import check
from .world import World, tiny_context, tiny_data, tiny_world

Chosen = Spec | tuple[Spec, Config | Mapping[str, Any] | None]
"""A spec alone, with its default parameters, or with the parameters to build it with."""


def part_config(spec: Spec, config: Config | Mapping[str, Any] | None = None) -> Config:
    """Parameters of a part: as given, or made from a mapping, or the defaults."""
    return config if isinstance(config, Config) else spec.config(**(config or {}))


def same_written_down(spec: Spec, config: Config | Mapping[str, Any] | None = None) -> None:
    """Check that parameters with every default filled in, as workers and records get them, are accepted and equal."""
    made = part_config(spec, config)
    try:
        again = spec.config(**defaults(made))
    except ValidationError as error:
        reasons = "; ".join(fault["msg"] for fault in error.errors())
        raise AssertionError(
            f"parameters written down, {defaults(made)!r:.200}, are refused: {reasons}. "
            "Expected them accepted: ask what differs from its default, not what was given.") from error
    check(again == made, f"parameters written down and read again differ: {again!r:.200}. Expected {made!r:.200}.")


def not_refused(spec: Spec, config: Config | Mapping[str, Any] | None, context: BuildContext) -> None:
    """Check that a part does not refuse what it is built with."""
    if spec.refuse is not None:
        reason = spec.refuse(part_config(spec, config), context)
        check(not reason, f"it refuses what it is built with here: {reason}")


def configure(
    backbone: Chosen, *, modifiers: Sequence[Chosen] = (), objectives: Sequence[Chosen] = (),
    compressor: Chosen | None = None, combiner: Chosen | None = None, layout: LayoutConfig | str = "items",
    scorer: ScorerConfig | None = None, head: HeadConfig | None = None, sequence: SequenceConfig | None = None,
    encoders: Sequence[Chosen] = (), explainers: Sequence[Chosen] = (),
) -> tuple[Configuration, Registry]:
    """A configuration of these specs and a registry that holds them alone."""
    specs: dict[tuple[str, str], Spec] = {}

    def part(chosen: Chosen) -> Part:
        spec, config = (chosen, None) if isinstance(chosen, Spec) else chosen
        specs[spec.kind, spec.name] = spec
        return Part(kind=spec.kind, name=spec.name, config=part_config(spec, config))

    configuration = Configuration(
        backbone=part(backbone), modifiers=tuple(map(part, modifiers)), objectives=tuple(map(part, objectives)),
        compressor=None if compressor is None else part(compressor),
        combiner=None if combiner is None else part(combiner), scorer=scorer or ScorerConfig(), head=head,
        sequence=sequence or SequenceConfig(), encoders=tuple(map(part, encoders)),
        explainers=tuple(map(part, explainers)),
        layout=LayoutConfig.model_validate({"kind": layout}) if isinstance(layout, str) else layout,
    )
    return configuration, Registry.of(specs.values())


def make_model(
    backbone: BackboneSpec, config: Config | Mapping[str, Any] | None = None, *,
    modifiers: Sequence[Chosen] = (), objectives: Sequence[Chosen] = (), compressor: Chosen | None = None,
    encoders: Sequence[Chosen] = (), layout: LayoutConfig | str = "items", scorer: ScorerConfig | None = None,
    head: HeadConfig | None = None, context: BuildContext | None = None, n_items: int = 30, seed: int = 0,
) -> SequenceModel:
    """A model of these parts for the tiny world, built as for a run; each objective is bound."""
    configuration, registry = configure(
        (backbone, config), modifiers=modifiers, objectives=objectives, compressor=compressor, layout=layout,
        scorer=scorer, head=head, encoders=encoders,
    )
    context = replace(context or tiny_context(n_items), layout=configuration.layout.kind)
    model = build_model(configuration, registry, context, seed)
    for objective in model.objectives.values():
        objective.bind(tag_parameters(model))
    return model


def make_experiment(
    backbone: Chosen, *, objectives: Sequence[Chosen], world: World | None = None, seed: int = 1,
    protocol: Mapping[str, Any] | None = None, train: Mapping[str, Any] | None = None, **parts: Any,
) -> Experiment:
    """An experiment on the tiny world, one epoch by default; `parts` as for `configure`. Errors: `Refusal`.

    The action task has the default head where none is given.
    """
    if "action" in dict(protocol or {}).get("tasks", ()):
        parts = {"head": HeadConfig(), **parts}
    configuration, registry = configure(backbone, objectives=objectives, **parts)
    suite = Suite(
        suite="tiny", datasets=(Part(kind="dataset", name=tiny_data.name, config=tiny_data.config()),),
        protocol=Protocol(**{"split": "leave_one_out", "window": 8} | dict(protocol or {})),
        train=Train(**{"epochs": 1, "batch": 8, "buckets": 2, "device": "cpu"} | dict(train or {})),
    )
    world = world or tiny_world()
    rule = suite.protocol.split
    divided = split(world.interactions, world.catalogue, (rule.name, rule.config), suite.protocol.targets,
                    suite.data_seed)
    data = RunData(tiny_data, Prepared(world.interactions, world.catalogue, {}, "tiny", world.groups), divided)
    return assemble(configuration, suite, registry, data, seed)


@dataclass(frozen=True)
class Step:
    """What one step computed: losses by objective.term, what they read, and the weights a combiner used."""

    losses: Mapping[str, Tensor]
    output: Output
    encoded: Encoded
    weights: Mapping[str, float]


def forward(model: SequenceModel, batch: Batch, targets: Targets, phase: Any = "train") -> Step:
    """Encode a batch and ask every objective for its losses, in the model's own precision."""
    model.train(phase == "train")
    targets = weigh_examples(model, targets, batch)
    groups = Groups(model)
    encoded = model.encode(batch, phase, groups if groups.asking else None)
    output = model.output(encoded, batch, targets, phase)
    losses, _ = ask_objectives(model, output, groups, lambda name: targets, batch)
    return Step(losses, output, encoded, {})


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
    main = torch.stack([loss for name, loss in step.losses.items() if name != balance[1]]).sum()
    tagged = tag_parameters(model)
    parameters = CombinerParameters(
        [p.parameter for p in tagged], [p.parameter for p in tagged if p.tag == "encoder"]
    )
    used = combiner.combine({balance[0]: main, balance[1]: step.losses[balance[1]]}, parameters)
    return replace(step, weights=used)
