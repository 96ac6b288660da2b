"""SequenceModel: embedding, layout, compressor, backbone, modifiers and scorer as one module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..data.batches import Batch, Targets
from ..errors import PluginError
from ..specs import LayoutConfig
from .context import Context, PartContext, Sites
from .embedding import ActionEmbedding, ItemEmbedding, Items, Phase, UserEmbedding
from .heads import ActionHead
from .layouts import base_mask, event_states, layout_tokens, user_prefix, with_prefixes
from .modules import Parts
from .parts import Backbone, Compressor, Modifier, Objective, Output
from .scorer import BoundScorer, Scorer, ScoreTerm
from .tokens import Kind, States, Tokens


@dataclass(frozen=True)
class Encoded:
    """One forward pass: states by event, tokens, traces, attention masses per layer, routes that ran, and the items'
    vectors that it read.
    """

    states: States
    tokens: Tokens
    traces: Mapping[str, Tensor]
    masses: Sequence[Tensor]
    routes: Sequence[str]
    items: Items


@dataclass(frozen=True)
class Traits:
    """What the specs say that a forward pass depends on; `published`: the traces of the backbone, `wanted`: those that
    objectives need.
    """

    causal: bool = True
    masked: bool = False
    normaliser: float | None = None
    sites: Mapping[str, frozenset[str]] = field(default_factory=dict)
    published: frozenset[str] = frozenset()
    publishes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reads_events: Mapping[str, bool] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()


class SequenceModel(nn.Module):
    """Tokens -> backbone (+ modifiers) -> states -> scorer.

    `modifiers` and `objectives` are in the order of the configuration; `generators` hold one source of randomness
    per part, "backbone" for the backbone's.
    """

    def __init__(
        self,
        embedding: ItemEmbedding,
        layout: LayoutConfig,
        backbone: Backbone,
        scorer: Scorer,
        traits: Traits,
        generators: Mapping[str, torch.Generator],
        modifiers: Mapping[str, Modifier] | None = None,
        objectives: Mapping[str, Objective] | None = None,
        compressor: Compressor | None = None,
        actions: ActionEmbedding | None = None,
        users: UserEmbedding | None = None,
        readout: nn.Linear | None = None,
        state_width: int | None = None,
        head: ActionHead | None = None,
    ):
        super().__init__()
        self.layout, self.traits, self.generators = layout, traits, dict(generators)
        self.state_width = backbone.width if state_width is None else state_width
        self.embedding, self.actions, self.users = embedding, actions, users
        self.compressor, self.backbone = compressor, backbone
        self.modifiers = Parts[Modifier](modifiers or {})
        self.readout, self.scorer, self.head = readout, scorer, head
        self.objectives = Parts[Objective](objectives or {})

    def items(self, phase: Phase) -> Items:
        """The vectors of items while the parameters stay as they are: what a scoring of many batches shares."""
        return self.embedding.bound(phase)

    def encode(self, batch: Batch, phase: Phase, groups: Callable[[Tokens], Tensor | None] | None = None,
               items: Items | None = None) -> Encoded:
        """Run the backbone over a batch; nothing here sees what must be predicted. `items` spares making them again."""
        traits, items = self.traits, items or self.items(phase)
        shared = Context(batch, items, self.backbone.n_layers, phase, traits.normaliser, traits.wanted)
        shared.causal = traits.causal
        views = {name: self._view(shared, name) for name in self.modifiers}
        shared.sites = Sites([
            (part, traits.sites[name], views[name]) for name, part in self.modifiers.items()
        ])
        shared.tokens, readers = self._tokens(shared, batch, items)
        shared.base_mask = base_mask(shared.tokens, batch, traits.causal, readers)
        shared.groups = None if groups is None else groups(shared.tokens)
        h = self.backbone(PartContext(shared, self.generators["backbone"], traits.published, "backbone"))
        _check_tokens("backbone", h, shared.tokens.x.shape)
        wide = shared.sites.readout(h)
        _check_tokens("readout", wide, (*h.shape[:2], self.state_width))
        after = wide if self.readout is None else self.readout(wide)
        states = event_states(wide, after, shared.tokens, batch, self.layout.kind, traits.masked)
        return Encoded(states, shared.tokens, shared.traces, shared.masses, shared.routes, items)

    def output(self, encoded: Encoded, batch: Batch, targets: Targets, phase: Phase,
               vectors: Tensor | None = None) -> Output:
        """The states of the targets, ready for objectives or ranking; `vectors` as scored need not be made again."""
        at = encoded.states.predicting_item if targets.task == "next_item" else encoded.states.predicting_action
        states, logits = at(targets.row, targets.event), None
        if targets.task == "action" and self.head is not None:
            given = self.head(states, batch.features[targets.row, targets.event])
            logits = self._adjusted(given, targets, batch, phase)
        scorer = BoundScorer(self.scorer, targets.row, self.score_terms(batch, phase), vectors, encoded.items)
        return Output(states, scorer, encoded.tokens, encoded.traces, encoded.masses, encoded.items, logits)

    def _adjusted(self, logits: Tensor, targets: Targets, batch: Batch, phase: Phase) -> Tensor:
        """The head's logits (P, K) as the objectives leave them, in order; they are not shown what happened."""
        own = {name: o for name, o in self.objectives.items()
               if type(o).action_logits is not Objective.action_logits}
        if own:
            unknown = replace(targets, actions=torch.zeros_like(targets.actions), marks=None)
        for name, objective in own.items():
            shape, logits = logits.shape, objective.action_logits(logits, unknown, batch, phase)
            if logits.shape != shape:
                raise PluginError(f"{name}: action_logits has shape {tuple(logits.shape)}. Expected {tuple(shape)}.")
        return logits

    def score_terms(self, batch: Batch, phase: Phase) -> list[ScoreTerm]:
        """The score terms of all objectives that have one, for this batch."""
        own = [o for o in self.objectives.values() if type(o).score_term is not Objective.score_term]
        return [lambda items, o=o: o.score_term(batch, items, phase) for o in own]  # type: ignore[misc]

    def _view(self, shared: Context, name: str) -> PartContext:
        generator = self.generators[f"modifier.{name}"]
        return PartContext(shared, generator, self.traits.publishes.get(name, frozenset()), name)

    def _tokens(self, shared: Context, batch: Batch, items: Items) -> tuple[Tokens, Tensor | None]:
        """All tokens of a batch, and which prefix tokens read events."""
        x = items(batch.items, batch.hide_item)
        hidden = None if self.actions is None else self.actions.hidden
        tokens = layout_tokens(self.layout, batch, x, self._action_vectors(batch), hidden)
        prefixes = []
        if self.users is not None:
            prefixes.append((user_prefix(self.users(batch.users)), Kind.USER, False))
        if self.compressor is not None:
            plan = batch.plan.to(batch.items.device)
            prefixes.append((self.compressor.encode(plan, items), Kind.HISTORY, False))
        prefixes += [(p, Kind.PREFIX, reads) for p, reads in shared.sites.prefixes(self.traits.reads_events)]
        readers = None
        if any(reads for _, _, reads in prefixes):
            counts = torch.tensor([p.x.shape[1] for p, _, _ in prefixes])
            readers = torch.tensor([reads for _, _, reads in prefixes]).repeat_interleave(counts)
            readers = readers.to(batch.items.device)
        return with_prefixes(tokens, [(p, kind) for p, kind, _ in prefixes]), readers

    def _action_vectors(self, batch: Batch) -> Callable[[], Tensor] | None:
        """Action vectors of a batch (B, T, D), made once and only if somebody asks."""
        if self.actions is None:
            return _undeclared if batch.actions.shape[-1] else None
        made: list[Tensor] = []

        def vectors() -> Tensor:
            if not made:
                assert self.actions is not None
                seen = batch.valid & ~batch.hide_action
                made.append(self.actions(batch.actions) * seen.unsqueeze(-1))
            return made[0]

        return vectors


def _check_tokens(what: str, given: Tensor, shape: tuple[int, ...]) -> None:
    if given.shape != shape:
        raise PluginError(f"{what}: states have shape {tuple(given.shape)}. Expected {tuple(shape)}, one for each "
                          "token.")


def _undeclared() -> Tensor:
    raise PluginError("tokens.action: a part reads actions, which its spec does not declare. "
                      "Expected needs=Needs(actions=True).")
