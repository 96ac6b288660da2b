"""The contract of modifiers, on the tiny backbones that they fit."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from ..data.batches import Batch, Targets
from ..nn import Boost, Earlier, Modifier, SequenceModel
from ..nn.embedding import Phase
from ..specs import SITES, BackboneSpec, BuildContext, Config, ModifierSpec, Needs
from .build import Chosen, make_model, part_config, same_written_down, train_step
from .checking import (
    check,
    differ,
    distinct,
    item_gradient,
    keeps_global_state,
    padded,
    randomised,
    row_of,
    same,
    states,
)
from .tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from .world import tiny_batch, tiny_context


class ModifierContract:
    """Inherit it with `spec`, an active `config`, and a `neutral` one that means the plain backbone.

    `neutral` None: the modifier has no neutral setting. `objectives`: further ones that the modifier needs to
    learn, for instance a reader of its trace.
    """

    spec: ClassVar[ModifierSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    neutral: ClassVar[Config | Mapping[str, Any] | None] = None
    objectives: ClassVar[Sequence[Chosen]] = ()
    unreached: ClassVar[frozenset[str]] = frozenset()
    """Parameters, by name inside the modifier, that a small batch need not reach."""

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def resolved(self, what: str, config: Any = None) -> Any:
        return self.spec.resolve(what, part_config(self.spec, self.config if config is None else config))

    def backbones(self) -> list[BackboneSpec]:
        """The tiny backbones that the modifier fits."""
        needs: Needs = self.resolved("needs")
        return [
            spec for spec in (tiny_causal, tiny_bidirectional, tiny_pointwise)
            if needs.causal in (None, spec.causal) and (needs.training is None or spec.training in needs.training)
            and (needs.attention is None or spec.attention in needs.attention)
        ]

    @property
    def layout(self) -> str:
        layouts = self.resolved("needs").layouts
        return "items" if layouts is None or "items" in layouts else sorted(layouts)[0]

    def model(self, backbone: BackboneSpec, config: Any = None, *, with_it: bool = True,
              seed: int = 0) -> SequenceModel:
        chosen = self.config if config is None else config
        return make_model(
            backbone, {"n_layers": 3, "dropout": 0.1}, modifiers=[(self.spec, chosen)] if with_it else [],
            objectives=[tiny_softmax, *(self.objectives if with_it and config is None else ())], layout=self.layout,
            context=self.context(), seed=seed,
        ).double()

    def batch(self, backbone: BackboneSpec, **arguments: Any) -> tuple[Batch, Targets]:
        return tiny_batch(masked=backbone.training == "masked", dtype=torch.float64, **arguments)

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_it_fits_a_backbone(self) -> None:
        check(self.backbones(), f"{self.spec.name}: needs fit no kind of backbone")

    def test_sites_declared_are_the_methods_defined(self) -> None:
        part = self.part(self.model(self.backbones()[0]))
        defined = {site for site in SITES if callable(getattr(part, site, None))}
        check(isinstance(part, Modifier), f"{type(part).__name__} is no benchbase.nn.Modifier")
        declared = set(self.resolved("sites"))
        check(defined >= declared, f"declares {sorted(declared - defined)} without a method of that name")
        named = self.spec.sites if not callable(self.spec.sites) else defined
        check(defined <= set(named), f"defines {sorted(defined - set(named))}, which its spec does not declare")

    def part(self, model: SequenceModel) -> Modifier:
        return model.modifiers[self.spec.name]

    def test_the_neutral_setting_is_the_plain_backbone(self) -> None:
        if self.neutral is None:
            raise SkipTest("no neutral setting")
        for backbone in self.backbones():
            models = self.model(backbone, with_it=False), self.model(backbone, self.neutral)
            batch, targets = self.batch(backbone)
            phases: tuple[Phase, ...] = ("score", "train")
            for phase in phases:
                plain, neutral = (model.encode(batch, phase) for model in models)
                assert plain.states.after is not None and neutral.states.after is not None
                same(plain.states.after, neutral.states.after, f"neutral on {backbone.name} ({phase})", atol=0)
                check(list(plain.routes) == list(neutral.routes), f"neutral takes {neutral.routes}, not {plain.routes}")
            first, second = (train_step(model, batch, targets).losses["tiny_softmax.softmax"] for model in models)
            same(first, second, "the loss under the neutral setting", atol=0)
            theirs = dict(models[1].named_parameters())
            for name, parameter in models[0].named_parameters():
                if parameter.grad is not None:
                    given = theirs[name].grad
                    check(given is not None, f"neutral: {name} gets no gradient")
                    assert given is not None
                    same(parameter.grad, given, f"neutral: the gradient of {name}", atol=0)

    def test_the_active_setting_does_something(self) -> None:
        for backbone in self.backbones():
            batch, _ = self.batch(backbone)
            plain, active = self.model(backbone, with_it=False), self.model(backbone)
            differ(states(plain, batch), states(active, batch), f"{self.spec.name} on {backbone.name}")

    def test_no_look_ahead_on_a_causal_backbone(self) -> None:
        backbones = [b for b in self.backbones() if b.causal]
        if not backbones or self.resolved("reads_events"):
            raise SkipTest("it fits no causal backbone, or declares that its prefix reads events")
        for backbone in backbones:
            model, (batch, _) = self.model(backbone), self.batch(backbone)
            before = states(model, batch)
            for event in range(batch.items.shape[1] - 1):
                later = (torch.arange(batch.items.shape[1]) > event) & batch.valid
                after = states(model, randomised(batch, later))
                same(before[:, : event + 1], after[:, : event + 1],
                     f"states up to event {event} when later ones change")
            row = distinct(self.batch(backbone, n_rows=1)[0])
            after = states(model, row)
            for event in range(after.shape[1]):
                grad = item_gradient(model, after[0, event])[row.items[0] - 1]
                check((grad[event + 1 :] == 0).all(), f"the state after event {event} has a gradient to later items")

    def test_padding_and_other_rows_change_nothing(self) -> None:
        for backbone in self.backbones():
            model, (batch, _) = self.model(backbone), self.batch(backbone)
            after = states(model, batch)
            wide = padded(batch, 3)
            for other in (wide, randomised(wide, ~wide.valid)):
                same(after[batch.valid], states(model, other)[other.valid], f"padding on {backbone.name}")
            for row in range(batch.n_rows):
                alone = states(model, row_of(batch, row))[0]
                same(alone, after[row, : len(alone)], f"row {row} alone and in its batch on {backbone.name}")

    def test_sites_return_what_they_must(self) -> None:
        for backbone in self.backbones():
            model, (batch, _) = self.model(backbone), self.batch(backbone)
            seen: dict[str, list[Any]] = {}
            part = self.part(model)
            for site in ("mask", "bias", "boost", "weights"):
                if site in self.resolved("sites"):
                    object.__setattr__(part, site, _watched(getattr(part, site), seen.setdefault(site, [])))
            encoded = model.encode(batch, "train")
            shape = (batch.n_rows, model.backbone.n_heads, *[encoded.tokens.x.shape[1]] * 2)
            for site, outputs in seen.items():
                for output in filter(lambda x: x is not None, outputs):
                    _check_site(site, output, shape)

    def test_traces_declared_are_traces_published(self) -> None:
        for backbone in self.backbones():
            batch, _ = self.batch(backbone)
            found = set(self.model(backbone).encode(batch, "train").traces)
            declared = set(self.resolved("publishes"))
            check(found == declared, f"publishes {sorted(found)}. Expected {sorted(declared)}, as its spec declares.")

    def test_it_draws_from_its_own_generator_alone(self) -> None:
        for backbone in self.backbones():
            batch, _ = self.batch(backbone)
            one, other = self.model(backbone), self.model(backbone)
            with keeps_global_state(self.spec.name):
                for phase in ("train", "score"):
                    same(states(one, batch, phase), states(other, batch, phase), f"equal seeds ({phase})", atol=0)
            plain = self.model(backbone, with_it=False)
            states(plain, batch, "train")
            states(one := self.model(backbone), batch, "train")
            drawn = [model.generators["backbone"].get_state() for model in (plain, one)]
            if "prefix" not in self.resolved("sites"):
                check(torch.equal(*drawn), "the backbone draws other numbers when the modifier stands beside it")

    def test_gradients_reach_every_parameter(self) -> None:
        for backbone in self.backbones():
            model, (batch, targets) = self.model(backbone), self.batch(backbone)
            train_step(model, batch, targets)
            for name, parameter in model.named_parameters():
                finite = parameter.grad is None or torch.isfinite(parameter.grad).all()
                check(finite, f"the gradient of {name} is not finite")
            for name, parameter in self.part(model).named_parameters():
                reached = parameter.grad is not None and bool((parameter.grad != 0).any())
                check(reached or name in self.unreached,
                      f"no gradient reaches {name}. Use it, or list it as `unreached`.")

    def test_a_state_dict_restores_it(self) -> None:
        for backbone in self.backbones():
            batch, _ = self.batch(backbone)
            model, other = self.model(backbone), self.model(backbone, seed=5)
            other.load_state_dict(model.state_dict())
            same(states(model, batch), states(other, batch), "states after a state_dict round trip", atol=0)


def _watched(method: Any, seen: list[Any]) -> Any:
    def watch(*arguments: Any) -> Any:
        seen.append(output := method(*arguments))
        return output

    return watch


def _check_site(site: str, output: Any, shape: tuple[int, ...]) -> None:
    """Fail where a site returns what attention cannot take."""
    if site == "mask" and isinstance(output, Earlier):
        return
    tensor: Tensor = output.factor if isinstance(output, Boost) else output
    fits = len(tensor.shape) == 4 and all(a in (1, b) for a, b in zip(tensor.shape, shape, strict=True))
    check(fits, f"{site}: shape {tuple(tensor.shape)}. Expected {shape}, or 1 in a place.")
    if site == "mask":
        check(tensor.dtype == torch.bool, f"mask: {tensor.dtype}. Expected bool, True = may attend.")
        for place, name in ((0, "rows"), (1, "heads")):
            if tensor.shape[place] > 1 and bool((tensor == tensor.narrow(place, 0, 1)).all()):
                check(shape[place] == 1, f"mask: all {name} are equal. Expected 1 in that place: the smallest shape.")
    else:
        check(torch.isfinite(tensor).all(), f"{site}: not finite")
    if site == "boost":
        check((tensor > 0).all(), "boost: a factor is not above 0. Expected exact zeros from `mask`.")
