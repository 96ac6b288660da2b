"""Every pair of probes on every kind of backbone: the proof that the contracts carry techniques together."""

from itertools import combinations_with_replacement

import pytest
import torch

from benchbase.errors import Refusal
from benchbase.evaluate import rank
from benchbase.testing.build import forward, make_experiment, make_model, train_step
from benchbase.testing.probes import PROBES, together
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from benchbase.testing.world import tiny_batch
from benchbase.train import fit

BACKBONES = [tiny_causal, tiny_bidirectional]
PAIRS = list(combinations_with_replacement(PROBES, 2))


def experiment(spec, names, strength=None, **changes):
    parts = together(*dict.fromkeys(names), strength=strength)
    return make_experiment(spec, **parts | {"objectives": [tiny_softmax, *parts["objectives"]]}, **changes)


def parameters(experiment):
    return {name: p.detach().clone() for name, p in experiment.model.named_parameters()}


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_a_pair_trains_and_ranks(spec, names):
    made = experiment(spec, names)
    before = parameters(made)
    fitted = fit(made)
    after = parameters(made)
    assert all(torch.isfinite(p).all() for p in after.values())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if not name.startswith("actions.") or "feedback" in names}
    assert moved == expected - {"actions.hidden"}
    ranking = rank(made, "test")
    assert len(ranking.above) > 10 and (ranking.above >= 0).all()
    terms = {name.removeprefix("train.") for _, name, _ in fitted.curve if name.startswith("train.")}
    wanted = {"relation": "probe_sparse.sparse", "mass": "probe_domain_mass.leaves"}
    assert terms >= {"tiny_softmax.softmax", *(wanted[name] for name in names if name in wanted)}
    assert ("combiner.tiny_softmax.softmax" in terms) == ("mass" in names)
    assert ("explicit" in fitted.route) == ("relation" in names)


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_a_pair_of_neutral_probes_is_the_plain_backbone(spec, names):
    plain, neutral = experiment(spec, ()), experiment(spec, names, strength=0)
    routes = [fit(made).route for made in (plain, neutral)]
    assert routes[0] == routes[1]
    one, other = parameters(plain), parameters(neutral)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    for name, value in vars(rank(plain, "test")).items():
        if name not in ("seconds", "facts"):
            assert (value == getattr(rank(neutral, "test"), name)).all()


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
@pytest.mark.parametrize("name", PROBES)
def test_every_probe_does_something(spec, name):
    plain, probed = experiment(spec, ()), experiment(spec, (name,))
    fit(plain)
    fit(probed)
    table = "embedding.table"
    assert not torch.equal(parameters(plain)[table], parameters(probed)[table])


@pytest.mark.parametrize("spec", [*BACKBONES, tiny_pointwise], ids=lambda spec: spec.name)
@pytest.mark.parametrize("names", [("relation", "feedback"), ("popularity", "relation")], ids="+".join)
@pytest.mark.parametrize("matrix", [False, True])
def test_single_steps_reach_every_part(spec, names, matrix):
    parts = together(*names)
    parts["objectives"] = [(o, {"matrix": matrix}) if o.name == "probe_popularity" else o for o in parts["objectives"]]
    model = make_model(spec, modifiers=parts["modifiers"], objectives=[tiny_softmax, *parts["objectives"]]).double()
    batch, targets = tiny_batch(masked=spec.training == "masked", dtype=torch.float64)
    train_step(model, batch, targets)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None or name.startswith("actions."), name
        assert parameter.grad is None or parameter.grad.isfinite().all()
    with torch.no_grad():
        output = forward(model, batch, targets, "score").output
        assert output.scorer.scores(output.states).isfinite().all()


def test_attention_mass_is_refused_for_a_pointwise_backbone():
    with pytest.raises(Refusal, match="attention mass is not defined for pointwise"):
        experiment(tiny_pointwise, ("mass",))


def test_a_neutral_combiner_leaves_the_main_gradient_as_it_is():
    parts = together("mass")
    batch, targets = tiny_batch()
    balance = ("tiny_softmax.softmax", "probe_domain_mass.leaves")
    model = make_model(tiny_causal, objectives=[tiny_softmax, *parts["objectives"]])
    spec = parts["combiner"]
    for strength, same in ((0.0, True), (1.0, False)):
        combiner = spec.build(spec.config(strength=strength), None)
        step = train_step(model, batch, targets, combiner, balance)
        assert step.weights[balance[1]] == 0 if same else step.weights[balance[1]] > 0
        got = {name: p.grad for name, p in model.named_parameters()}
        model.zero_grad(set_to_none=True)
        forward(model, batch, targets).losses[balance[0]].backward()
        equal = all(p.grad is got[name] or torch.equal(p.grad, got[name]) for name, p in model.named_parameters())
        assert equal == same
        assert int(combiner.steps) == 1
