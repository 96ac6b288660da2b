"""The contract of backbones: what they declare is so; leaks and learning have modules of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from ..nn import PartContext, SequenceModel
from ..specs import SITES
from .backbone_case import PHASES
from .backbone_leaks import LeakRules
from .backbone_learning import LearningRules
from .build import forward, same_written_down
from .checking import check, differ, keeps_global_state, rewound, said, same, states
from .spies import SPIES

CORE_SITES = frozenset({"prefix", "readout"})
"""Sites that the core serves whatever the backbone does."""

ROUGH = {torch.float32: 1e-3, torch.bfloat16: 0.25}
"""How far states may lie from those in double precision, in parts of the largest: what a format and no fault costs."""


class BackboneContract(LeakRules, LearningRules):
    """Inherit it with `spec`, and `config` where the defaults are large; `steps` bounds the learning by heart.

    Leaks: no state sees a later event or how many there are, an action that it is to predict, another candidate,
    padding, another row, a label or an earlier batch, in value and in gradient, on every layout, in training and in
    scoring. Learning: gradients reach every parameter and are finite, one batch is learned by heart, `state_dict`
    restores the model, a stopped run ends bit for bit as one that was not. Facts: attention, sites, layers, heads,
    layouts and window are as declared; equal seeds give equal states, item ids are names, numbers have the precision
    of the model. Where a backbone does not repeat itself, that is reported and what compares two passes is skipped.
    """

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_states_have_a_shape_and_are_finite_everywhere(self) -> None:
        window = self.context().window
        check(self.layouts, "layouts: none. Expected at least one.")
        for rows, length in ((4, 7), (1, 1), (3, 1), (1, 7), (2, window)):
            for case in self.situations(n_rows=rows, length=length):
                body, what = case.model.backbone, f"{case.name}, {rows} rows of up to {length} events"
                check(min(body.n_layers, body.n_heads) >= 0, "n_layers and n_heads: not set. Expected whole numbers.")
                for kind, state in case.states().items():
                    check(tuple(state.shape) == (rows, length, body.width), f"{what}: states {kind} events have shape "
                          f"{tuple(state.shape)}. Expected {(rows, length, body.width)}.")
                    check(torch.isfinite(state).all(), f"{what}: states {kind} events not finite. Expected numbers.")

    def test_equal_seeds_give_equal_states(self) -> None:
        for case in self.every_situation(self.layouts):
            for kind, state in case.states().items():
                same(state, case.states()[kind], f"{case.name}: states {kind} events, twice from the same random "
                     "numbers", atol=0)
        batch, _ = self.batch()
        with keeps_global_state("encode"):
            one, other = self.model(), self.model()
            for phase in ("train", "score", "score"):
                first, second = states(one, batch, phase), states(other, batch, phase)
                same(first, second, f"states of equal models ({phase})", atol=0)
        drawn = {name: generator.get_state() for name, generator in one.generators.items()}
        same(states(one, batch), states(one, batch), "states of one model, scored twice", atol=0)
        untouched = all(torch.equal(drawn[name], g.get_state()) for name, g in one.generators.items())
        check(untouched, "scoring draws random numbers. Expected none outside the train phase.")
        differ(states(one, batch), states(self.model(seed=1), batch), "states under another seed")

    def test_names_of_items_do_not_matter(self) -> None:
        self.only_if_it_repeats()
        for layout in self.layouts:
            for phase in PHASES:
                model, (batch, targets) = self.model(layout=layout), self.batch()
                renamed, order = relabelled(self.model(layout=layout))
                items = torch.where(batch.items > 0, order[batch.items - 1] + 1, 0)
                moved = replace(batch, items=items), replace(targets, item=order[targets.item - 1] + 1)
                first, second = forward(model, batch, targets, phase).output, forward(renamed, *moved, phase).output
                what = f"under other item ids ({layout}, {phase})"
                same(first.states, second.states, f"states {what}")
                scores = second.scorer.scores(second.states)[:, order]
                same(first.scorer.scores(first.states), scores, f"scores {what}")
                differ(scores, scores.mean(1, keepdim=True).expand_as(scores), f"{layout}: scores of different items")

    def test_attention_is_as_declared(self) -> None:
        declared = self.resolved("attention")
        for case in self.situations():
            body = case.model.backbone
            with _calls() as calls:
                case.encode()
            what = f"{case.name}: attention {declared!r}, but ctx.attend"
            if declared == "none":
                check(not calls, f"{what} ran. Expected 'softmax' or 'pointwise', or no attention.")
                continue
            check(calls, f"{what} never ran. Expected 'none', or attention through the context.")
            layers, heads = [call.layer for call in calls], {call.heads for call in calls}
            what = f"{case.name}: ctx.attend ran"
            check(layers == sorted({*layers} & {*range(body.n_layers)}), f"{what} for layers {layers}. Expected each "
                  f"below n_layers, {body.n_layers}, at most once and in order.")
            check(heads == {body.n_heads}, f"{what} with {sorted(heads)} heads. Expected n_heads, {body.n_heads}.")

    def test_traces_declared_are_traces_published(self) -> None:
        declared = self.resolved("publishes")
        for case in (case for case in self.situations() if case.phase == "train"):
            case.model.traits = replace(case.model.traits, wanted=frozenset(declared))
            found = set(case.encode().traces)
            check(found == set(declared), f"{case.name}: publishes {sorted(found)} where all are wanted. Expected "
                  f"{sorted(declared)}, as its spec declares.")

    def test_precision_is_that_of_the_model(self) -> None:
        self.only_if_it_repeats()
        for layout in self.layouts:
            exact = states(rewound(self.model(layout=layout)), self.batch()[0])
            check(exact.dtype == torch.float64, f"{layout}: {exact.dtype} from a model in float64. Expected the same.")
            found = states(rewound(self.model(layout=layout).float()), self.batch(dtype=torch.float32)[0])
            check(found.dtype == torch.float32, f"{layout}: {found.dtype} from a model in float32. Expected the same.")
            _near(found, exact, torch.float32, layout)

    def test_it_runs_in_bfloat16(self) -> None:
        self.only_if_it_repeats()
        for layout in self.layouts:
            batch, targets = self.batch(dtype=torch.float32)
            exact = states(rewound(self.model(layout=layout)), self.batch()[0])
            model = self.model(layout=layout).float()
            with said(f"{layout}, bfloat16", "a pass under torch.autocast, where maps give bfloat16, and one back"):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    found = states(rewound(model), batch)
                    loss = torch.stack(list(forward(model, batch, targets).losses.values())).sum()
                loss.backward()  # type: ignore[no-untyped-call]
            _near(found, exact, torch.bfloat16, layout)
            for name, parameter in model.backbone.named_parameters():
                finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
                check(finite, f"{layout}: the gradient of {name} is not finite in bfloat16. Expected numbers.")

    def test_sites_honoured_are_the_sites_declared(self) -> None:
        declared = frozenset(self.resolved("sites"))
        for layout in self.layouts:
            plain, (batch, _) = self.model(layout=layout), self.batch(n_rows=2)
            before = states(plain, batch)
            layers = range(plain.backbone.n_layers)
            for site in sorted(SITES - CORE_SITES | declared):
                for layer in layers if site not in CORE_SITES else [0]:
                    after = states(self.model(layout=layout, modifiers=[(SPIES[site], {"layer": layer})]), batch)
                    moved = not torch.equal(before, after)
                    what = f"{layout}: site {site!r} in layer {layer}"
                    check(moved or site not in declared,
                          f"{what}: declared, but a modifier there has no effect. Expected one.")
                    check(not moved or site in declared,
                          f"{what}: has an effect, but is not declared. Expected it in `sites`.")


class Call(NamedTuple):
    """One call of `ctx.attend`: of which layer, with how many heads."""

    layer: int
    heads: int


@contextmanager
def _calls() -> Iterator[list[Call]]:
    """The calls of `ctx.attend` in the block."""
    seen: list[Call] = []
    attend = PartContext.attend

    def watch(ctx: PartContext, layer: int, q: Tensor, *arguments: Any, **options: Any) -> Tensor:
        seen.append(Call(layer, q.shape[1]))
        return attend(ctx, layer, q, *arguments, **options)

    with patch.object(PartContext, "attend", watch):
        yield seen


def _near(found: Tensor, exact: Tensor, dtype: torch.dtype, layout: str) -> None:
    """Fail where states in a format lie further from the exact ones than the format explains."""
    check(torch.isfinite(found).all(), f"{layout}: states in {dtype} are not finite. Expected numbers.")
    worst = float((found.detach().double() - exact.detach()).abs().max() / exact.detach().abs().max())
    check(worst <= ROUGH[dtype], f"{layout}: states in {dtype} are {worst:.2g} of the largest away from those in "
          f"float64. Expected at most {ROUGH[dtype]:g}.")


def relabelled(model: SequenceModel) -> tuple[SequenceModel, Tensor]:
    """A model with its item tables permuted: what was item j + 1 is item order[j] + 1."""
    table = model.embedding.table
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for parameter in (table, model.scorer.table, model.scorer.item_bias):
            if parameter is not None:
                parameter[order] = parameter.clone()
    return model, order
