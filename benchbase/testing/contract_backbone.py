"""The contract of backbones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from ..data.batches import Batch, Targets
from ..nn import Modifier, PrefixTokens, SequenceModel
from ..specs import SITES, BackboneSpec, BuildContext, Config, ModifierSpec
from .build import forward, make_model, part_config, train_step
from .checking import (
    check,
    clone_fields,
    cotangent,
    differ,
    keeps_global_state,
    padded,
    randomised,
    row_of,
    same,
    states,
)
from .tiny import tiny_softmax
from .world import tiny_batch, tiny_context

CORE_SITES = frozenset({"prefix", "readout"})
"""Sites that the core serves whatever the backbone does."""


class BackboneContract:
    """Inherit it with `spec`, and `config` where the defaults are large; `steps` bounds the overfitting test."""

    spec: ClassVar[BackboneSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    steps: ClassVar[int] = 30
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

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def model(self, seed: int = 0, layout: str | None = None, **parts: Any) -> SequenceModel:
        parts.setdefault("objectives", [tiny_softmax])
        layout = layout or ("items" if "items" in self.layouts else self.layouts[0])
        model = make_model(self.spec, self.config, context=self.context(), seed=seed, layout=layout, **parts)
        return model.double()

    def batch(self, **arguments: Any) -> tuple[Batch, Targets]:
        return tiny_batch(masked=self.masked, dtype=torch.float64, **arguments)

    def test_states_have_a_shape_and_are_finite_everywhere(self) -> None:
        for layout in self.layouts:
            model = self.model(layout=layout)
            body = model.backbone
            check(body.n_layers >= 0 and body.n_heads >= 0, "n_layers and n_heads: not set. Expected whole numbers.")
            for rows, length in ((4, 7), (1, 1), (3, 1), (1, 7)):
                batch, _ = self.batch(n_rows=rows, length=length)
                after = states(model, batch)
                check(tuple(after.shape) == (rows, length, body.width),
                      f"states have shape {tuple(after.shape)}. Expected {(rows, length, body.width)}.")
                check(torch.isfinite(after).all(), f"states are not finite with {rows} rows of up to {length} events")

    def test_no_look_ahead_by_value(self) -> None:
        if not self.resolved("causal"):
            raise SkipTest("the backbone sees both sides")
        for layout in self.layouts:
            model, (batch, _) = self.model(layout=layout), self.batch()
            before = states(model, batch)
            for event in range(batch.items.shape[1] - 1):
                later = (torch.arange(batch.items.shape[1]) > event) & batch.valid
                after = states(model, randomised(batch, later))
                same(before[:, : event + 1], after[:, : event + 1],
                     f"{layout}: states up to event {event} when later ones change")
                differ(before[:, event + 1 :], after[:, event + 1 :], f"{layout}: states after event {event}")

    def test_no_look_ahead_by_gradient(self) -> None:
        if not self.resolved("causal"):
            raise SkipTest("the backbone sees both sides")
        model = self.model()
        batch = distinct_row(self.batch(n_rows=1)[0])
        after = states(model, batch)
        for event in range(after.shape[1]):
            grad = item_gradient(model, after[0, event])[batch.items[0] - 1].abs().sum(-1)
            check((grad[event + 1 :] == 0).all(), f"the state after event {event} has a gradient to later items")
            check(grad[event] > 0, f"the state after event {event} has no gradient to its own item")

    def test_both_sides_are_seen_where_not_causal(self) -> None:
        if self.resolved("causal"):
            raise SkipTest("the backbone is causal")
        model, (batch, _) = self.model(), self.batch(n_rows=1)
        shown = (~batch.hide_item[0]).nonzero().flatten().tolist()
        after = states(model, batch)
        for event, others in ((shown[0], slice(shown[0] + 1, None)), (shown[-1], slice(0, shown[-1]))):
            only = torch.arange(batch.items.shape[1]) == event
            moved = (states(model, randomised(batch, only[None])) - after)[0, others].abs().max()
            side = "later" if event == shown[0] else "earlier"
            check(moved > 1e-12, f"event {event} moves no {side} state. Expected some: the backbone says causal=False.")

    def test_padding_changes_nothing(self) -> None:
        for layout in self.layouts:
            model, (batch, _) = self.model(layout=layout), self.batch()
            plain = states(model, batch)[batch.valid]
            wide = padded(batch, 3)
            noisy = randomised(replace(wide, items=wide.items.clamp_min(1)), ~wide.valid)
            for name, other in (("more padding", wide), ("garbage in the padding", noisy)):
                same(plain, states(model, other)[other.valid], f"{layout}: states of valid events with {name}")

    def test_rows_do_not_see_each_other(self) -> None:
        model, (batch, _) = self.model(), self.batch()
        after = states(model, batch)
        for row in range(batch.n_rows):
            alone = row_of(batch, row)
            same(states(model, alone)[0], after[row, : alone.items.shape[1]], f"row {row} alone and in its batch")

    def test_labels_move_no_state(self) -> None:
        batch, targets = self.batch()
        copies = clone_fields(batch), clone_fields(targets)
        scrambled = replace(targets, item=targets.item % 30 + 1, actions=1 - targets.actions,
                            weights=targets.weights * 3)
        for phase in ("train", "score"):
            first, second = (forward(self.model(), batch, t, phase).output.states for t in (targets, scrambled))
            same(first, second, f"states with scrambled labels ({phase})", atol=0)
        for thing, copy in zip((batch, targets), copies, strict=True):
            for name, value in copy.items():
                check(torch.equal(getattr(thing, name), value), f"{name} was changed in place")

    def test_equal_seeds_give_equal_states(self) -> None:
        batch, _ = self.batch()
        one, other = self.model(), self.model()
        with keeps_global_state("encode"):
            for phase in ("train", "score", "score"):
                first, second = states(one, batch, phase), states(other, batch, phase)
                same(first, second, f"states of equal models ({phase})", atol=0)
        drawn = {name: generator.get_state() for name, generator in one.generators.items()}
        same(states(one, batch), states(one, batch), "states of one model, scored twice", atol=0)
        untouched = all(torch.equal(drawn[name], g.get_state()) for name, g in one.generators.items())
        check(untouched, "scoring draws random numbers")
        differ(states(one, batch), states(self.model(seed=1), batch), "states under another seed")

    def test_gradients_reach_every_parameter(self) -> None:
        model, (batch, targets) = self.model(), self.batch()
        step = train_step(model, batch, targets)
        check(all(torch.isfinite(loss) for loss in step.losses.values()), "a loss is not finite")
        for name, parameter in model.backbone.named_parameters():
            grad = parameter.grad
            check(grad is None or torch.isfinite(grad).all(), f"the gradient of {name} is not finite")
            reached = grad is not None and bool((grad != 0).any())
            check(reached or name in self.unreached, f"no gradient reaches {name}. Use it, or list it as `unreached`.")

    def test_names_of_items_do_not_matter(self) -> None:
        model, (batch, targets) = self.model(), self.batch()
        renamed, order = relabelled(self.model())
        items = torch.where(batch.items > 0, order[batch.items - 1] + 1, 0)
        moved = replace(batch, items=items), replace(targets, item=order[targets.item - 1] + 1)
        first, second = forward(model, batch, targets, "score").output, forward(renamed, *moved, "score").output
        same(first.states, second.states, "states under other item ids")
        scores = second.scorer.scores(second.states)[:, order]
        same(first.scorer.scores(first.states), scores, "scores under other item ids")
        differ(scores, scores.mean(1, keepdim=True).expand_as(scores), "scores of different items")

    def test_a_state_dict_restores_the_model(self) -> None:
        batch, _ = self.batch()
        model, other = self.model(), self.model(seed=5)
        other.load_state_dict(model.state_dict())
        same(states(model, batch), states(other, batch), "states after a state_dict round trip", atol=0)

    def test_a_few_steps_lower_the_loss(self) -> None:
        model, (batch, targets) = self.model(), self.batch()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(self.steps):
            losses.append(float(train_step(model, batch, targets).losses["tiny_softmax.softmax"].detach()))
            optimizer.step()
        check(losses[-1] < 0.8 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} in {self.steps} "
              "steps. Expected a fifth less on one batch.")

    def test_sites_honoured_are_the_sites_declared(self) -> None:
        declared = frozenset(self.resolved("sites"))
        plain, (batch, _) = self.model(), self.batch(n_rows=2)
        before = states(plain, batch)
        layers = range(plain.backbone.n_layers)
        for site in sorted(SITES - CORE_SITES | declared):
            for layer in layers if site not in CORE_SITES else [0]:
                after = states(self.model(modifiers=[(SPIES[site], {"layer": layer})]), batch)
                moved = not torch.equal(before, after)
                what = f"site {site!r} in layer {layer}"
                check(moved or site not in declared, f"{what}: declared, but a modifier there has no effect")
                check(not moved or site in declared, f"{what}: has an effect, but is not declared")


def distinct_row(batch: Batch) -> Batch:
    """The batch with its one row's items all different."""
    return replace(batch, items=torch.arange(1, batch.items.shape[1] + 1)[None])


