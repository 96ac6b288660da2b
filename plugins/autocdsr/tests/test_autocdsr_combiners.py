"""Gradients as they are put together: one pass for each loss, nothing stale, alpha 0 the plain step bit for bit."""

import builtins
from dataclasses import replace

import pytest
import torch
from benchbase_autocdsr import benchbase_objectives
from benchbase_autocdsr.solver import nearest_on_segment, preference_weight

from benchbase.errors import BenchbaseError, RunError
from benchbase.nn import CombinerParameters
from benchbase.testing.build import forward, make_model, tag_parameters
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

SPECS = {spec.name: spec for spec in benchbase_objectives()}
NAMES = ("tiny_softmax.softmax", "cross_domain_attention.mass")
COMBINERS = [name for name, spec in SPECS.items() if spec.kind == "combiner" and name != "pareto_literal"]


def combiner_of(name, **parameters):
    config = SPECS[name].config(balance=NAMES, **parameters)
    return SPECS[name].build(config, tiny_context())


def model_of(seed=0):
    return make_model(tiny_causal, objectives=[tiny_softmax, SPECS["cross_domain_attention"]], seed=seed).double()


def losses_of(model):
    batch, targets = tiny_batch(dtype=torch.float64)
    found = forward(model, batch, targets).losses
    return {name: found[name] for name in NAMES}


def parameters_of(model):
    tagged = tag_parameters(model)
    return CombinerParameters([each.parameter for each in tagged],
                              [each.parameter for each in tagged if each.tag == "encoder"])


def plain_gradients(model, weights):
    losses = losses_of(model)
    total = sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True) if weight)
    return torch.autograd.grad(total, parameters_of(model).all, allow_unused=True)


def combined(model, combiner):
    parameters = parameters_of(model)
    model.zero_grad(set_to_none=True)
    used = combiner.combine(losses_of(model), parameters)
    return used, [parameter.grad for parameter in parameters.all]


def flat(gradients, model, shared=True):
    """Gradients on the shared parameters that attention reaches, as one vector."""
    parameters = parameters_of(model)
    some = {id(parameter) for parameter in parameters.shared}
    reached = plain_gradients(model, (0, 1))
    return torch.cat([(torch.zeros_like(parameter) if gradient is None else gradient).flatten()
                      for parameter, gradient, hit in zip(parameters.all, gradients, reached, strict=True)
                      if hit is not None and (id(parameter) in some) == shared])


