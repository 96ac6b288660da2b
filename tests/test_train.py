"""The loop: what one step computes, what stops it, what parts may rely on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from benchbase.data import TRAIN
from benchbase.errors import PluginError, RunError
from benchbase.evaluate import rank
from benchbase.nn import Combiner, Objective
from benchbase.specs import CombinerConfig, CombinerSpec, Config, Needs, Negatives, ObjectiveSpec, ScorerConfig
from benchbase.testing.build import make_experiment, make_model, train_step
from benchbase.testing.probes import probe_recent
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_world
from benchbase.train import fit, tag_parameters
from benchbase.train.loop import device_name


class Invented(Objective):
    """An objective out of functions."""

    def __init__(self, losses=lambda output, targets, batch: {}, weights=None, ended=None):
        super().__init__()
        self._losses, self._weights, self._ended = losses, weights, ended

    def losses(self, output, targets, batch):
        return self._losses(output, targets, batch)

    def example_weights(self, targets, batch):
        return None if self._weights is None else self._weights(targets, batch)

    def epoch_ended(self, means):
        if self._ended:
            self._ended(means)


def objective(name, *args, needs=None, **functions):
    return ObjectiveSpec(name=name, config=Config, build=lambda config, context: Invented(*args, **functions),
                         source="here", needs=needs or Needs())


def push(sign):
    """A loss that asks the states' mean for the sign's side."""
    return lambda output, targets, batch: {"push": targets.mean(F.softplus(sign * output.states.sum(dim=1)))}


class Adversary(Objective):
    """An objective with a parameter of its own, far from where it wants to be."""

    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.full((3,), 100.0))

    def losses(self, output, targets, batch):
        return {"own": self.own.square().sum()}


adversary = ObjectiveSpec(name="adversary", config=Config, build=lambda config, context: Adversary(), source="here")


class Recorder(torch.optim.SGD):
    """Steps that remember the gradients they were given."""

    def __init__(self, groups, rate=0.0):
        super().__init__([{"params": group} for group in groups], lr=rate)
        self.given = []

    def step(self, closure=None):
        groups = [group["params"] for group in self.param_groups]
        self.given.append([[p.grad if p.grad is None else p.grad.clone() for p in group] for group in groups])
        return super().step(closure)


def gradients(experiment, monkeypatch):
    """The gradients of every step of a fit that moves nothing, by group."""
    made = []

    def make(groups, experiment):
        made.append(Recorder(groups))
        return made[0]

    monkeypatch.setattr("benchbase.train.loop.make_optimizer", make)
    fit(experiment)
    monkeypatch.undo()
    return made[0].given


def curve_of(fitted, name):
    return [value for _, each, value in fitted.curve if each == name]


def test_it_learns_what_follows_what_by_heart():
    world = tiny_world(n_users=6)
    made = make_experiment((tiny_causal, {"width": 32}), objectives=[tiny_softmax], world=world,
                           train={"epochs": 120, "lr": 0.01, "patience": 0})
    losses = curve_of(fit(made), "train.tiny_softmax.softmax")
    assert losses[0] > 3.0 and losses[-1] < 0.1


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional])
def test_a_step_of_the_weighted_sum_is_that_of_a_loop_by_hand(backbone, optimizer):
    train = {"batch": 1000, "buckets": 1, "lr": 0.01, "beta2": 0.98, "weight_decay": 0.1, "optimizer": optimizer}
    parts = {"objectives": [tiny_softmax, objective("push", push(1.0))], "train": train}
    ours, other = make_experiment(backbone, **parts), make_experiment(backbone, **parts)
    ours.weights = {"tiny_softmax": 1.0, "push": {"push": 0.3}}
    fit(ours)
    model = other.model
    (group,), = other.feed.train_batches(1, 1000, 1)
    output = model.output(model.encode(group.batch, "train"), group.batch, group.targets, "train")
    loss = sum(weight * next(iter(o.losses(output, group.targets, group.batch).values()))
               for weight, o in zip((1.0, 0.3), model.objectives.values(), strict=True))
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    by_hand = kind(model.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    loss.backward()
    by_hand.step()
    for (name, one), (_, two) in zip(ours.model.named_parameters(), model.named_parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=2e-6, rtol=0, msg=name)


def lean(targets, batch):
    """Example weights from 0 to 2, none of a whole row."""
    return (targets.event % 3).float()


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional])
@pytest.mark.parametrize("weights", [None, lean, lambda targets, batch: (batch.lengths[targets.row] > 6).float()])
def test_buckets_change_no_gradient(monkeypatch, backbone, weights):
    """Not where examples are weighted either, nor where a whole group weighs nothing."""
    found = []
    for buckets in (1, 4, 1000):
        made = make_experiment(backbone, objectives=[tiny_softmax, objective("weigh", weights=weights)],
                               train={"buckets": buckets, "batch": 12})
        found.append(gradients(made, monkeypatch))
    assert len(found[0]) == 2 and any(g is not None and g.abs().max() > 1e-4 for g in found[0][0][0])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for a, b in zip(one[0], two[0], strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_example_weights_of_all_objectives_multiply_and_reach_every_loss():
    seen = []

    def note(output, targets, batch):
        seen.append((targets.weights.clone(), targets.event, targets.negatives))
        return {"note": targets.mean(output.states.sum(1))}

    factor = nn.Parameter(torch.tensor(3.0))
    asks = Needs(negatives=Negatives(count=2))
    made = make_experiment(tiny_causal, objectives=[
        objective("first", note, weights=lean), objective("third"), tiny_softmax,
        objective("second", note, needs=asks, weights=lambda t, b: factor.expand(len(t)))])
    fit(made)
    assert factor.grad is None
    assert any(negatives is not None for *_, negatives in seen) and any(negatives is None for *_, negatives in seen)
    for weights, event, _ in seen:
        assert torch.equal(weights, 3.0 * (event % 3))


def test_examples_without_any_weight_move_nothing():
    nothing = objective("none", weights=lambda targets, batch: targets.weights * 0)
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, nothing])
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    with pytest.raises(RunError, match="changed nothing"):
        fit(made)
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())


def test_means_are_over_examples_whatever_the_batches():
    heard = []
    mean_item = lambda output, targets, batch: {"item": targets.mean(targets.item.float())}  # noqa: E731
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, objective("mean", mean_item, ended=heard.append)],
                           train={"batch": 7, "epochs": 2})
    fitted = fit(made)
    interactions, part = made.data.prepared.interactions, made.data.split.part
    window, wanted = made.suite.protocol.window, []
    for a, b in zip(interactions.offsets, interactions.offsets[1:], strict=False):
        own = interactions.item[a:b][part[a:b] == TRAIN]
        wanted += own[-(window + 1):][1:].tolist()
    assert curve_of(fitted, "train.mean.item") == pytest.approx([np.mean(wanted)] * 2, rel=1e-6)
    assert heard == [{"item": pytest.approx(np.mean(wanted))}] * 2


class Telling(Objective):
    """A loss and a number beside it, the mean event of the examples."""

    def __init__(self, name="event"):
        super().__init__()
        self.name, self.heard, self.graphs = name, [], []

    def losses(self, output, targets, batch):
        return {"zero": 0 * targets.mean(output.states.sum(1))}

    def logs(self, output, targets, batch):
        self.graphs.append(torch.is_grad_enabled())
        return {self.name: targets.mean(targets.event.float())}

    def epoch_ended(self, means):
        self.heard.append(means)


def telling(name):
    return ObjectiveSpec(name="telling", config=Config, build=lambda config, context: Telling(name), source="here")


def test_logged_numbers_are_recorded_beside_the_losses_and_are_none():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, telling("event")], train={"batch": 7})
    events = torch.cat([g.targets.event for groups in made.feed.train_batches(1, 7, 2) for g in groups])
    fitted, part = fit(made), made.model.objectives["telling"]
    mean = pytest.approx(float(events.double().mean()), rel=1e-6)
    assert curve_of(fitted, "train.telling.event") == [mean] and not any(part.graphs)
    assert part.heard == [{"zero": 0.0, "event": mean}]
    with pytest.raises(PluginError, match=r"telling: the logged zero has the name of a loss\. Expected another name"):
        fit(make_experiment(tiny_causal, objectives=[telling("zero")]))


def test_a_single_step_weighs_examples_as_the_trainer_does():
    """No gradient passes through the weights."""
    factor = nn.Parameter(torch.tensor(3.0))
    model = make_model(tiny_causal, objectives=[tiny_softmax, objective("w", weights=lambda t, b: factor * t.weights)])
    train_step(model, *tiny_batch())
    assert factor.grad is None and model.embedding.table.grad is not None


class Watch(Combiner):
    """A combiner that keeps what it was given and adds the gradients, one third of them the other's."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def combine(self, losses, parameters):
        grads = {name: torch.autograd.grad(loss, parameters.all, retain_graph=True, allow_unused=True)
                 for name, loss in losses.items()}
        self.seen.append(SimpleNamespace(
            losses={name: loss.item() for name, loss in losses.items()}, grads=grads, parameters=parameters,
            clean=all(p.grad is None for p in parameters.all)))
        for p, a, b in zip(parameters.all, *grads.values(), strict=True):
            p.grad = None if a is None and b is None else (0 if a is None else a) + (0 if b is None else b / 3)
        return dict(zip(losses, (1.0, 1 / 3), strict=True))


