"""Elastic weights: what is held is what mattered, as hard as it mattered, and nothing at a strength of 0."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_objectives

from benchbase.errors import Refusal, RunError
from benchbase.nn import TaggedParameter
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_context
from benchbase.train import fit, predict_then_learn
from benchbase.train.losses import LossMaker

SPEC = {spec.name: spec for spec in benchbase_objectives()}["ewc"]
STREAM = {"name": "prequential", "test": 0.5, "valid": 0.1, "retained": 0.1, "periods": 4, "lr": 0.05, "batch": 4}


def streaming(strength=None, examples=50, **split):
    objectives = [tiny_softmax] if strength is None else [
        tiny_softmax, (SPEC, {"strength": strength, "examples": examples})]
    protocol = {"split": STREAM | split, "targets": "each", "filter_seen": "none"}
    made = make_experiment(tiny_causal, objectives=objectives, protocol=protocol, train={"epochs": 3, "batch": 4})
    fit(made)
    return made


def values(experiment):
    return {name: each.detach().clone() for name, each in experiment.model.named_parameters()}


def moved(experiment, before):
    return sum(float((each - before[name]).square().sum()) for name, each in values(experiment).items())


def alone(table, strength=3.0, examples=4, unknown=(), name="embedding.table"):
    """The objective over one table, after a period of four targets whose losses are given sums of it."""
    counts = np.ones(len(table) + 1, np.int64)
    counts[[each + 1 for each in unknown]] = 0
    made = SPEC.build(SPEC.config(strength=strength, examples=examples), replace(tiny_context(), item_counts=counts))
    made.bind([TaggedParameter(name, "embedding", table), TaggedParameter("x", "objective", torch.nn.Parameter(table))])
    return made


def test_fisher_and_penalty_by_hand():
    table = torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    made = alone(table, unknown=[1])
    weights = torch.tensor([[[1.0, 0], [2, 0], [0, 0]], [[3, 0], [4, 0], [0, 2]]]).double().repeat(3, 1, 1)
    made.period_ended(iter(weights), lambda weight: (table * weight).sum())
    # the mean of 1, 9, 1, 9 and of 0, 4, 0, 4: four targets are asked for; the second row's item is not known
    assert made.fisher_0.tolist() == [[5, 0], [0, 0], [0, 2]]
    assert float(made.losses(None, None, None)["penalty"].detach()) == 0
    with torch.no_grad():
        table += torch.tensor([[1.0, 7], [9, 9], [4, 2]]).double()
    penalty = made.losses(None, None, None)["penalty"]
    assert float(penalty.detach()) == 3 / 2 * (5 * 1 + 2 * 4)
    gradient, = torch.autograd.grad(penalty, [table])
    assert gradient.tolist() == [[15, 0], [0, 0], [0, 12]]


def test_at_the_anchor_penalty_and_gradient_are_zero_and_fisher_is_not_negative():
    made = streaming(100.0)
    objective = made.model.objectives["ewc"]
    assert objective.losses(None, None, None) == {}, "while training nothing is held"
    loss = LossMaker(made, made.model)
    made.model.eval()
    objective.period_ended(made.feed.examples(0), lambda group: loss.total(loss(group)))
    penalty = objective.losses(None, None, None)["penalty"]
    assert float(penalty.detach()) == 0
    parameters = [each for name, each in made.model.named_parameters()]
    assert all((each == 0).all() for each in torch.autograd.grad(penalty, parameters))
    fishers = [value for name, value in objective.named_buffers() if name.startswith("fisher")]
    assert len(fishers) == len(parameters) and all((each >= 0).all() for each in fishers)
    assert sum(float(each.sum()) for each in fishers) > 0


def test_fisher_is_the_mean_of_squared_gradients_of_single_targets():
    made = streaming(1.0, examples=30)
    objective, loss = made.model.objectives["ewc"], LossMaker(made, made.model)
    made.model.eval()
    objective.period_ended(made.feed.examples(5), lambda group: loss.total(loss(group)))
    table = made.model.embedding.table
    total = torch.zeros_like(table)
    for group in islice(made.feed.examples(5), 30):
        made.model.zero_grad()
        states = made.model.output(made.model.encode(group.batch, "train"), group.batch, group.targets, "train")
        logits = states.scorer.scores(states.states)
        torch.nn.functional.cross_entropy(logits, group.targets.item - 1).backward()
        total += table.grad ** 2
    place = [each.name for each in objective.kept].index("embedding.table")
    unknown = torch.from_numpy(made.context.item_counts[1:] == 0)
    total[unknown] = 0
    torch.testing.assert_close(getattr(objective, f"fisher_{place}"), total / 30)


def test_strength_0_is_plain_online_learning_bit_for_bit():
    plain, none = streaming(), streaming(0.0)
    one, other = predict_then_learn(plain), predict_then_learn(none)
    assert one.curve == other.curve and one.figures == other.figures
    for name, value in values(plain).items():
        assert torch.equal(value, values(none)[name])


def test_the_stronger_the_less_moves():
    distances = []
    for strength in (None, 1.0, 30.0, 1000.0):
        made = streaming(strength, lr=0.005)
        before = values(made)
        predict_then_learn(made)
        distances.append(moved(made, before))
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.6 * distances[0]


def test_what_did_not_matter_is_free_and_what_did_is_frozen_as_the_strength_grows():
    """Steps of gradient descent on a loss that pulls both ways alike, each small enough for the penalty."""
    ends = []
    for strength in (0.0, 10.0, 1e4):
        table = torch.nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
        made = alone(table, strength=strength, examples=1)
        made.period_ended(iter([None]), lambda _, table=table: table[0].sum())
        for _ in range(2000):
            loss = (table - 1).square().sum() + sum(made.losses(None, None, None).values())
            gradient, = torch.autograd.grad(loss, [table])
            with torch.no_grad():
                table -= gradient / (2 + strength)
        ends.append(table.detach().ravel().tolist())
    assert ends[0] == pytest.approx([1, 1])
    assert ends[1] == pytest.approx([2 / 12, 1], abs=1e-6)
    assert abs(ends[2][0]) < 1e-3


def test_later_periods_change_neither_anchor_nor_fisher():
    made = streaming(10.0)
    predict_then_learn(made)
    objective = made.model.objectives["ewc"]
    kept = {name: value.clone() for name, value in objective.named_buffers()}
    loss = LossMaker(made, made.model)
    objective.period_ended(made.feed.examples(0), lambda group: loss.total(loss(group)))
    assert all(torch.equal(value, kept[name]) for name, value in objective.named_buffers())
    assert float(objective.losses(None, None, None)["penalty"].detach()) > 0


def test_without_a_stream_it_is_refused():
    message = (r"ewc \+ split leave_one_out: nothing is learned after training, so that nothing can be forgotten\. "
               r"Expected split: prequential\.")
    with pytest.raises(Refusal, match=message):
        make_experiment(tiny_causal, objectives=[tiny_softmax, SPEC])


def test_a_loss_that_is_not_finite_says_so():
    table = torch.nn.Parameter(torch.zeros(2, 1))
    with pytest.raises(RunError, match=r"ewc: the loss of a training target is not finite\. Expected a finite number"):
        alone(table).period_ended(iter([None]), lambda _: table.sum() / 0)


def test_a_loss_without_a_gradient_holds_nothing():
    table = torch.nn.Parameter(torch.ones(2, 1))
    made = alone(table, examples=1)
    made.period_ended(iter([None]), lambda _: torch.ones(()))
    assert made.fisher_0.tolist() == [[0], [0]]
