"""Popularity as a confounder: it explains in training, and has no say in the ranking."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_objectives
from benchbase_llm4rec.backdoor import PopularityBackdoor, popularity_bins
from pydantic import ValidationError

from benchbase.testing.build import forward, make_model, train_step
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

SPEC = {spec.name: spec for spec in benchbase_objectives()}["popularity_backdoor"]
Config = SPEC.config
ITEMS = torch.arange(1, 31)


def part(counts=None, **config):
    context = tiny_context()
    if counts is not None:
        context = replace(context, item_counts=np.concatenate([[0], counts]))
    return PopularityBackdoor(Config(**config), context).double()


def vector(made, phase="train"):
    term = made.score_term(tiny_batch()[0], ITEMS, phase)
    return None if term is None else term.vector.detach()


def test_bins_by_hand():
    np.testing.assert_array_equal(popularity_bins(np.array([0, 1, 3, 7, 15]), 4), [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(popularity_bins(np.array([0, 1, 15, 15]), 8), [0, 1, 2, 2])  # empty ones left out
    np.testing.assert_array_equal(popularity_bins(np.array([5, 5, 5]), 10), [0, 0, 0])
    np.testing.assert_array_equal(popularity_bins(np.array([1, 2, 900]), 1), [0, 0, 0])


@pytest.mark.parametrize("prior", ["events", "items"])
def test_the_effect_of_popularity_has_mean_0(prior):
    counts = np.arange(30) ** 2
    made = part(counts, prior=prior)
    torch.nn.init.normal_(made.effect)
    weight = torch.from_numpy(counts / counts.sum()) if prior == "events" else torch.full((30,), 1 / 30).double()
    assert float(vector(made).abs().max()) > 0.1
    assert float((weight * vector(made)).sum()) == pytest.approx(0, abs=1e-6)


def test_ranking_knows_nothing_of_popularity():
    """Whatever popularity items are said to have, and whatever was learned of it, scores are those of f."""
    batch, targets = tiny_batch(dtype=torch.float64, n_rows=6)
    found = []
    for counts in (np.arange(30), np.arange(30)[::-1], np.random.default_rng(0).permutation(30)):
        context = replace(tiny_context(), item_counts=np.concatenate([[0], counts]))
        model = make_model(tiny_causal, objectives=[SPEC, tiny_softmax], context=context).double()
        torch.nn.init.constant_(model.objectives["popularity_backdoor"].effect, 1.0)
        model.objectives["popularity_backdoor"].effect.data[0] = -3
        output = forward(model, batch, targets, "score").output
        found.append(output.scorer.scores(output.states))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    plain = forward(make_model(tiny_causal, objectives=[tiny_softmax]).double(), batch, targets, "score").output
    assert torch.equal(found[0], plain.scorer.scores(plain.states))


def test_ranking_by_f_is_ranking_by_the_adjusted_score():
    """sum over z of P(z) sigmoid(f + g(z)) ascends with f, whatever g and P are."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        f, g, prior = np.sort(draw.normal(size=50)), draw.normal(scale=3, size=10), draw.dirichlet(np.ones(10))
        adjusted = (prior / (1 + np.exp(-(f[:, None] + g)))).sum(axis=1)
        assert (np.diff(adjusted) > 0).all()


def test_a_single_bin_is_the_plain_model():
    """Where all are equally popular the intervention is the observation: losses and gradients are the same bits."""
    batch, targets = tiny_batch(dtype=torch.float64, n_rows=6)
    models = [make_model(tiny_causal, objectives=chosen).double()
              for chosen in ([(SPEC, {"bins": 1}), tiny_softmax], [tiny_softmax])]
    torch.nn.init.constant_(models[0].objectives["popularity_backdoor"].effect, 0.7)
    one, two = (train_step(model, batch, targets).losses["tiny_softmax.softmax"] for model in models)
    assert torch.equal(one, two)
    plain = dict(models[1].named_parameters())
    for name, parameter in models[0].named_parameters():
        if name in plain and plain[name].grad is not None:
            assert torch.equal(parameter.grad, plain[name].grad), name