class Balanced(CombinerConfig):
    balance: tuple[str, str] = Field(("tiny_softmax.softmax", "other.push"), description="the two losses")


watch = CombinerSpec(name="watch", config=Balanced, build=lambda config, context: Watch(), source="here")


def balanced(**train):
    made = make_experiment(
        tiny_causal, combiner=watch, train={"batch": 8, "buckets": 3, "epochs": 2} | train,
        objectives=[tiny_softmax, objective("other", push(-1.0)), objective("third", push(1.0))])
    made.weights = {"tiny_softmax": 1.0, "other": 5.0, "third": 2.0}
    return made


def test_a_combiner_meets_clean_gradients_and_its_two_losses_with_all_others_in_the_main():
    made = balanced()
    fitted = fit(made)
    assert len(made.combiner.seen) == 2 * made.feed.n_batches(8)
    for seen in made.combiner.seen:
        assert seen.clean and list(seen.losses) == ["tiny_softmax.softmax", "other.push"]
    tagged = tag_parameters(made.model)
    assert [id(p) for p in seen.parameters.all] == [id(t.parameter) for t in tagged]
    assert [id(p) for p in seen.parameters.shared] == [id(t.parameter) for t in tagged if t.tag == "encoder"]
    assert 0 < len(seen.parameters.shared) < len(seen.parameters.all)
    means = {name: curve_of(fitted, f"train.{name}") for name in ("tiny_softmax.softmax", "other.push", "third.push")}
    steps = made.combiner.seen[: made.feed.n_batches(8)]
    weights = [float(sum(len(g.targets) for g in groups)) for groups in made.feed.train_batches(1, 8, 3)]
    main = np.average([s.losses["tiny_softmax.softmax"] for s in steps], weights=weights)
    other = np.average([s.losses["other.push"] for s in steps], weights=weights)
    assert main == pytest.approx(means["tiny_softmax.softmax"][0] + 2 * means["third.push"][0], rel=1e-5)
    assert other == pytest.approx(5 * means["other.push"][0], rel=1e-5)
    assert curve_of(fitted, "train.combiner.other.push") == pytest.approx([1 / 3] * 2)
    assert curve_of(fitted, "train.combiner.tiny_softmax.softmax") == pytest.approx([1.0] * 2)


