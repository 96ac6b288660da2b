"""What the rules for backbones share: the model under test, and the situations that a backbone must stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor, nn

from ..data.batches import Batch, Targets
from ..nn import Encoded, SequenceModel
from ..specs import BackboneSpec, BuildContext, Config, LayoutConfig
from .build import make_model, part_config
from .checking import cotangent, distinct, encode, rewound, said
from .spies import ragged_prefix
from .tiny import tiny_softmax
from .world import tiny_batch, tiny_context

PHASES = ("score", "train")

PER_EVENT = {"items": 1, "stacked": 1, "interleaved": 2}
"""Tokens of an event by layout."""


@dataclass(frozen=True)
class Situation:
    """A model and a batch for it: a layout, what stands around the events, and a phase."""

    name: str
    model: SequenceModel
    batch: Batch
    phase: str
    buffers: Mapping[tuple[nn.Module, str], Tensor]

    def encode(self, batch: Batch | None = None) -> Encoded:
        """The forward pass, each time with the same random numbers and the buffers as they were built."""
        for (module, name), buffer in self.buffers.items():
            setattr(module, name, buffer.clone())
        batch = self.batch if batch is None else batch
        what = f"{self.name}, {batch.n_rows} rows of up to {batch.items.shape[1]} events"
        with said(what, "states of rows of any length up to the window, and of prefix tokens on top"):
            return encode(rewound(self.model), batch, self.phase)

    def states(self, batch: Batch | None = None) -> dict[str, Tensor]:
        """The states by event, (B, T, D) each: `after`, and `before` where it is another."""
        return states_by_kind(self.encode(batch))

    def draws(self) -> bool:
        """Whether the pass draws random numbers other than those of `ctx.dropout`, under `no_dropout`."""
        self.encode()
        drawn = [generator.get_state() for generator in self.model.generators.values()]
        fresh = rewound(self.model).generators.values()
        return not all(torch.equal(state, generator.get_state()) for state, generator in zip(drawn, fresh, strict=True))

    def events(self) -> range:
        return range(self.batch.items.shape[1])


def situation(name: str, model: SequenceModel, batch: Batch, phase: str) -> Situation:
    """A situation of a model whose buffers are as they were built."""
    buffers = {(module, name): buffer.clone() for module in model.modules()
               for name, buffer in module.named_buffers(recurse=False)}
    return Situation(name, model, batch, phase, buffers)


def states_by_kind(encoded: Encoded) -> dict[str, Tensor]:
    """The states of a forward pass by kind: `after`, and `before` where a token of its own holds it."""
    kinds = {"after": encoded.states.after}
    if encoded.tokens.per_event == 2:
        kinds["before"] = encoded.states.before
    return {kind: state for kind, state in kinds.items() if state is not None}


@dataclass(frozen=True)
class Gradients:
    """How far a state depends on what it was made of: `events` (B, T), their `actions` (B, T), `tokens` (B, S)."""

    events: Tensor
    actions: Tensor
    tokens: Tensor


def gradients(model: SequenceModel, batch: Batch, encoded: Encoded, state: Tensor) -> Gradients:
    """Sizes of a state's gradient, in a random direction; of a `watched` batch alone."""
    tokens = encoded.tokens
    sources = [tokens.x, model.embedding.table, batch.actions, batch.features]
    found: Sequence[Tensor | None] = [None] * len(sources)
    if state.requires_grad:
        found = torch.autograd.grad((state * cotangent(state)).sum(), sources, retain_graph=True, allow_unused=True)
    x, table, actions, features = (
        source.new_zeros(source.shape[:-1]) if grad is None else grad.abs().sum(-1)
        for grad, source in zip(found, sources, strict=True)
    )
    by_vector = torch.where(batch.items > 0, table[(batch.items - 1).clamp_min(0)], 0)
    by_token = x[:, tokens.n_prefix :].view(*batch.items.shape, tokens.per_event).sum(-1)
    return Gradients(by_vector + by_token + actions + features, actions, x)


def watched(batch: Batch) -> Batch:
    """The batch as `gradients` needs it: its items all different, its actions and features in the graph."""
    return replace(distinct(batch), actions=batch.actions.clone().requires_grad_(),
                   features=batch.features.clone().requires_grad_())


class BackboneCase:
    """Inherit it with `spec`, and `config` where the defaults are large; `steps` bounds the learning by heart."""

    spec: ClassVar[BackboneSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    steps: ClassVar[int] = 400
    unreached: ClassVar[frozenset[str]] = frozenset()
    """Parameters, by name inside the backbone, that a small batch need not reach."""

    def resolved(self, what: str) -> Any:
        return self.spec.resolve(what, part_config(self.spec, self.config))

    @property
    def masked(self) -> bool:
        return bool(self.resolved("training") == "masked")

    @property
    def layouts(self) -> list[str]:
        return sorted(self.resolved("layouts"))

    def only_if_causal(self) -> None:
        if not self.resolved("causal"):
            raise SkipTest("the backbone sees both sides")

    def only_if_it_repeats(self) -> None:
        """Passes that differ by themselves cannot be compared; `test_equal_seeds_give_equal_states` reports them."""
        for case in islice(self.every_situation(self.layouts[:1]), len(PHASES)):
            if any(not torch.equal(*pair) for pair in zip(case.states().values(), case.states().values(), strict=True)):
                raise SkipTest("the backbone does not repeat itself")

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def model(self, seed: int = 0, layout: LayoutConfig | str | None = None, **parts: Any) -> SequenceModel:
        parts.setdefault("objectives", [tiny_softmax])
        layout = layout or ("items" if "items" in self.layouts else self.layouts[0])
        kind = layout if isinstance(layout, str) else layout.kind
        context = self.context()
        context = replace(context, max_tokens=PER_EVENT[kind] * context.window)
        return make_model(self.spec, self.config, context=context, seed=seed, layout=layout, **parts).double()

    def batch(self, **arguments: Any) -> tuple[Batch, Targets]:
        return tiny_batch(masked=self.masked, **{"dtype": torch.float64} | arguments)

    def situations(self, **arguments: Any) -> Iterator[Situation]:
        """Every situation that a backbone must stand, if it repeats itself in them."""
        self.only_if_it_repeats()
        return self.every_situation(self.layouts, **arguments)

    def every_situation(self, layouts: Sequence[str], **arguments: Any) -> Iterator[Situation]:
        """Each layout with events alone in both phases, after prefix tokens, and with candidates.

        Without attention there is no mask that could keep candidates apart: such a backbone is not asked.
        """
        batch = self.batch(**arguments)[0]
        for kind in layouts:
            plain = self.model(layout=kind)
            for phase in PHASES:
                yield situation(f"{kind}, events, {phase}", plain, batch, phase)
            layout = LayoutConfig.model_validate({"kind": kind, "user_token": True})
            prefixed = self.model(layout=layout, modifiers=[ragged_prefix])
            yield situation(f"{kind}, prefixes, score", prefixed, batch, "score")
            if self.resolved("attention") != "none":
                asked = self.batch(task="action", candidates=2, **arguments)[0]
                model = self.model(layout=LayoutConfig.model_validate({"kind": kind, "position": "from_end"}))
                yield situation(f"{kind}, candidates, train", model, asked, "train")
