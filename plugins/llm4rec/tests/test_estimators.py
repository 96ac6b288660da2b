"""Estimates of a mean from what was shown: unbiased where they must be, and as uncertain as they say."""

import re

import numpy as np
import pytest
from benchbase_llm4rec.estimators import inverse_propensity, naive

from benchbase.errors import BenchbaseError

N = 50
LAW = np.arange(1, N + 1) ** -1.0 / (np.arange(1, N + 1) ** -1.0).sum()
LOSS = np.random.default_rng(1).uniform(0, 1, N) + np.linspace(0, 1, N)  # what is shown rarely loses more
TRUTH = LOSS.mean()


def shown(n, seed):
    items = np.random.default_rng(seed).choice(N, n, p=LAW)
    return LOSS[items], N * LAW[items]


def test_by_hand():
    losses, e = np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 0.5])
    plain, normed = inverse_propensity(losses, e, normalise=False), inverse_propensity(losses, e)
    assert plain.value == pytest.approx((0.5 + 2 + 8) / 3) and normed.value == pytest.approx((0.5 + 2 + 8) / 3.5)
    assert plain.effective == normed.effective == pytest.approx(3.5**2 / 5.25)
    assert inverse_propensity(losses, e, clip=1.0).value == pytest.approx((0.5 + 2 + 4) / 2.5)
    assert naive(losses).value == pytest.approx(7 / 3) and naive(losses).effective == pytest.approx(3)
    assert naive(losses).standard_error == pytest.approx(losses.std(ddof=1) / np.sqrt(3))


def test_constant_propensities_are_the_plain_mean():
    losses, _ = shown(100, 0)
    assert inverse_propensity(losses, np.full(100, 0.3)).value == pytest.approx(naive(losses).value)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_truth_is_met_on_average_and_as_often_as_the_standard_error_says(normalise):
    found = [inverse_propensity(*shown(2_000, seed), normalise=normalise) for seed in range(400)]
    values, errors = (np.array([getattr(each, name) for each in found]) for name in ("value", "standard_error"))
    assert abs(values.mean() - TRUTH) < 4 * values.std() / np.sqrt(len(values))
    assert values.std() == pytest.approx(errors.mean(), rel=0.1)
    inside = np.abs(values - TRUTH) < 1.96 * errors
    assert 0.9 < inside.mean() < 0.99
    away = [naive(shown(2_000, seed)[0]) for seed in range(400)]
    assert all(abs(each.value - TRUTH) > 3 * each.standard_error for each in away)


def test_a_higher_clip_has_more_bias_and_more_examples_that_matter():
    losses, e = shown(50_000, 0)
    found = [inverse_propensity(losses, e, clip) for clip in (0.0, 1.0, 10.0)]
    bias = [abs(each.value - TRUTH) for each in found]
    assert bias[0] < bias[1] < bias[2]
    assert found[0].effective < found[1].effective < found[2].effective


@pytest.mark.parametrize(("call", "message"), [
    (lambda: inverse_propensity([1, 2], [0.5]), "inverse_propensity: losses (2,) and propensity (1,). Expected two "
                                                "arrays of one length."),
    (lambda: inverse_propensity([1, 2], [0.5, 0]), "inverse_propensity: 1 propensities are not above 0. Expected that "
     "whatever counts can be shown. Give the least one, or leave out what never is."),
    (lambda: inverse_propensity([1, 2], [np.nan, 1]), "inverse_propensity: 1 propensities are not above 0. Expected "
     "that whatever counts can be shown. Give the least one, or leave out what never is."),
    (lambda: naive([1.0]), "naive: 1 examples. Expected two or more."),
])
def test_what_tells_nothing(call, message):
    with pytest.raises(BenchbaseError, match=re.escape(message)):
        call()