def test_the_gradients_a_combiner_fills_are_those_of_the_step(monkeypatch):
    made = balanced(epochs=1)
    given = gradients(made, monkeypatch)
    assert len(given) == len(made.combiner.seen) > 1
    for step, seen in zip(given, made.combiner.seen, strict=True):
        for grad, a, b in zip(step[0], *seen.grads.values(), strict=True):
            assert (grad is None) == (a is None and b is None)
            if a is not None and b is not None:
                torch.testing.assert_close(grad, a + b / 3)


def test_a_combiner_of_a_loss_that_nobody_returns_is_an_error():
    made = balanced()
    made.balance = ("tiny_softmax.softmax", "other.pull")
    with pytest.raises(RunError, match=r"balance names other\.pull, which no objective returns. Expected two out"):
        fit(made)


def two_terms(output, targets, batch):
    return {"a": targets.mean(output.states.sum(1)), "b": targets.mean(output.states[:, 0])}


@pytest.mark.parametrize(("weight", "factors"), [(2.0, (2, 2)), ({"a": 3.0}, (3, 1)), ({"a": 0.0, "b": 4.0}, (0, 4))])
def test_a_weight_is_of_the_objective_or_of_each_term(monkeypatch, weight, factors):
    found = []
    for weights, losses in (({"two": weight}, two_terms), ({}, lambda *given: {
            term: factor * value for factor, (term, value) in zip(factors, two_terms(*given).items(), strict=True)})):
        made = make_experiment(tiny_causal, objectives=[objective("two", losses)])
        made.weights = weights
        found.append(gradients(made, monkeypatch))
    for one, two in zip(*found, strict=True):
        for a, b in zip(one[0], two[0], strict=True):
            assert a is b is None or torch.allclose(a, b, atol=1e-6)


