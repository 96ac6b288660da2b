"""Build a model from a configuration; each part is initialised from hash(seed, kind, name) alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from ..config import Configuration, Part, Suite
from ..data import TRAIN, Explainer
from ..data.draws import derive_seed
from ..data.sequences import item_counts, train_events
from ..errors import PluginError
from ..nn import (
    ActionEmbedding,
    ActionHead,
    EncodedItems,
    Encoder,
    ItemEmbedding,
    Scorer,
    SequenceModel,
    Traits,
    UserEmbedding,
    init_linear,
)
from ..nn.parts import Backbone, Combiner, Compressor, Modifier, Objective
from ..registry import Registry
from ..specs import BuildContext
from .data import RunData

T = TypeVar("T")


def build_context(configuration: Configuration, suite: Suite, data: RunData) -> BuildContext:
    """The facts that every part is built with, before the backbone's sizes are known."""
    layout, window = configuration.layout.kind, configuration.reads(suite.protocol)
    interactions, catalogue = data.prepared.interactions, data.prepared.catalogue
    per_event = 2 if layout == "interleaved" else 1
    return BuildContext(
        n_items=catalogue.n_items, n_users=interactions.n_users, window=window,
        max_tokens=per_event * window, catalogue=catalogue,
        item_counts=item_counts(interactions, data.split, catalogue.n_items),
        train=partial(train_events, interactions, data.split),
        action_names=interactions.action_names, **_predicted(suite, data), n_features=interactions.features.shape[1],
        n_domains=len(catalogue.domain_names), has_time=catalogue.has_time, tasks=suite.protocol.tasks, layout=layout,
        user_groups=data.prepared.groups, mark_names=interactions.mark_names,
    )


def _predicted(suite: Suite, data: RunData) -> dict[str, Any]:
    """Which actions are asked for, and how often the train part has them."""
    if "action" not in suite.protocol.tasks:
        return {}
    interactions = data.prepared.interactions
    train = np.asarray(interactions.actions[data.split.part == TRAIN])[:, interactions.labels]
    return {"predicted": interactions.label_names, "rates": train.mean(axis=0, dtype=np.float64)}


def build_model(configuration: Configuration, registry: Registry, context: BuildContext, seed: int,
                device: torch.device | str = "cpu") -> SequenceModel:
    """The model of a configuration on `device`; the same seed gives a part the same start whatever stands beside it."""
    return Builder(configuration, registry, context, seed, torch.device(device)).build()