def item_gradient(model: SequenceModel, state: Tensor) -> Tensor:
    """The gradient of a state, in a random direction, to every item's vector (n_items, D)."""
    table = model.embedding.table
    grad, = torch.autograd.grad((state * cotangent(state)).sum(), table, retain_graph=True, allow_unused=True)
    return torch.zeros_like(table) if grad is None else grad


def relabelled(model: SequenceModel) -> tuple[SequenceModel, Tensor]:
    """A model with its item tables permuted: what was item j + 1 is item order[j] + 1."""
    table = model.embedding.table
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for parameter in (table, model.scorer.table, model.scorer.item_bias):
            if parameter is not None:
                parameter[order] = parameter.clone()
    return model, order


class SpyConfig(Config):
    """Where a spy acts."""

    layer: int = 0


class _Spy(Modifier):
    """Changes one site of one layer so that the last state must move."""

    def __init__(self, config: SpyConfig, context: BuildContext):
        super().__init__()
        self.layer, self.width = config.layer, context.width

    def noise(self, ctx: Any, *shape: int) -> Tensor:
        draw = torch.Generator().manual_seed(7)
        return torch.randn(*shape, generator=draw, dtype=ctx.tokens.x.dtype)

    def square(self, ctx: Any) -> Tensor:
        size = ctx.tokens.x.shape[1]
        return self.noise(ctx, 1, 1, size, size)


