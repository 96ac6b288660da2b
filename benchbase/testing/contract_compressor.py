"""The contract of compressors: plans on ragged events, tokens before the events of the tiny backbones."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from ..data import split
from ..data.batches import Batch, Feed, FeedConfig, Plan, Targets
from ..data.batches.plans import Plans
from ..data.sequences import Events, gather
from ..nn import Compressor, SequenceModel
from ..specs import BackboneSpec, BuildContext, CompressorSpec, Config, Needs
from .build import make_model, part_config, same_written_down, train_step
from .checking import check, differ, keeps_global_state, rows_of, same, states
from .tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from .world import tiny_context, tiny_world

WINDOW = 4
"""Events that a model reads in these tests; the users of the tiny world have 5 to 14."""


class CompressorContract:
    """Inherit it with `spec` and an active `config`."""

    spec: ClassVar[CompressorSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    unreached: ClassVar[frozenset[str]] = frozenset()
    """Parameters, by name inside the compressor, that a small batch need not reach."""

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context(window=WINDOW)

    def backbones(self) -> list[BackboneSpec]:
        """The tiny backbones that the compressor fits."""
        needs: Needs = self.spec.resolve("needs", part_config(self.spec, self.config))
        return [
            spec for spec in (tiny_causal, tiny_bidirectional, tiny_pointwise)
            if needs.causal in (None, spec.causal) and (needs.training is None or spec.training in needs.training)
            and (needs.attention is None or spec.attention in needs.attention)
        ]

    def model(self, backbone: BackboneSpec = tiny_causal, *, with_it: bool = True, seed: int = 0) -> SequenceModel:
        return make_model(
            backbone, {"n_layers": 2, "dropout": 0.1}, objectives=[tiny_softmax], context=self.context(), seed=seed,
            compressor=(self.spec, self.config) if with_it else None,
        ).double()

    def part(self, model: SequenceModel) -> Compressor:
        assert model.compressor is not None
        return model.compressor

    def events(self) -> tuple[Events, Events]:
        """History and window of rows: without history, with an event of it, with all that a window leaves."""
        interactions = tiny_world().interactions
        first, last = interactions.offsets[:-1], interactions.offsets[1:]
        begins = np.concatenate([first, first + 1, last - WINDOW])
        return gather(interactions, np.tile(first, 3), begins), gather(interactions, begins, begins + WINDOW)

    def planned(self, history: Events, window: Events) -> Plan:
        part = self.part(self.model(self.backbones()[0]))
        return Plans(part).checked(part.plan(history, window, WINDOW), history.n_rows)

    def batches(self, backbone: BackboneSpec, model: SequenceModel) -> Iterator[tuple[Batch, Targets]]:
        """A training batch of the tiny world as the compressor leaves it, in double precision."""
        world = tiny_world()
        feed = Feed(world.interactions, world.catalogue, split(world.interactions, world.catalogue, "leave_one_out"),
                    FeedConfig(window=WINDOW, masked=backbone.training == "masked"), model.compressor)
        for groups in feed.train_batches(1, 8, 1):
            for group in groups:
                batch = replace(group.batch, actions=group.batch.actions.double(),
                                features=group.batch.features.double())
                yield batch, replace(group.targets, actions=group.targets.actions.double(),
                                     weights=group.targets.weights.double())

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_it_fits_a_backbone(self) -> None:
        check(self.backbones(), f"{self.spec.name}: needs fit no kind of backbone")

    def test_a_plan_has_the_form_of_plans_and_is_pure(self) -> None:
        history, window = self.events()
        before = [column.copy() for events in (history, window) for column in vars(events).values()]
        one, other = self.planned(history, window), self.planned(history, window)
        _same_plans(one, other, "the same events planned twice")
        after = [column for events in (history, window) for column in vars(events).values()]
        check(all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "plan changes the events it reads")
        check((one.displaced <= window.lengths).all(), "more events give way than there are")

    def test_a_row_has_the_same_plan_whatever_stands_beside_it(self) -> None:
        history, window = self.events()
        together = self.planned(history, window)
        for row in range(0, history.n_rows, 5):
            alone = self.planned(_row(history, row), _row(window, row))
            picked = {name: column[row : row + 1] for name, column in together.columns().items()}
            for name, column in alone.columns().items():
                check(np.array_equal(*_of_one_shape(column, picked[name])),
                      f"the plan of row {row} alone has another {name}")

    def test_without_history_nothing_stands_before_and_nothing_gives_way(self) -> None:
        history, window = self.events()
        plan, bare = self.planned(history, window), history.lengths == 0
        check((plan.tokens[bare] == 0).all(), "a row without history has tokens")
        check((plan.displaced[bare] == 0).all(), "events of a row without history give way")

    def test_a_token_is_as_old_as_the_newest_event_it_uses(self) -> None:
        history, window = self.events()
        plan = self.planned(history, window)
        for row in range(history.n_rows):
            begins, ends = history.offsets[row : row + 2]
            known = set(history.timestamp[begins:ends].tolist())
            gone = slice(window.offsets[row], window.offsets[row] + plan.displaced[row])
            known |= set(window.timestamp[gone].tolist())
            for time in plan.latest[row, : plan.tokens[row]].tolist():
                check(time in known, f"a token of row {row} uses time {time}, at which it has no older event")

    def test_a_plan_does_not_depend_on_events_that_are_kept(self) -> None:
        """The model asks for them, one after the other: a token that knew a later one would give it away."""
        history, window = self.events()
        plan = self.planned(history, window)
        place = np.arange(len(window.item)) - window.offsets[window.row]
        kept = place >= plan.displaced[window.row]
        draw = np.random.default_rng(0)
        changed = replace(
            window, item=np.where(kept, draw.integers(1, 31, len(kept)), window.item).astype(np.int32),
            timestamp=np.where(kept, window.timestamp + draw.integers(1, 10**6, len(kept)), window.timestamp),
            actions=np.where(kept[:, None], draw.random(window.actions.shape), window.actions).astype(np.float32),
        )
        _same_plans(plan, self.planned(history, changed), "a plan when events that are kept change")

    def test_tokens_have_the_form_of_the_plan(self) -> None:
        for backbone in self.backbones():
            model = self.model(backbone)
            for batch, _ in self.batches(backbone, model):
                plan = batch.plan.to("cpu")
                made = self.part(model).encode(plan, model.embedding)
                shape = (batch.n_rows, plan.latest.shape[1], model.backbone.width)
                check(made.x.shape == shape, f"encode gives {tuple(made.x.shape)}. Expected {shape}.")
                check(torch.isfinite(made.x).all(), "encode gives numbers that are not finite")
                if shape[1] == 0:
                    continue
                check(made.valid is not None and torch.equal(made.valid.expand(shape[:2]), plan.used),
                      "the valid tokens are not those of the plan. Expected valid=plan.used.")
                check(made.timestamp is not None
                      and torch.equal(made.timestamp.expand(shape[:2])[plan.used], plan.latest[plan.used]),
                      "the times of tokens are not those of the plan. Expected timestamp=plan.latest.")

    def test_rows_are_as_if_alone(self) -> None:
        for backbone in self.backbones():
            model = self.model(backbone)
            batch, _ = next(self.batches(backbone, model))
            together = states(model, batch)
            for row in range(batch.n_rows):
                alone = replace(rows_of(batch, [row]), plan=_rows_of_plan(batch.plan, row))
                same(states(model, alone)[0], together[row, : int(batch.lengths[row])],
                     f"row {row} alone and in its batch on {backbone.name}")

    def test_without_history_it_is_the_plain_model(self) -> None:
        for backbone in self.backbones():
            model, plain = self.model(backbone), self.model(backbone, with_it=False)
            batch, _ = next(self.batches(backbone, model))
            history, window = self.events()
            bare = self.part(model).plan(_cut(history, batch.n_rows), _cut(window, batch.n_rows), WINDOW)
            same(states(model, replace(batch, plan=bare)), states(plain, replace(batch, plan=None)),
                 f"no history on {backbone.name}", atol=0)

    def test_history_has_an_effect(self) -> None:
        for backbone in self.backbones():
            model = self.model(backbone)
            if self.part(model).max_tokens == 0:
                raise SkipTest("it has no tokens")
            history, window = self.events()
            batch, _ = next(self.batches(backbone, model))
            rows = np.flatnonzero(history.lengths > 1)[: batch.n_rows]
            other = replace(history, item=(history.item % 30 + 1).astype(np.int32))
            one, two = (self._states(model, batch, _pick(each, rows), _pick(window, rows)) for each in (history, other))
            differ(one, two, f"history on {backbone.name}")

    def _states(self, model: SequenceModel, batch: Batch, history: Events, window: Events) -> Tensor:
        return states(model, replace(batch, plan=self.part(model).plan(history, window, WINDOW)))

    def test_it_draws_from_no_global_generator(self) -> None:
        for backbone in self.backbones():
            one, other = self.model(backbone), self.model(backbone)
            batch, _ = next(self.batches(backbone, one))
            with keeps_global_state(self.spec.name):
                for phase in ("train", "score"):
                    same(states(one, batch, phase), states(other, batch, phase), f"equal seeds ({phase})", atol=0)

    def test_gradients_reach_every_parameter(self) -> None:
        backbone = self.backbones()[0]
        model = self.model(backbone)
        reached: set[str] = set()
        for batch, targets in self.batches(backbone, model):
            train_step(model, batch, targets)
            for name, parameter in self.part(model).named_parameters():
                if parameter.grad is not None:
                    check(torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite")
                    reached |= {name} if bool((parameter.grad != 0).any()) else set()
        for name, _ in self.part(model).named_parameters():
            check(name in reached | self.unreached, f"no gradient reaches {name}. Use it, or list it as `unreached`.")

    def test_a_state_dict_restores_it(self) -> None:
        for backbone in self.backbones():
            model, other = self.model(backbone), self.model(backbone, seed=5)
            batch, _ = next(self.batches(backbone, model))
            other.load_state_dict(model.state_dict())
            same(states(model, batch), states(other, batch), "states after a state_dict round trip", atol=0)


def _pick(events: Events, rows: np.ndarray) -> Events:
    """Some rows, in this order."""
    index = np.concatenate([np.arange(events.offsets[row], events.offsets[row + 1]) for row in rows])
    offsets = np.concatenate([[0], np.cumsum(events.lengths[rows])])
    index = index.astype(np.int64)
    return Events(offsets, events.item[index], events.timestamp[index], events.actions[index])


def _row(events: Events, row: int) -> Events:
    return _pick(events, np.array([row]))


def _cut(events: Events, rows: int) -> Events:
    """The first rows: those without history."""
    return _pick(events, np.arange(rows))


def _rows_of_plan(plan: Plan, row: int) -> Plan:
    columns = {name: column[row : row + 1] for name, column in plan.columns().items()}
    return Plan(columns.pop("tokens"), columns.pop("displaced"), columns.pop("latest"), columns)


def _of_one_shape(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both filled up with 0 to the larger: what a plan may be as wide as its rows need."""
    both = np.zeros((2, *np.maximum(one.shape, other.shape)), one.dtype)
    for at, column in enumerate((one, other)):
        both[at][tuple(map(slice, column.shape))] = column
    return both[0], both[1]


def _same_plans(one: Plan, other: Plan, what: str) -> None:
    for name, column in one.columns().items():
        check(np.array_equal(column, other.columns()[name]), f"{what}: {name} differs. Expected equal plans.")
