"""A killed run that is started again ends bit-identical to one that was not killed."""

import shutil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from benchbase import checkpoint
from benchbase.nn import Combiner, Objective
from benchbase.specs import CombinerConfig, CombinerSpec, Config, Needs, Negatives, ObjectiveSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_facts, together
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.train import fit

EPOCHS = 4


class Sampled(Objective):
    """A loss on sampled negatives."""

    def losses(self, output, targets, batch):
        positive = output.scorer.score_items(output.states, targets.item[:, None])
        negative = output.scorer.score_items(output.states, targets.negatives)
        return {"sampled": targets.mean((F.softplus(-positive) + F.softplus(negative).sum(1, keepdim=True)).squeeze(1))}


class Remembering(Objective):
    """A loss with a parameter and a buffer of its own: the buffer grows with each epoch's mean and scales the next."""

    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.ones(8))
        self.register_buffer("pressure", torch.ones((), dtype=torch.float64))

    def losses(self, output, targets, batch):
        noise = torch.randn(len(targets))  # whatever draws from the global generator goes on where it was
        value = targets.mean((output.states * self.own).sum(1).square() * (1 + 0.1 * noise))
        return {"memory": value * self.pressure.float()}

    def epoch_ended(self, means):
        self.pressure.mul_(1.0 + means["memory"])


class Noisy(Objective):
    """A loss and a logged number out of its own generator."""

    def losses(self, output, targets, batch):
        noise = torch.randn(output.states.shape, generator=output.generator)
        return {"noise": targets.mean((output.states * noise).sum(1))}

    def logs(self, output, targets, batch):
        return {"drawn": torch.rand((), generator=output.generator)}


class Sliding(Combiner):
    """Weights that slide with the size of the losses: its state is its past."""

    def __init__(self):
        super().__init__()
        self.register_buffer("past", torch.zeros(2))

    def combine(self, losses, parameters):
        with torch.no_grad():
            self.past.mul_(0.9).add_(0.1 * torch.stack([loss.detach() for loss in losses.values()]))
        weights = torch.softmax(self.past, 0).tolist()
        total = sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True))
        for p, grad in zip(parameters.all, torch.autograd.grad(total, parameters.all, allow_unused=True), strict=True):
            p.grad = grad
        return dict(zip(losses, weights, strict=True))


class Pair(CombinerConfig):
    balance: tuple[str, str] = Field(("tiny_softmax.softmax", "remembering.memory"), description="the two losses")


sampled = ObjectiveSpec(name="sampled", config=Config, build=lambda config, context: Sampled(), source="here",
                        needs=Needs(negatives=Negatives(count=3, law="popularity")))
in_batch = ObjectiveSpec(name="in_batch", config=Config, build=lambda config, context: Sampled(), source="here",
                         needs=Needs(negatives=Negatives(count=3, law="in_batch", scope="batch")))
remembering = ObjectiveSpec(name="remembering", config=Config, build=lambda config, context: Remembering(),
                            source="here")
noisy = ObjectiveSpec(name="noisy", config=Config, build=lambda config, context: Noisy(), source="here")
sliding = CombinerSpec(name="sliding", config=Pair, build=lambda config, context: Sliding(), source="here")

DROPOUT = {"dropout": 0.3}
SETUPS: dict[str, dict[str, Any]] = {
    "dropout": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax]},
    "masked": {"backbone": (tiny_bidirectional, DROPOUT), "objectives": [tiny_softmax]},
    "negatives": {"backbone": (tiny_causal, DROPOUT), "objectives": [sampled]},
    "in_batch": {"backbone": (tiny_bidirectional, DROPOUT), "objectives": [in_batch, sampled]},
    "combiner": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax, remembering], "combiner": sliding},
    "memory": {"backbone": (tiny_bidirectional, None), "objectives": [tiny_softmax, remembering, sampled],
               "train": {"optimizer": "adamw", "weight_decay": 0.1, "clip": 0.5}},
    "noise": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax, noisy]},
    "plateau": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax], "train": {"patience": 1, "lr": 0.2}},
    "seldom": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax], "train": {"eval_every": 3}},
    "modifiers": {"backbone": (tiny_causal, DROPOUT), **together("feedback", "relation")},
    "encoders": {"backbone": (tiny_causal, DROPOUT), "objectives": [tiny_softmax], "encoders": [probe_facts]},
}


def experiment(name):
    setup = dict(SETUPS[name])
    objectives = [tiny_softmax, *setup.pop("objectives")] if name == "modifiers" else setup.pop("objectives")
    train = {"epochs": EPOCHS, "lr": 0.01} | setup.pop("train", {})
    return make_experiment(setup.pop("backbone"), objectives=objectives, train=train, **setup)


def outcome(made, fitted):
    """All that a run leaves behind but the time it took."""
    tensors = dict(made.model.state_dict())
    if made.combiner is not None:
        tensors |= {f"combiner.{name}": value for name, value in made.combiner.state_dict().items()}
    facts = (fitted.curve, fitted.epochs, fitted.best_epoch, fitted.under_trained, fitted.stopped, fitted.route,
             fitted.tokens_per_sequence)
    return tensors, facts


