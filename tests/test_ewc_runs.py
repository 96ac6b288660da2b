"""Elastic weights in a stream: what training left is held, and at a strength of 0 nothing is another."""

from itertools import islice

import pytest
import torch

from benchbase.errors import Refusal
from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.train import fit, predict_then_learn
from benchbase.train.losses import LossMaker

pytestmark = pytest.mark.plugins
STREAM = {"name": "prequential", "test": 0.5, "valid": 0.1, "retained": 0.1, "periods": 4, "lr": 0.05, "batch": 4}


def ewc():
    return Registry.load().get("objective", "ewc")


def streaming(strength=None, examples=50, **split):
    objectives = [tiny_softmax] if strength is None else [
        tiny_softmax, (ewc(), {"strength": strength, "examples": examples})]
    protocol = {"split": STREAM | split, "targets": "each", "filter_seen": "none"}
    made = make_experiment(tiny_causal, objectives=objectives, protocol=protocol, train={"epochs": 3, "batch": 4})
    fit(made)
    return made


def values(experiment):
    return {name: each.detach().clone() for name, each in experiment.model.named_parameters()}


def moved(experiment, before):
    return sum(float((each - before[name]).square().sum()) for name, each in values(experiment).items())


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
        make_experiment(tiny_causal, objectives=[tiny_softmax, ewc()])