def test_a_weight_of_a_term_that_is_not_returned_is_an_error():
    made = make_experiment(tiny_causal, objectives=[objective("two", two_terms)])
    made.weights = {"two": {"c": 1.0}}
    with pytest.raises(RunError, match=r"two: weight names the term c, which it does not return. Expected .* a, b"):
        fit(made)


def test_recorded_terms_are_those_before_their_weights():
    values = []
    for weight in (1.0, 7.0):
        made = make_experiment(tiny_causal, objectives=[tiny_softmax], train={"batch": 1000})
        made.weights = {"tiny_softmax": weight}
        values.append(curve_of(fit(made), "train.tiny_softmax.softmax"))
    assert values[0] == values[1]


def test_a_configuration_that_returns_no_loss_is_an_error():
    with pytest.raises(RunError, match=r"no objective returns a loss\. Expected at least one"):
        fit(make_experiment(tiny_causal, objectives=[objective("mute")]))


@pytest.mark.parametrize(("name", "losses", "weights", "message"), [
    ("wide", lambda o, t, b: {"x": o.states.sum(1)}, None, r"wide: the term x has shape \(\d+,\)\. Expected \(\)"),
    ("tall", push(1.0), lambda t, b: torch.ones(len(t), 1), r"tall: example weights has shape \(\d+, 1\)\. Expec"),
])
def test_losses_and_weights_of_another_shape_are_the_plugins_mistake(name, losses, weights, message):
    with pytest.raises(PluginError, match=message):
        fit(make_experiment(tiny_causal, objectives=[objective(name, losses, weights=weights)]))


@pytest.mark.parametrize("combined", [False, True])
def test_a_loss_that_is_not_finite_is_divergence(combined):
    calls = []

    def nan_later(output, targets, batch):
        calls.append(1)
        return {"push": output.states.sum() * (float("nan") if len(calls) > 4 else 1.0)}

    parts = {"combiner": watch} if combined else {}
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, objective("other", nan_later)],
                           train={"epochs": 9, "batch": 12, "buckets": 1}, **parts)
    with pytest.raises(RunError, match=r"the loss is nan in epoch 3. Expected a finite number.") as error:
        fit(made)
    assert error.value.status == "diverged"


def test_a_parameter_that_is_not_finite_is_divergence(tmp_path):
    """A finite loss with a gradient that is not, in the last step of an epoch; it never reaches a checkpoint."""
    steep = objective("steep", lambda o, t, b: {"x": (o.states.sum() * 0).sqrt()})
    made = make_experiment(tiny_causal, objectives=[steep], train={"batch": 1000, "buckets": 1})
    with pytest.raises(RunError, match=r"a parameter is not finite after epoch 1. Expected finite numbers") as error:
        fit(made, tmp_path)
    assert error.value.status == "diverged" and not list(tmp_path.iterdir())


def test_a_run_past_its_minutes_is_a_timeout():
    with pytest.raises(RunError, match=r"training: over 1e-09 minutes in epoch 1. Expected an end before") as error:
        fit(make_experiment(tiny_causal, objectives=[tiny_softmax], train={"minutes": 1e-9}))
    assert error.value.status == "timeout"


def scripted(monkeypatch, values):
    """Let the valid part give these values in turn."""
    left = iter(values)
    monkeypatch.setattr("benchbase.evaluate.metric_values", lambda ranking, names: {names[0]: next(left)})