class Builder:
    """Builds the parts of one configuration, each with the facts known by then and a start of its own."""

    def __init__(self, configuration: Configuration, registry: Registry, context: BuildContext, seed: int,
                 device: torch.device):
        self.configuration, self.registry, self.seed, self.device = configuration, registry, seed, device
        self.context = context

    def build(self) -> SequenceModel:
        choice = self.configuration
        assert choice.backbone is not None, "check refuses a configuration without a backbone"
        backbone = self._part(choice.backbone, Backbone)
        self.context = replace(self.context, width=backbone.width, n_heads=backbone.n_heads, n_layers=backbone.n_layers,
                                state_width=backbone.width)
        compressor = None if choice.compressor is None else self._part(choice.compressor, Compressor)
        modifiers = self._modifiers()
        objectives = {part.name: self._part(part, Objective) for part in choice.objectives}
        model = self._core(backbone, modifiers, objectives, compressor)
        return model.to(self.device)

    def combiner(self, part: Part) -> Combiner:
        """The combiner, once the model is built: it knows the sizes of backbone and readout."""
        return self._part(part, Combiner).to(self.device)

    def explainer(self, part: Part) -> Explainer:
        """An explainer, which is no part of the model, but is told of its sizes."""
        return self._part(part, Explainer)

    def _core(self, backbone: Backbone, modifiers: dict[str, Modifier], objectives: dict[str, Objective],
              compressor: Compressor | None) -> SequenceModel:
        context, layout, width = self.context, self.configuration.layout, backbone.width
        traits = self._traits()
        items = self._items(width, traits.masked)
        actions = None
        if self._reads_actions():
            actions = self._seeded("core", "actions", lambda: ActionEmbedding(len(context.action_names), width))
        users = None
        if layout.user_token:
            users = self._seeded("core", "users", lambda: UserEmbedding(context.n_users, width))
        scorer = self._seeded("core", "scorer", lambda: Scorer(self.configuration.scorer, items))
        readout = None
        if context.state_width != width and "next_item" in context.tasks:
            readout = self._seeded("core", "readout", lambda: _linear(context.state_width, width))
        names = ["backbone", *(f"modifier.{name}" for name in modifiers), *(f"objective.{name}" for name in objectives)]
        own = items.generators if isinstance(items, EncodedItems) else {}
        generators = {name: self._generator(name) for name in names} | {f"encoder.{name}": g for name, g in own.items()}
        return SequenceModel(items, layout, backbone, scorer, traits, generators, modifiers, objectives, compressor,
                             actions, users, readout, context.state_width, self._head())

    def _items(self, width: int, hidden: bool) -> ItemEmbedding:
        """The table of items; with encoders, what they add to it."""
        n_items, parts = self.context.n_items, self.configuration.encoders
        encoders = {part.name: self._part(part, Encoder) for part in parts}
        if not encoders:
            return cast(ItemEmbedding, self._seeded("core", "items", lambda: ItemEmbedding(n_items, width, hidden)))
        sampled = any(self.registry.get(part.kind, part.name).resolve("needs", part.config).negatives is not None
                      for part in self.configuration.objectives)
        whole = not sampled and "next_item" in self.context.tasks and self.configuration.scorer.output == "tied"
        generators = {name: self._generator(f"encoder.{name}") for name in encoders}
        return cast(ItemEmbedding, self._seeded("core", "items", lambda: EncodedItems(
            n_items, width, hidden, encoders, generators, at_once=whole)))

    def _head(self) -> ActionHead | None:
        config, context = self.configuration.head, self.context
        if config is None:
            return None
        rates = np.full(len(context.predicted), 0.5) if context.rates is None else context.rates
        return cast(ActionHead, self._seeded("core", "head", lambda: ActionHead(
            config, context.state_width, context.n_features, rates)))

    def _reads_actions(self) -> bool:
        """Whether the layout or a part makes vectors of actions: a table that nobody reads is not the model's."""
        parts = self.configuration.parts()
        asked = any(self.registry.get(p.kind, p.name).resolve("needs", p.config).actions for p in parts)
        return bool(self.context.action_names) and (asked or self.configuration.layout.kind != "items")

    def _modifiers(self) -> dict[str, Modifier]:
        made = {}
        for part in self.configuration.modifiers:
            modifier = self._part(part, Modifier)
            if modifier.readout_width is not None:
                self.context = replace(self.context, state_width=modifier.readout_width)
            made[part.name] = modifier
        return made

    def _traits(self) -> Traits:
        """What the specs say, for these parameters, that a forward pass depends on."""
        backbone = self.configuration.backbone
        assert backbone is not None
        spec = self.registry.get("backbone", backbone.name)
        pointwise = spec.resolve("attention", backbone.config) == "pointwise"
        modifiers = self.configuration.modifiers
        specs = {part.name: (self.registry.get("modifier", part.name), part.config) for part in modifiers}
        return Traits(
            causal=bool(spec.resolve("causal", backbone.config)),
            masked=spec.resolve("training", backbone.config) == "masked",
            normaliser=float(self.context.max_tokens) if pointwise else None,
            sites={name: frozenset(spec.resolve("sites", config)) for name, (spec, config) in specs.items()},
            published=frozenset(spec.resolve("publishes", backbone.config)),
            publishes={name: frozenset(spec.resolve("publishes", config)) for name, (spec, config) in specs.items()},
            reads_events={name: bool(spec.resolve("reads_events", config)) for name, (spec, config) in specs.items()},
            wanted=frozenset().union(*(self.registry.get("objective", part.name).resolve("needs", part.config).traces
                                       for part in self.configuration.objectives)),
        )

    def _part(self, part: Part, base: type[T]) -> T:
        spec = self.registry.get(part.kind, part.name)
        built = self._seeded(part.kind, part.name, lambda: spec.build(part.config, self.context))
        if not isinstance(built, base):
            raise PluginError(f"{part.kind} {part.name}: build returned a {type(built).__name__}. "
                              f"Expected a {_home(base)}.{base.__name__}. Derive its class from it.")
        return built

    def _seeded(self, kind: str, name: str, make: Callable[[], Any]) -> Any:
        """Build one part with the global generator seeded for it alone, and left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, kind, name))
            return make()

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derive_seed(self.seed, "generator", name))


def _home(base: type) -> str:
    """The package that offers a base class: `benchbase.nn`, or `benchbase.data`."""
    return ".".join(base.__module__.split(".")[:2])


def _linear(width: int, out: int) -> nn.Linear:
    layer = nn.Linear(width, out)
    init_linear(layer)
    return layer