@pytest.mark.parametrize("name", COMBINERS)
def test_the_gradient_is_that_of_the_weighted_sum(name):
    if name == "jacobian_descent":
        pytest.importorskip("torchjd")
    model = model_of()
    used, gradients = combined(model, combiner_of(name))
    expected = plain_gradients(model, (used[NAMES[0]], used[NAMES[1]]))
    for one, other in zip(gradients, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", ["pareto", "mgda"])
def test_the_weights_are_those_of_the_two_gradients(name):
    model = model_of()
    ours, theirs = (flat(plain_gradients(model, weights), model) for weights in ((1, 0), (0, 1)))
    cosine = float(ours @ theirs / (ours.norm() * theirs.norm()))
    losses = [loss.item() for loss in losses_of(model).values()]
    used, _ = combined(model, combiner_of(name))
    assert used["cosine"] == pytest.approx(cosine)
    if name == "pareto":
        assert used[NAMES[0]] == 1 and used[NAMES[1]] == pytest.approx(preference_weight(cosine, *losses))
    else:
        assert used[NAMES[0]] * ours.norm() == pytest.approx(0.5) == pytest.approx(used[NAMES[1]] * theirs.norm())


@pytest.mark.parametrize("normalise", ["none", "loss"])
@pytest.mark.parametrize("iterations", [None, 50])
def test_multiple_gradient_descent_is_shortest(normalise, iterations):
    model = model_of()
    vectors = [flat(plain_gradients(model, weights), model) for weights in ((1, 0), (0, 1))]
    by = [1.0, 1.0] if normalise == "none" else [loss.item() for loss in losses_of(model).values()]
    ours, theirs = (vector / each for vector, each in zip(vectors, by, strict=True))
    used, _ = combined(model, combiner_of("mgda", normalise=normalise, iterations=iterations))
    share = nearest_on_segment(float(ours @ ours), float(ours @ theirs), float(theirs @ theirs))
    assert used[NAMES[0]] * by[0] == pytest.approx(share, abs=1e-6)
    assert used[NAMES[1]] * by[1] == pytest.approx(1 - share, abs=1e-6)


def test_matched_is_as_long_as_the_first_gradient():
    model = model_of()
    ours, theirs = (flat(plain_gradients(model, weights), model) for weights in ((1, 0), (0, 1)))
    raw, matched = (combined(model, combiner_of("pareto", scale=scale))[0] for scale in ("raw", "matched"))
    assert matched[NAMES[1]] == pytest.approx(raw[NAMES[1]] * float(ours.norm() / theirs.norm()))


def test_a_step_remembers_no_gradient():
    """The release's first backward pass adds to what the step before left behind."""
    model = model_of()
    used, gradients = combined(model, combiner_of("pareto"))
    parameters = parameters_of(model)
    for parameter in parameters.all:
        parameter.grad = torch.full_like(parameter, 1e3)
    again = combiner_of("pareto").combine(losses_of(model), parameters)
    assert again == used
    for parameter, gradient in zip(parameters.all, gradients, strict=True):
        assert gradient is None or torch.equal(parameter.grad, gradient)


@pytest.mark.parametrize(("name", "parameters"), [("fixed_alpha", {"alpha": 0.0})])
def test_alpha_0_is_the_plain_step_bit_for_bit(name, parameters):
    model = model_of()
    _, gradients = combined(model, combiner_of(name, **parameters))
    for one, other in zip(gradients, plain_gradients(model, (1, 0)), strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def test_where_pareto_weighs_nothing_it_is_the_plain_step_bit_for_bit(monkeypatch):
    from benchbase_autocdsr import combiners

    monkeypatch.setattr(combiners, "preference_weight", lambda *given: 0.0)
    model = model_of()
    _, gradients = combined(model, combiner_of("pareto"))
    for one, other in zip(gradients, plain_gradients(model, (1, 0)), strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def test_one_domain_alone_is_the_plain_step():
    model = model_of()
    batch, targets = tiny_batch(dtype=torch.float64)
    one = replace(batch, domains=torch.where(batch.domains < 0, -1, 0))
    found = forward(model, one, targets).losses
    used = combiner_of("pareto").combine({name: found[name] for name in NAMES}, parameters_of(model))
    assert used[NAMES[1]] == 0 and used[NAMES[0]] == 1


def test_every_second_step_looks_and_one_pass_is_enough_in_between(monkeypatch):
    passes = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **named: passes.append(1) or grad(*args, **named))
    model, combiner = model_of(), combiner_of("pareto", every_n_steps=2)
    seen = []
    for _ in range(4):
        passes.clear()
        used, _ = combined(model, combiner)
        seen.append((len(passes), used[NAMES[1]], "cosine" in used))
    assert [each[0] for each in seen] == [2, 1, 2, 1] and len({each[1] for each in seen}) == 1
    assert [each[2] for each in seen] == [True, False, True, False]
    assert int(combiner.steps) == 4


def test_what_changes_in_training_is_in_the_state(tmp_path):
    model, combiner = model_of(), combiner_of("pareto", every_n_steps=3, ema=0.5)
    combined(model, combiner)
    other = combiner_of("pareto", every_n_steps=3, ema=0.5)
    other.load_state_dict(combiner.state_dict())
    assert combined(model, other)[0] == combined(model, combiner)[0]


def test_the_mean_of_cosines_is_kept():
    model, combiner = model_of(), combiner_of("pareto", ema=0.5)
    first, _ = combined(model, combiner)
    kept = float(combiner.cosine)
    assert kept == pytest.approx(first["cosine"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    second, _ = combined(model, combiner)
    assert float(combiner.cosine) == pytest.approx((first["cosine"] + second["cosine"]) / 2) != kept


def test_no_weight_below_0_where_none_is_wanted(monkeypatch):
    from benchbase_autocdsr import combiners

    monkeypatch.setattr(combiners, "preference_weight", lambda *given: -0.4)
    model = model_of()
    assert combined(model, combiner_of("pareto"))[0][NAMES[1]] == -0.4
    assert combined(model, combiner_of("pareto", nonnegative=True))[0][NAMES[1]] == 0


def test_the_equation_as_written_has_no_direction():
    with pytest.raises(RunError, match=r"pareto_literal: the update is zero.*Use pareto, or strict: true"):
        combined(model_of(), combiner_of("pareto_literal"))
    used, _ = combined(model_of(), combiner_of("pareto_literal", strict=True))
    assert used[NAMES[0]] > 0 > used[NAMES[1]]


@pytest.mark.parametrize("name", ["pareto", "mgda"])
def test_what_is_not_finite_is_an_error(name):
    model = model_of()
    losses = losses_of(model)
    losses[NAMES[1]] = losses[NAMES[1]] * torch.tensor(float("inf"), dtype=torch.float64)
    with pytest.raises(RunError, match=r"autocdsr: a gradient or a loss is not finite") as caught:
        combiner_of(name).combine(losses, parameters_of(model))
    assert caught.value.status == "diverged"


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    found = builtins.__import__

    def refuse(name, *args, **named):
        if name.startswith("torchjd"):
            raise ImportError("no torchjd")
        return found(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BenchbaseError, match=r"aggregator upgrad needs a library.*Install benchbase-autocdsr\[jd\]"):
        combiner_of("jacobian_descent")


@pytest.mark.parametrize("aggregator", ["upgrad", "dual_proj", "pcgrad", "imtl_g", "aligned_mtl"])
def test_every_aggregator_of_the_library_gives_a_direction(aggregator):
    pytest.importorskip("torchjd")
    used, gradients = combined(model_of(), combiner_of("jacobian_descent", aggregator=aggregator))
    assert used[NAMES[0]] > 0 and all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)