@pytest.mark.parametrize(("values", "train", "wanted"), [
    ([3, 2, 1, 9], {"patience": 2, "epochs": 9}, (3, 1, False, "plateau")),
    ([1, 2, 2, 2], {"patience": 2, "epochs": 9}, (4, 2, False, "plateau")),
    ([1, 2, 3], {"patience": 2, "epochs": 3}, (3, 3, True, "epochs")),
    ([1, 3, 2], {"patience": 5, "epochs": 3}, (3, 2, False, "epochs")),
    ([5, 4, 3, 2, 1], {"patience": 0, "epochs": 5}, (5, 1, False, "epochs")),
    ([5, 4, 3], {"patience": 2, "epochs": 3}, (3, 1, False, "plateau")),
    ([1, 2, 1, 1], {"patience": 2, "epochs": 20, "eval_every": 3}, (12, 6, False, "plateau")),
    ([1, 2], {"patience": 9, "epochs": 4, "eval_every": 3}, (4, 4, True, "epochs")),
])
def test_when_it_stops_and_what_it_keeps(monkeypatch, values, train, wanted):
    scripted(monkeypatch, values)
    states, heard = {}, []
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], train=train)

    def report(progress):
        heard.append((progress.epoch, progress.metric, progress.best))
        states[progress.epoch] = {name: value.clone() for name, value in made.model.state_dict().items()}

    fitted = fit(made, report=report)
    assert (fitted.epochs, fitted.best_epoch, fitted.under_trained, fitted.stopped) == wanted
    every = train.get("eval_every", 1)
    evaluated = [e for e in range(1, fitted.epochs + 1) if e % every == 0 or e == train["epochs"]]
    best = np.maximum.accumulate(values[: len(evaluated)]).tolist()
    assert heard == list(zip(evaluated, values, best, strict=False))
    curve = [(epoch, value) for epoch, name, value in fitted.curve if name == "valid.ndcg@10"]
    assert curve == list(zip(evaluated, values, strict=False))
    for name, value in made.model.state_dict().items():
        assert torch.equal(value, states[fitted.best_epoch][name]), name


def check_unselected(made):
    heard = []
    fitted = fit(made, report=heard.append)
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped) == (3, 3, "epochs")
    assert [(p.epoch, p.metric, p.best) for p in heard] == [(1, None, None), (2, None, None), (3, None, None)]


def test_without_a_valid_part_it_runs_to_the_end():
    check_unselected(make_experiment(tiny_causal, objectives=[tiny_softmax], train={"epochs": 3, "patience": 1},
                                     protocol={"split": "temporal_ratio[valid=0.0]"}))


def test_a_valid_part_of_which_nothing_can_be_ranked_is_no_plateau(monkeypatch):
    monkeypatch.setattr("benchbase.evaluate.assess", lambda experiment, part: ())
    check_unselected(make_experiment(tiny_causal, objectives=[tiny_softmax], train={"epochs": 3, "patience": 1}))


def test_own_parameters_are_clipped_apart(monkeypatch):
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, adversary], train={"clip": 1e-3})
    for step in gradients(made, monkeypatch):
        norms = [torch.stack([g.norm() for g in group if g is not None]).norm() for group in step]
        assert norms == [pytest.approx(1e-3, rel=1e-3)] * 2
    tags = {t.name: t.tag for t in tag_parameters(made.model)}
    assert tags["objectives.adversary.own"] == "objective" and tags["embedding.table"] == "embedding"
    assert {tags[name] for name in tags if name.startswith("backbone.")} == {"encoder"}


@pytest.mark.parametrize("output", ["tied", "separate"])
def test_item_vectors_are_embeddings_and_the_rest_of_the_scorer_is_a_head(output):
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], scorer=ScorerConfig(output=output, bias=True))
    tags = {t.name: t.tag for t in tag_parameters(made.model)}
    assert tags["scorer.item_bias"] == "head"
    assert tags.get("scorer.table") == {"tied": None, "separate": "embedding"}[output]


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional])
def test_a_narrower_forward_pass_trains_and_ranks(backbone):
    kinds = set()

    def note(output, targets, batch):
        kinds.add(output.states.dtype)
        return {"x": targets.mean(output.states.sum(1))}

    made = make_experiment(backbone, objectives=[tiny_softmax, objective("note", note)],
                           train={"precision": "bfloat16", "epochs": 3})
    plain = make_experiment(backbone, objectives=[tiny_softmax, objective("note", note)], train={"epochs": 3})
    low, full = (curve_of(fit(each), "train.tiny_softmax.softmax") for each in (made, plain))
    assert kinds == {torch.float32}
    assert low != full and low == pytest.approx(full, abs=0.05)
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}


def test_what_a_fit_says_of_its_cost():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], train={"epochs": 2})
    fitted = fit(made)
    lengths = [n for groups in made.feed.train_batches(1, 8, 2) for g in groups for n in g.batch.lengths.tolist()]
    assert fitted.tokens_per_sequence == pytest.approx(np.mean(lengths))
    assert fitted.parameters == sum(p.numel() for p in made.model.parameters())
    assert fitted.device == "cpu" and fitted.route == ("fused",) and fitted.history is None