def test_what_is_popular_is_explained_by_popularity():
    """With f held at 0, g learns the logarithm of how often the items of a bin occur."""
    counts = np.repeat([1, 20, 400], 10)
    made = part(counts, bins=3)
    share = torch.from_numpy(counts / counts.sum())
    optimizer = torch.optim.Adam(made.parameters(), 0.05)
    batch = tiny_batch()[0]
    for _ in range(2000):
        loss = -(share * torch.log_softmax(made.score_term(batch, ITEMS, "train").vector, dim=0)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = vector(made)
    np.testing.assert_allclose(np.diff(learned[[0, 10, 20]]), np.log([20, 20]), rtol=0.01)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_multiplied_odds(power):
    counts = np.arange(30)
    term = vector(part(counts, form="multiplicative", power=power))
    f = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_hand = f.exp() * torch.from_numpy((counts + 1.0) ** power)
    torch.testing.assert_close(torch.softmax(f + term, dim=0), by_hand / by_hand.sum(), rtol=1e-5, atol=1e-8)


def test_what_is_injected_stands_in_the_ranking_alone():
    made = part(np.arange(30), form="multiplicative", power=0.8, inject=0.2)
    torch.testing.assert_close(vector(made, "score") * 4, vector(made))
    assert vector(part(np.arange(30), form="multiplicative"), "score") is None
    assert vector(part(np.arange(30), form="multiplicative", power=0.0)) is None


def test_items_without_events_have_finite_terms():
    for config in ({}, {"form": "multiplicative"}):
        assert torch.isfinite(vector(part(np.zeros(30), **config))).all()


@pytest.mark.parametrize(("config", "name", "form"), [
    ({"power": 0.5}, "power", "additive"), ({"inject": 0.5}, "inject", "additive"),
    ({"form": "multiplicative", "bins": 3}, "bins", "multiplicative"),
    ({"form": "multiplicative", "prior": "items"}, "prior", "multiplicative"),
])
def test_parameters_of_the_other_form_are_refused(config, name, form):
    with pytest.raises(ValidationError, match=f"{name} has no say in the {form} form. "
                                              "Leave it out, or take the other form."):
        Config(**config)


def of_actions(counts=None, **config):
    """The part in the action task, two actions, and targets."""
    context = replace(tiny_context(), tasks=("action",), item_counts=np.concatenate([[0], np.arange(30) ** 2]))
    made = PopularityBackdoor(Config(**config), context).double()
    if made.additive:
        torch.manual_seed(0)
        torch.nn.init.normal_(made.effect)
    batch, targets = tiny_batch(task="action", dtype=torch.float64)
    return made, torch.randn(len(targets), 2, dtype=torch.float64), targets, batch


def test_an_action_is_explained_by_its_items_bin_and_predicted_by_all_bins():
    made, logits, targets, batch = of_actions(bins=4)
    g = (made.effect - made.share @ made.effect).detach()
    assert g.shape == (4, 2) and torch.allclose(made.share @ g, torch.zeros(2).double(), atol=1e-6)
    trained = made.action_logits(logits, targets, batch, "train")
    torch.testing.assert_close(trained, logits + g[made.bins[targets.item - 1]])
    predicted = torch.sigmoid(made.action_logits(logits, targets, batch, "score"))
    by_hand = sum(share * torch.sigmoid(logits + effect) for share, effect in zip(made.share, g, strict=True))
    torch.testing.assert_close(predicted, by_hand)
    others = replace(targets, item=targets.item.flip(0))
    torch.testing.assert_close(torch.sigmoid(made.action_logits(logits, others, batch, "score")), predicted)
    assert made.score_term(batch, ITEMS, "train") is None


def test_one_bin_is_nothing_to_adjust_for():
    made, logits, targets, batch = of_actions(bins=1)
    for phase in ("train", "score"):
        torch.testing.assert_close(made.action_logits(logits, targets, batch, phase), logits)


def test_odds_of_actions_by_popularity():
    made, logits, targets, batch = of_actions(form="multiplicative", power=0.5, inject=0.2)
    popularity = (np.arange(30) ** 2 + 1) / (np.arange(30) ** 2 + 1).mean()
    log_popularity = torch.from_numpy(np.log(popularity))[targets.item - 1, None]
    for phase, power in (("train", 0.5), ("score", 0.2)):
        torch.testing.assert_close(made.action_logits(logits, targets, batch, phase), logits + power * log_popularity,
                                   rtol=1e-6, atol=1e-6)


def test_extreme_odds_stay_finite():
    made, logits, targets, batch = of_actions()
    for size in (-1e4, 1e4):
        assert torch.isfinite(made.action_logits(logits * 0 + size, targets, batch, "score")).all()
