"""Inverse propensity weights: their values, what they leave alone, and what is logged of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_objectives
from benchbase_llm4rec.ips import InversePropensity
from benchbase_llm4rec.propensity import propensities, why_not

from benchbase.errors import RunError
from benchbase.testing.build import make_model, train_step
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

SPEC = {spec.name: spec for spec in benchbase_objectives()}["ips"]
Config = SPEC.config


def with_column(values, **changes):
    """The tiny context whose catalogue says how often each item was shown."""
    context = tiny_context(**changes)
    column = np.concatenate([[np.nan], values])
    return replace(context, catalogue=replace(context.catalogue, columns={"propensity": column}))


def counted(*counts):
    return replace(tiny_context(n_items=len(counts)), item_counts=np.array([0, *counts]))


def losses(objectives, targets, context=None, batch=None):
    model = make_model(tiny_causal, objectives=objectives, context=context or tiny_context()).double()
    step = train_step(model, batch, targets)
    return step.losses["tiny_softmax.softmax"], [p.grad for p in model.parameters() if p.grad is not None]


def test_popularity_by_hand():
    context = counted(100, 25, 4, 0)
    np.testing.assert_allclose(propensities(Config(), context), [1, 1, 0.5, 0.2, 0.05])
    np.testing.assert_allclose(propensities(Config(power=1.0, clip=0.1), context), [1, 1, 0.25, 0.1, 0.1])


def test_without_events_nothing_is_divided_by_0():
    np.testing.assert_array_equal(propensities(Config(), counted(0, 0)), [1, 0.05, 0.05])


def test_a_column_is_taken_as_it_is_and_clipped():
    e = np.linspace(0.01, 1, 30)
    np.testing.assert_allclose(propensities(Config(propensity="column"), with_column(e))[1:], np.maximum(e, 0.05))


@pytest.mark.parametrize("e", [1.0, 0.3])
def test_constant_propensities_are_the_plain_loss(e):
    batch, targets = tiny_batch(dtype=torch.float64, n_rows=6)
    chosen = [(SPEC, Config(propensity="column")), tiny_softmax]
    weighed, grads = losses(chosen, targets, with_column(np.full(30, e)), batch)
    plain, other = losses([tiny_softmax], targets, batch=batch)
    torch.testing.assert_close(weighed, plain, rtol=1e-7, atol=0)
    for one, two in zip(grads, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)


def test_the_loss_is_the_mean_under_the_weights():
    batch, targets = tiny_batch(dtype=torch.float64, n_rows=6)
    e = np.linspace(0.01, 1, 30)
    weighed, _ = losses([(SPEC, Config(propensity="column", clip=0.2)), tiny_softmax], targets, with_column(e), batch)
    by_hand = torch.from_numpy(1 / np.maximum(e, 0.2))[targets.item - 1]
    plain, _ = losses([tiny_softmax], replace(targets, weights=targets.weights * by_hand), batch=batch)
    torch.testing.assert_close(weighed, plain, rtol=1e-6, atol=0)


def test_no_example_weighs_more_than_the_clip_allows():
    batch, targets = tiny_batch(n_rows=6)
    for clip in (0.01, 0.2, 1.0):
        factors = InversePropensity(Config(clip=clip), tiny_context()).example_weights(targets, batch)
        assert (factors <= 1 / clip * (1 + 1e-6)).all() and (factors >= 1 - 1e-6).all()


def test_a_lower_clip_leaves_fewer_examples_that_matter():
    """And what is logged is Kish's effective sample size, the variance of weights, the share at the clip."""
    batch, targets = tiny_batch(n_rows=6, dtype=torch.float64)
    given = torch.linspace(0, 2, len(targets), dtype=torch.float64)  # of other objectives
    e = np.geomspace(0.001, 1, 30)
    effective = []
    for clip in (1.0, 0.1, 0.01):
        part = InversePropensity(Config(propensity="column", clip=clip), with_column(e)).double()
        factors = part.example_weights(targets, batch)
        found = part.logs(None, replace(targets, weights=given * factors), batch)
        w = 1 / np.maximum(e, clip)[targets.item.numpy() - 1]
        share = given.numpy() / given.numpy().sum()
        mean = share @ w
        np.testing.assert_allclose(found["effective"], mean**2 / (share @ w**2), rtol=1e-6)
        np.testing.assert_allclose(found["variance"], share @ (w / mean - 1) ** 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["clipped"], share @ (w > 1 / clip - 1e-9), rtol=1e-6)
        effective.append(float(found["effective"]))
    assert effective[0] == pytest.approx(1) and effective[0] > effective[1] > effective[2]


def test_logs_are_finite_where_nothing_has_weight():
    batch, targets = tiny_batch(n_rows=6)
    part = InversePropensity(Config(), tiny_context())
    found = part.logs(None, replace(targets, weights=torch.zeros_like(targets.weights)), batch)
    assert all(torch.isfinite(value) for value in found.values())


@pytest.mark.parametrize(("values", "problem"), [
    ([0.5, 0.0, 1.0], "the column propensity holds 0 for the item {}, and 1 of 3 items have no propensity. "
                      "Expected shares above 0 and up to 1."),
    ([np.nan, 0.5, 7.0], "the column propensity holds nan for the item {}, and 2 of 3 items have no propensity. "
                         "Expected shares above 0 and up to 1."),
])
def test_columns_that_hold_none_are_refused(values, problem):
    context = with_column(values, n_items=3)
    bad = int(np.flatnonzero(~(np.array(values) > 0) | (np.array(values) > 1))[0])
    assert why_not(Config(propensity="column"), context) == problem.format(context.catalogue.item_ids[bad + 1])


def test_a_column_of_names_is_refused():
    context = with_column([0.5] * 30)
    context = replace(context, catalogue=replace(context.catalogue, columns={"propensity": np.array(["a"] * 31)}))
    assert why_not(Config(propensity="column"), context) == (
        "the column propensity holds no numbers. Expected shares above 0 and up to 1.")


def test_what_is_good_is_not_refused():
    assert why_not(Config(), tiny_context()) is None
    assert why_not(Config(propensity="column"), with_column(np.full(30, 0.5))) is None


def marked(*values):
    """Targets of which each has a mark, and the context that names it."""
    batch, targets = tiny_batch(dtype=torch.float64)
    marks = torch.tensor([*values] * len(targets), dtype=torch.float64)[: len(targets), None]
    return replace(tiny_context(), mark_names=("propensity",)), batch, replace(targets, marks=marks)


def test_a_mark_is_each_events_own_propensity():
    context, batch, targets = marked(0.5, 0.01, 1.0)
    made = InversePropensity(Config(propensity="mark", clip=0.1), context).double()
    torch.testing.assert_close(made.example_weights(targets, batch)[:4], torch.tensor([2.0, 10, 1, 2]).double())
    weighed = replace(targets, weights=made.example_weights(targets, batch))
    logged = made.logs(None, weighed, batch)
    share = float((targets.marks[:, 0] < 0.1).double().mean())
    assert float(logged["clipped"]) == pytest.approx(share)
    assert SPEC.resolve("needs", Config(propensity="mark", column="shown")).marks == {"shown"}
    assert why_not(Config(propensity="mark"), context) is None


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1.5, float("nan")])
def test_a_mark_that_is_no_propensity_is_told(wrong):
    context, batch, targets = marked(0.5, wrong)
    made = InversePropensity(Config(propensity="mark"), context).double()
    with pytest.raises(RunError, match=rf"ips: the mark propensity holds {wrong:g} for an event\. Expected shares"):
        made.example_weights(targets, batch)