def test_a_fit_with_a_compressor_says_what_stood_for_how_much_history():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], compressor=probe_recent,
                           protocol={"split": "leave_one_out", "window": 4}, train={"epochs": 2})
    events, tokens, every = [], [], []
    for groups in make_experiment(tiny_causal, objectives=[tiny_softmax], compressor=probe_recent,
                                  protocol={"split": "leave_one_out", "window": 4}).feed.train_batches(1, 8, 2):
        for group in groups:
            events += group.batch.history.offsets.diff().tolist()
            tokens += group.batch.plan.tokens.tolist()
            every += (group.batch.lengths + torch.as_tensor(group.batch.plan.tokens)).tolist()
    fitted = fit(made)
    assert fitted.history == pytest.approx((np.mean(events), np.mean(tokens)))
    assert fitted.tokens_per_sequence == pytest.approx(np.mean(every)) and max(tokens) == 2 < max(events)
    assert fitted.seconds > 0 and 10 * 2**20 < fitted.peak_memory < 2**40


def test_a_recommender_is_fitted_on_train_events_alone():
    got = {}

    class Fitted:
        def fit(self, train, context):
            got["train"], got["context"] = train, context

    made = make_experiment(tiny_causal, objectives=[tiny_softmax])
    fitted = fit(replace(made, model=None, feed=None, recommender=Fitted()))
    interactions, part = made.data.prepared.interactions, made.data.split.part
    assert got["train"].item.tolist() == interactions.item[part == TRAIN].tolist()
    assert got["train"].n_rows == interactions.n_users
    assert (fitted.stopped, fitted.curve, fitted.under_trained) == ("fitted", [], False)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_recommender_computes_with_the_threads_of_the_suite(threads):
    """Its linear algebra too, whatever the environment says; afterwards all is as before."""
    def blas():
        return {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}

    seen = []

    class Counting:
        def fit(self, train, context):
            seen.append(blas())

        def scores(self, histories, times):
            seen.append(blas())
            return np.zeros((histories.n_rows, 30))

    made = make_experiment(tiny_causal, objectives=[tiny_softmax], train={"threads": threads})
    made = replace(made, model=None, feed=None, recommender=Counting())
    before = blas()
    fit(made)
    rank(made, "test")
    assert len(seen) > 1 and all(each == {threads} for each in seen) and blas() == before


def test_a_gpu_is_told_by_its_model(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"model {device.index}")
    assert device_name(torch.device("cuda", 1)) == "model 1" and device_name(torch.device("cpu")) == "cpu"


def leave_settings(output, targets, batch):
    """A loss that leaves torch in another state than it found it in."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")
    torch.set_autocast_enabled("cpu", True)
    torch.set_flush_denormal(True)
    torch.set_grad_enabled(False)
    return {"vandal": output.states.sum()}


def test_settings_that_a_part_leaves_behind_change_no_other_run():
    def run(chosen):
        made = make_experiment(tiny_causal, objectives=[chosen])
        return fit(made).curve, rank(made, "test").above.tolist()

    first = run(tiny_softmax)
    try:
        with pytest.raises(RunError, match="changed nothing"):
            run(objective("vandal", leave_settings))
        assert run(tiny_softmax) == first
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("chosen", [
    objective("idle", weights=lambda targets, batch: torch.zeros_like(targets.weights), losses=push(1)),
    objective("constant", lambda output, targets, batch: {"one": torch.ones(())}),
    objective("cut", lambda output, targets, batch: {"cut": output.states.detach().sum()}),
], ids=lambda spec: spec.name)
def test_a_run_that_learns_nothing_fails(chosen):
    with pytest.raises(RunError, match=r"training: epoch 1 changed nothing: no loss had a gradient, or every example "
                                       r"weighed 0\. Expected a loss that depends on the parameters\."):
        fit(make_experiment(tiny_causal, objectives=[chosen]))


@pytest.mark.parametrize("column", ["item", "event", "weights"])
def test_an_objective_that_changes_the_targets_is_refused(column):
    def change(output, targets, batch):
        getattr(targets, column).mul_(2)
        return {"sum": output.states.sum()}

    made = make_experiment(tiny_causal, objectives=[objective("greedy", change), tiny_softmax])
    with pytest.raises(PluginError, match=r"greedy: it changes the targets it is given\. Expected them untouched"):
        fit(made)
