"""The contract of objectives, on tiny backbones."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from ..data import split
from ..data.batches import Batch, Feed, FeedConfig, Targets, TrainBatch
from ..nn import ItemBias, Objective, SequenceModel
from ..specs import BackboneSpec, BuildContext, Config, HeadConfig, Needs, ObjectiveSpec
from ..train.losses import Groups, ask_objectives
from .build import Chosen, Step, forward, make_model, part_config, same_written_down, train_step
from .checking import check, keeps_global_state, padded, same
from .contract_backbone import relabelled
from .tiny import tiny_bce, tiny_bidirectional, tiny_causal, tiny_softmax
from .world import tiny_batch, tiny_context, tiny_world


class ObjectiveContract:
    """Inherit it with `spec` and `config`; `modifiers` publish the traces that it needs.

    `in_batch`: examples are negatives of each other, so that an example of weight 0 still has a say.
    """

    spec: ClassVar[ObjectiveSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    modifiers: ClassVar[Sequence[Chosen]] = ()
    in_batch: ClassVar[bool] = False
    names_matter: ClassVar[bool] = False
    """Whether it keeps facts by item id (counts, features), so that other ids mean another loss."""

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    @property
    def needs(self) -> Needs:
        needs = self.spec.resolve("needs", part_config(self.spec, self.config))
        assert isinstance(needs, Needs)
        return needs

    def backbones(self) -> list[BackboneSpec]:
        """The tiny backbones that the objective fits."""
        needs = self.needs
        return [spec for spec in (tiny_causal, tiny_bidirectional) if needs.causal in (None, spec.causal)
                and (needs.training is None or spec.training in needs.training)]

    def model(self, backbone: BackboneSpec, *, seed: int = 0) -> SequenceModel:
        layouts = self.needs.layouts
        layout = "items" if layouts is None or "items" in layouts else sorted(layouts)[0]
        # what only weighs or adds to scores is seen in the loss of another
        other: list[Chosen] = [tiny_softmax if self.task == "next_item" else tiny_bce]
        objectives: list[Chosen] = [(self.spec, self.config), *other]
        model = make_model(backbone, modifiers=self.modifiers, objectives=objectives, layout=layout,
                           context=self.context(), seed=seed,
                           head=HeadConfig(hidden=8) if self.task == "action" else None).double()
        if self.knows_periods(model):  # it may have a loss only after one, and once parameters have moved
            self.end_period(model, backbone)
            _move(model)
        return model

    def knows_periods(self, model: SequenceModel) -> bool:
        """Whether the ends of a stream's periods change it."""
        return type(self.part(model)).period_ended is not Objective.period_ended

    def end_period(self, model: SequenceModel, backbone: BackboneSpec) -> None:
        """Tell it of the end of a period, with single targets of the tiny world."""
        world, asked = tiny_world(), self.needs.negatives
        known = np.random.default_rng(0).random((world.interactions.n_events, self.context().n_features))
        interactions = replace(world.interactions, features=known.astype(np.float32))
        config = FeedConfig(window=12, masked=backbone.training == "masked" and self.task == "next_item",
                            task=self.task, negatives={} if asked is None else {self.spec.name: asked})  # type: ignore[arg-type]
        feed = Feed(interactions, world.catalogue, split(interactions, world.catalogue, "leave_one_out"), config,
                    model.compressor)
        model.eval()

        def loss(group: TrainBatch) -> Tensor:
            groups = Groups(model)
            encoded = model.encode(group.batch, "train", groups if groups.asking else None)
            output = model.output(encoded, group.batch, group.targets, "train")
            losses, _ = ask_objectives(model, output, groups, group.targets_for, group.batch)
            return torch.stack(list(losses.values())).sum()

        self.part(model).period_ended(map(_wide, feed.examples(0)), loss)

    @property
    def task(self) -> str:
        tasks = self.needs.tasks
        return "next_item" if tasks is None or "next_item" in tasks else "action"

    def batch(self, backbone: BackboneSpec) -> tuple[Batch, Targets]:
        """A batch with targets and the negatives that the objective asks for."""
        asked = self.needs.negatives
        masked = backbone.training == "masked" and self.task == "next_item"
        batch, targets = tiny_batch(masked=masked, task=self.task, dtype=torch.float64, n_rows=6,
                                    negatives=0 if asked is None else asked.count)
        if asked is None or targets.negatives is None or targets.log_q_negatives is None:
            return batch, replace(targets, log_q=None, log_q_negatives=None)
        if asked.law == "in_batch":  # each target once, the same for all
            negatives, log_q = targets.item[: asked.count], targets.log_q_negatives[: asked.count, 0]
            return batch, replace(targets, negatives=negatives, log_q_negatives=log_q[: len(negatives)])
        picks: dict[str, Any] = {"position": slice(None), "sequence": slice(0, batch.n_rows), "batch": 0}
        pick = picks[asked.scope]
        return batch, replace(targets, negatives=targets.negatives[pick], log_q_negatives=targets.log_q_negatives[pick])

    def losses(self, model: SequenceModel, step: Step) -> dict[str, Tensor]:
        """Its losses; of one that has none but changes others', theirs."""
        own = {name: loss for name, loss in step.losses.items() if name.startswith(f"{self.spec.name}.")}
        part = type(self.part(model))
        changes = any(getattr(part, name) is not getattr(Objective, name)
                      for name in ("example_weights", "score_term", "action_logits"))
        return dict(step.losses) if changes and not own else own

    def run(self, model: SequenceModel, batch: Batch, targets: Targets) -> dict[str, Tensor]:
        return self.losses(model, forward(model, batch, targets))

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_losses_are_finite_scalars_that_can_be_learned_from(self) -> None:
        for backbone in self.backbones():
            losses = self.run(self.model(backbone), *self.batch(backbone))
            check(losses, "no loss at all. Expected at least one.")
            for name, loss in losses.items():
                check(loss.shape == (), f"{name}: shape {tuple(loss.shape)}. Expected a scalar.")
                check(torch.isfinite(loss), f"{name}: not finite")
                check(loss.requires_grad, f"{name}: no gradient leaves it")

    def test_twice_the_weights_is_the_same_mean(self) -> None:
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            draw = torch.Generator().manual_seed(3)
            uneven = torch.rand(len(targets), generator=draw, dtype=torch.float64) + 0.5
            first, second = (self.run(self.model(backbone), batch, replace(targets, weights=w))
                             for w in (uneven, 2 * uneven))
            for name, loss in first.items():
                same(loss, second[name], f"{name} with all weights doubled")

    def test_weights_are_honoured(self) -> None:
        """Some loss moves with uneven weights, unless none is a mean over examples."""
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            uneven = torch.linspace(0.1, 3, len(targets), dtype=torch.float64)
            plain, moved = (self.run(self.model(backbone), batch, replace(targets, weights=w))
                            for w in (targets.weights, uneven))
            changed = replace(targets, item=targets.item % 30 + 1, actions=1 - targets.actions)
            other = self.run(self.model(backbone), batch, changed)
            for name, loss in plain.items():
                if abs(float(loss.detach() - other[name].detach())) > 1e-12:  # it is about the targets
                    check(abs(float(loss.detach() - moved[name].detach())) > 1e-12, f"{name}: ignores targets.weights")

    def test_an_example_of_weight_0_has_no_say(self) -> None:
        if self.in_batch:
            raise SkipTest("examples are negatives of each other")
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            weights = targets.weights.clone()
            weights[::2] = 0
            item, actions = targets.item.clone(), targets.actions.clone()
            item[::2], actions[::2] = item[::2] % 30 + 1, 1 - actions[::2]
            changes: dict[str, Any] = {"item": item, "actions": actions}
            asked = self.needs.negatives
            if targets.negatives is not None and asked is not None and asked.scope == "position":
                changes["negatives"] = targets.negatives.clone()
                changes["negatives"][::2] = targets.negatives[::2] % 30 + 1
            models = self.model(backbone), self.model(backbone)
            given = replace(targets, weights=weights), replace(targets, weights=weights, **changes)
            first, second = (self.losses(m, train_step(m, batch, t)) for m, t in zip(models, given, strict=True))
            for name, loss in first.items():
                same(loss, second[name], f"{name} when examples of weight 0 change")
            for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
                if one.grad is not None and other.grad is not None:
                    same(one.grad, other.grad, f"the gradient of {name} when examples of weight 0 change")

    def test_all_weights_0_is_still_finite(self) -> None:
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            model = self.model(backbone)
            step = train_step(model, batch, replace(targets, weights=torch.zeros_like(targets.weights)))
            for name, loss in self.losses(model, step).items():
                check(torch.isfinite(loss), f"{name}: not finite when every weight is 0")
            for name, parameter in model.named_parameters():
                check(parameter.grad is None or torch.isfinite(parameter.grad).all(),
                      f"the gradient of {name} is not finite when every weight is 0")

    def test_equal_input_gives_equal_losses(self) -> None:
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            with keeps_global_state(self.spec.name):
                first, second = (self.run(self.model(backbone), batch, targets) for _ in range(2))
            for name, loss in first.items():
                same(loss, second[name], f"{name}, twice", atol=0)

    def test_negatives_have_a_say_and_their_order_has_none(self) -> None:
        if self.needs.negatives is None:
            raise SkipTest("it asks for no negatives")
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            assert targets.negatives is not None and targets.log_q_negatives is not None
            count = targets.negatives.shape[-1]
            # laws that differ between items, so that each must stay with its own
            log_q = targets.log_q_negatives + torch.linspace(0, 1, count, dtype=torch.float64)
            first = self.run(self.model(backbone), batch, replace(targets, log_q_negatives=log_q))
            turned = replace(targets, negatives=targets.negatives.flip(-1), log_q_negatives=log_q.flip(-1))
            other = replace(targets, negatives=targets.negatives % 30 + 1, log_q_negatives=log_q)
            second, third = (self.run(self.model(backbone), batch, given) for given in (turned, other))
            for name, loss in first.items():
                same(loss, second[name], f"{name} with negatives in another order")
            check(any(float(loss.detach() - third[name].detach()) != 0 for name, loss in first.items()),
                  "no loss changes with the negatives that it asks for")

    def test_a_target_among_its_own_negatives_has_no_say(self) -> None:
        """Unless it was asked to stay: then it is the objective's own affair."""
        asked = self.needs.negatives
        if asked is None or asked.keep_positive or asked.scope == "position":
            raise SkipTest("it asks for no shared negatives without the positive")
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            assert targets.negatives is not None and targets.log_q_negatives is not None
            given = replace(targets, item=torch.full_like(targets.item, 7))
            all_own = replace(given, negatives=torch.full_like(targets.negatives, 7))
            unlikely = replace(all_own, log_q_negatives=targets.log_q_negatives - 5)
            first, second = (self.run(self.model(backbone), batch, each) for each in (all_own, unlikely))
            third = self.run(self.model(backbone), batch, replace(given, negatives=targets.negatives % 6 + 1))
            for name, loss in first.items():
                same(loss, second[name], f"{name} when a negative that is the target is less likely")
                check(float(loss.detach()) < float(third[name].detach()),
                      f"{name}: a negative that is the target itself counts. Expected it to be left out.")

    def test_negatives_of_a_sequence_serve_it_alone(self) -> None:
        asked = self.needs.negatives
        if asked is None or asked.scope != "sequence":
            raise SkipTest("it asks for no negatives by sequence")
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            assert targets.negatives is not None
            other = targets.negatives.clone()
            other[0] = other[0] % 30 + 1
            for alone in (True, False):
                given = replace(targets, weights=((targets.row == 0) == alone).double())
                first, second = (self.run(self.model(backbone), batch, each)
                                 for each in (given, replace(given, negatives=other)))
                changed = any(float(loss.detach() - second[name].detach()) != 0 for name, loss in first.items())
                check(changed == alone, "a sequence's negatives do not count for it" if alone else
                      "a sequence's negatives count for others")

    def test_padding_changes_no_loss(self) -> None:
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            first, second = (self.run(self.model(backbone), b, targets) for b in (batch, padded(batch, 3)))
            for name, loss in first.items():
                same(loss, second[name], f"{name} with more padding")

    def test_names_of_items_do_not_matter(self) -> None:
        if self.names_matter:
            raise SkipTest("it keeps facts by item id")
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            model, order = relabelled(self.model(backbone))
            renamed = replace(batch, items=torch.where(batch.items > 0, order[batch.items - 1] + 1, 0))
            negatives = None if targets.negatives is None else order[targets.negatives - 1] + 1
            moved = replace(targets, item=order[targets.item - 1] + 1, negatives=negatives)
            first, second = self.run(self.model(backbone), batch, targets), self.run(model, renamed, moved)
            for name, loss in first.items():
                same(loss, second[name], f"{name} under other item ids")

    def test_gradients_reach_its_own_parameters(self) -> None:
        for backbone in self.backbones():
            model = self.model(backbone)
            train_step(model, *self.batch(backbone))
            for name, parameter in self.part(model).named_parameters():
                reached = parameter.grad is not None and bool((parameter.grad != 0).any())
                check(reached, f"no gradient reaches {name}")

    def part(self, model: SequenceModel) -> Objective:
        return model.objectives[self.spec.name]

    def test_a_state_dict_restores_it(self) -> None:
        for backbone in self.backbones():
            batch, targets = self.batch(backbone)
            model, other = self.model(backbone), self.model(backbone, seed=5)
            other.load_state_dict(model.state_dict())
            first, second = self.run(model, batch, targets), self.run(other, batch, targets)
            for name, loss in first.items():
                same(loss, second[name], f"{name} after a state_dict round trip", atol=0)

    def test_the_end_of_a_period_moves_no_parameter(self) -> None:
        for backbone in self.backbones():
            model = self.model(backbone)
            if not self.knows_periods(model):
                raise SkipTest("it asks for no ends of periods")
            before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
            with keeps_global_state(self.spec.name):
                self.end_period(model, backbone)
            for name, parameter in model.named_parameters():
                same(parameter, before[name], f"{name} at the end of a period", atol=0)

    def test_example_weights_are_finite_factors(self) -> None:
        backbone = self.backbones()[0]
        batch, targets = self.batch(backbone)
        factors = self.part(self.model(backbone)).example_weights(targets, batch)
        if factors is not None:
            check(factors.shape == targets.weights.shape, f"example_weights: shape {tuple(factors.shape)}. "
                  f"Expected {tuple(targets.weights.shape)}.")
            check(torch.isfinite(factors).all() and (factors >= 0).all(), "example_weights: negative or not finite")
            check((factors > 0).any(), "example_weights: all are 0")

    def test_score_terms_are_one_matrix_however_it_is_asked_for(self) -> None:
        backbone = self.backbones()[0]
        batch, _ = self.batch(backbone)
        part = self.part(self.model(backbone))
        every = torch.arange(1, 31)
        for phase in ("train", "score"):
            term = part.score_term(batch, every, phase)
            if isinstance(term, ItemBias):
                check(term.vector.shape == (30,), f"ItemBias: shape {tuple(term.vector.shape)}. Expected one per item.")
            elif term is not None:
                check(term.shape == (batch.n_rows, 30),
                      f"score_term: shape {tuple(term.shape)}. Expected (rows, items).")
                some = torch.tensor([7, 2, 30])
                fewer = part.score_term(batch, some, phase)
                assert isinstance(fewer, Tensor)
                same(fewer, term[:, some - 1], "score_term of some items and its columns among all")

    def test_groups_are_shares_of_keys(self) -> None:
        for backbone in self.backbones():
            model, (batch, _) = self.model(backbone), self.batch(backbone)
            tokens = model.encode(batch, "train").tokens
            groups = self.part(model).groups(tokens)
            if groups is not None:
                check(groups.dim() == 3 and groups.shape[:2] == tokens.valid.shape,
                      f"groups: shape {tuple(groups.shape)}. Expected (rows, tokens, groups).")
                check((groups >= 0).all() and torch.isfinite(groups.double()).all(), "groups: negative or not finite")


def _move(model: SequenceModel) -> None:
    """Change every parameter a little."""
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype), alpha=0.05)


def _wide(group: TrainBatch) -> TrainBatch:
    """The same in double precision."""
    drawn = {name: _doubled(each) for name, each in group.negatives.items()}
    return TrainBatch(_doubled(group.batch), _doubled(group.targets), drawn)


def _doubled(tensors: Any) -> Any:
    return replace(tensors, **{field.name: value.double() for field in fields(tensors)
                               if isinstance(value := getattr(tensors, field.name), Tensor)
                               and value.dtype.is_floating_point})