class _Prefix(_Spy):
    def prefix(self, ctx: Any) -> PrefixTokens:
        draw = torch.Generator().manual_seed(7)
        return PrefixTokens(torch.randn(1, 2, self.width, generator=draw, dtype=torch.float64))


class _Mask(_Spy):
    def mask(self, ctx: Any, layer: int) -> Tensor | None:
        diagonal = torch.eye(ctx.tokens.x.shape[1], dtype=torch.bool)[None, None]
        return diagonal if layer == self.layer else None


class _Bias(_Spy):
    def bias(self, ctx: Any, layer: int) -> Tensor | None:
        return 3 * self.square(ctx) if layer == self.layer else None


class _Boost(_Spy):
    def boost(self, ctx: Any, layer: int) -> Tensor | None:
        return self.square(ctx).exp() if layer == self.layer else None


class _Value(_Spy):
    def value(self, ctx: Any, layer: int, h: Tensor) -> Tensor:
        return h + self.noise(ctx, *h.shape) if layer == self.layer else h


class _Weights(_Spy):
    def changes_weights(self, layer: int) -> bool:
        return layer == self.layer

    def weights(self, ctx: Any, layer: int, w: Tensor) -> Tensor:
        return w * self.square(ctx).exp()


class _States(_Spy):
    def states(self, ctx: Any, layer: int, h: Tensor) -> Tensor:
        return h + self.noise(ctx, *h.shape) if layer == self.layer else h


class _Readout(_Spy):
    def readout(self, ctx: Any, h: Tensor) -> Tensor:
        return h + self.noise(ctx, *h.shape)


SPIES = {
    site: ModifierSpec(name=f"spy_{site}", config=SpyConfig, build=build, source="benchbase.testing",
                       sites=frozenset({site}))
    for site, build in {
        "prefix": _Prefix, "mask": _Mask, "bias": _Bias, "boost": _Boost, "value": _Value, "weights": _Weights,
        "states": _States, "readout": _Readout,
    }.items()
}
"""One modifier per site, each with an effect that cannot be missed."""