def same(one, other):
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert [name for name, value in one[0].items() if not torch.equal(value, other[0][name])] == []


class Killed(BaseException):
    """As kill -9: nothing handles it."""


def kill_in(monkeypatch, epoch, where):
    """End the run in an epoch: on its report, before its checkpoint; after its checkpoint; or in its middle."""
    reported = []

    def report(progress):
        reported.append(progress.epoch)
        if where == "report" and progress.epoch == epoch:
            raise Killed

    plain = checkpoint.save

    def save(folder, at, state):
        plain(folder, at, state)
        if where == "saved" and at == epoch:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", save)
    return report


@pytest.mark.parametrize("name", SETUPS)
@pytest.mark.parametrize("where", ["report", "saved"])
def test_killed_in_any_epoch_it_ends_as_if_it_had_not_been(tmp_path, monkeypatch, name, where):
    made = experiment(name)
    wanted = outcome(made, fit(made, tmp_path / "whole"))
    assert wanted[1][1] >= 2
    for epoch in range(1, wanted[1][1] + 1):
        folder = tmp_path / str(epoch)
        with monkeypatch.context() as patch:
            report = kill_in(patch, epoch, where)
            try:
                fit(experiment(name), folder, report)
            except Killed:
                pass
            else:
                assert where == "report" and name == "seldom" and epoch % 3, "an epoch without a report"
                continue
        again = experiment(name)
        same(outcome(again, fit(again, folder)), wanted)


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    made = experiment("combiner")
    wanted = outcome(made, fit(made))
    for epoch in range(1, EPOCHS + 1):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            fit(experiment("combiner"), tmp_path, kill_in(patch, epoch, "saved"))
    again = experiment("combiner")
    same(outcome(again, fit(again, tmp_path)), wanted)


def test_a_finished_run_trains_no_more_and_is_left_with_its_best(tmp_path, monkeypatch):
    made = experiment("plateau")
    wanted = outcome(made, fit(made, tmp_path))
    monkeypatch.setattr("benchbase.data.batches.Feed.train_batches", None)
    again = experiment("plateau")
    same(outcome(again, fit(again, tmp_path)), wanted)


def test_seconds_are_those_of_all_sittings(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        fit(experiment("dropout"), tmp_path, kill_in(monkeypatch, 2, "saved"))
    spent = checkpoint.load(tmp_path, torch.device("cpu")).progress["seconds"]
    assert 0 < spent < fit(experiment("dropout"), tmp_path).seconds


def test_the_peak_of_memory_is_that_of_all_sittings(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("benchbase.train.loop.peak_memory", lambda: 2**50)
        fit(experiment("dropout"), tmp_path, kill_in(patch, 2, "saved"))
    assert fit(experiment("dropout"), tmp_path).peak_memory == 2**50


def test_resuming_from_a_checkpoint_that_lost_its_file_starts_anew_and_ends_the_same(tmp_path, monkeypatch):
    made = experiment("masked")
    wanted = outcome(made, fit(made))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        fit(experiment("masked"), tmp_path, kill_in(patch, 3, "saved"))
    (tmp_path / "epoch-000003" / "state.pt").unlink()
    again = experiment("masked")
    same(outcome(again, fit(again, tmp_path)), wanted)


@pytest.mark.parametrize(("before", "told"), [(["Some GPU"], "Some GPU, then cpu"), ([], "cuda, then cpu")])
def test_a_run_that_was_moved_to_another_kind_of_device_goes_on(tmp_path, monkeypatch, before, told):
    """The states of a GPU's generators are nothing that the CPU's can take: they go on from seeds of their own."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        fit(experiment("masked"), tmp_path, kill_in(patch, 2, "saved"))
    found = checkpoint.load(tmp_path, torch.device("cpu"))
    parts = {name: torch.zeros(16, dtype=torch.uint8) for name in found.generators if name != "cpu"}
    found.generators = {"cpu": found.generators["cpu"], "cuda": torch.zeros(16, dtype=torch.uint8), **parts}
    found.progress["devices"] = before
    checkpoint.save(tmp_path, 2, found)
    one, other = experiment("masked"), experiment("masked")
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    fitted = fit(one, tmp_path)
    assert (fitted.epochs, fitted.device) == (EPOCHS, told)
    same(outcome(one, fitted), outcome(other, fit(other, copy)))


def test_a_run_that_stays_names_its_device_once(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        fit(experiment("dropout"), tmp_path, kill_in(patch, 2, "saved"))
    found = checkpoint.load(tmp_path, torch.device("cpu"))
    assert found.progress["devices"] == ["cpu"]
    found.progress["devices"] = []  # as older ones have it
    checkpoint.save(tmp_path, 2, found)
    assert fit(experiment("dropout"), tmp_path).device == "cpu"


def test_the_setups_are_such_that_generators_matter():
    """Each run differs from one whose generators begin elsewhere."""
    for name in ("dropout", "masked", "negatives", "noise", "combiner"):
        made = experiment(name)
        plain = outcome(made, fit(made))
        other = experiment(name)
        for generator in other.model.generators.values():
            generator.manual_seed(1)
        tensors, _ = outcome(other, fit(other))
        assert not torch.equal(tensors["embedding.table"], plain[0]["embedding.table"]), name
