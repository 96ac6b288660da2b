"""Paired tests agree with scipy and with exact enumeration; their parts obey their laws."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from benchbase import stats
from benchbase.errors import BenchbaseError
from benchbase.stats import paired

few = st.lists(st.integers(-8, 8), min_size=2, max_size=8)


def differences(users: int = 200, mean: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, users)


def test_t_equals_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.random(50), rng.random(50)
    theirs = scipy_stats.ttest_rel(first, second)
    assert stats.paired_t(first - second) == pytest.approx(theirs.pvalue, rel=1e-12)
    low, high = theirs.confidence_interval(0.9)
    assert stats.t_interval(first - second, 0.9) == pytest.approx((low, high), rel=1e-12)


def exact_sign_flip(d: np.ndarray) -> float:
    sums = np.array([abs(np.dot(signs, d)) for signs in product([-1, 1], repeat=len(d))])
    return float((sums >= abs(d.sum()) - 1e-9).mean())


@settings(max_examples=30, deadline=None)
@given(few)
def test_sign_flip_approaches_the_enumeration_of_all_signs(d):
    exact = exact_sign_flip(np.array(d, dtype=float))
    error = 5 * math.sqrt(exact * (1 - exact) / 20_000) + 1 / 20_000
    assert abs(stats.sign_flip(d, 20_000) - exact) <= error


def test_sign_flip_agrees_with_scipy():
    d = differences(60, 0.2)
    theirs = scipy_stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=20_000, vectorized=True, rng=np.random.default_rng(0)
    )
    assert 0.01 < theirs.pvalue < 0.5
    assert stats.sign_flip(d, 20_000) == pytest.approx(theirs.pvalue, abs=0.015)


def test_sign_flip_does_not_move_with_blocks(monkeypatch):
    d = differences(130)
    whole = stats.sign_flip(d, 999)
    monkeypatch.setattr(paired, "BLOCK", 1000)
    assert stats.sign_flip(d, 999) == whole


def test_sign_flip_is_blind_to_the_order_of_users_and_systems():
    d = differences(77)
    assert 0.01 < stats.sign_flip(d) < 1
    assert stats.sign_flip(d) == stats.sign_flip(d[::-1]) == stats.sign_flip(-d)
    assert len({stats.sign_flip(d, seed=seed) for seed in range(5)}) > 1


def test_users_without_a_difference_change_no_sign_flip():
    d = differences(40)
    assert stats.sign_flip(np.concatenate((d, np.zeros(500)))) == stats.sign_flip(d)


@pytest.mark.parametrize("d", [np.full(400, 0.1), np.full(400, 1e9), differences(400, 1000.0)])
def test_no_p_is_ever_zero(d):
    assert stats.paired_t(d) > 0
    assert stats.sign_flip(d, 999) == 1 / 1000


def test_no_difference_is_no_evidence():
    got = stats.compare(np.zeros(10))
    assert (got.p_t, got.p_randomisation, got.effect_size, got.minimal_detectable_difference) == (1, 1, 0, 0)
    assert got.t_interval == got.bootstrap_interval == (0, 0)
    assert (got.wins, got.ties, got.losses) == (0, 10, 0)


def test_p_is_uniform_when_nothing_differs():
    p = [(stats.paired_t(d), stats.sign_flip(d, 199)) for d in (differences(30, 0, seed) for seed in range(400))]
    for share in np.mean(np.array(p) <= 0.1, axis=0):
        assert 0.05 < share < 0.15


def test_bootstrap_interval_nears_the_normal_one():
    d = differences(2000)
    low, high = stats.bootstrap_interval(d, 0.9)
    half = 1.6449 * d.std() / math.sqrt(d.size)
    assert (low, high) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.05 * half)
    assert stats.bootstrap_interval(d[::-1], 0.9) == (low, high)


@pytest.mark.parametrize("interval", [stats.t_interval, lambda d, level: stats.bootstrap_interval(d, level, 500)])
def test_intervals_cover_the_truth_as_often_as_they_say(interval):
    ends = [interval(differences(60, 0.3, seed), 0.8) for seed in range(300)]
    assert 0.73 < np.mean([low <= 0.3 <= high for low, high in ends]) < 0.87


def test_effect_size_is_the_mean_in_standard_deviations():
    assert stats.effect_size([1.0, 3.0]) == pytest.approx(2 / math.sqrt(2))
    assert stats.effect_size(np.full(30, -0.1)) == -math.inf


def test_rounding_is_neither_win_nor_loss():
    assert stats.wins_ties_losses([0.2, -0.1, 0.3, 0.0, 0.1 + 0.2 - 0.3]) == (2, 2, 1)


@pytest.mark.parametrize(("users", "alpha", "power"), [(30, 0.05, 0.8), (100, 0.01, 0.9), (6000, 0.05, 0.8)])
def test_detectable_difference_agrees_with_the_exact_power(users, alpha, power):
    d = differences(users)
    mine = stats.minimal_detectable_difference(d, alpha, power) / d.std(ddof=1)
    assert mine == pytest.approx(TTestPower().solve_power(nobs=users, alpha=alpha, power=power), rel=0.01)


def test_compare_holds_what_its_parts_say():
    d = differences(50)
    got = stats.compare(d, level=0.9, resamples=500, seed=3, matters=0.01)
    assert got == stats.Comparison(
        users=50,
        mean=d.mean(),
        sd=d.std(ddof=1),
        p_t=stats.paired_t(d),
        p_randomisation=stats.sign_flip(d, 500, 3),
        t_interval=stats.t_interval(d, 0.9),
        bootstrap_interval=stats.bootstrap_interval(d, 0.9, 500, 3),
        effect_size=stats.effect_size(d),
        wins=int((d > 0).sum()),
        ties=0,
        losses=int((d < 0).sum()),
        minimal_detectable_difference=stats.minimal_detectable_difference(d, 1 - 0.9),
        matters=0.01,
    )


@pytest.mark.parametrize("d", [[], [0.1], [[0.1, 0.2]]])
def test_too_few_differences_are_explained(d):
    with pytest.raises(BenchbaseError, match=r"stats\.paired: differences of shape \(.*\)\. Expected one per user, of"):
        stats.compare(d)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_difference_that_is_no_number_is_explained(bad):
    with pytest.raises(BenchbaseError, match=r"stats\.paired: a difference is nan or infinite\. Expected a finite"):
        stats.paired_t([0.1, bad])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_that_is_no_share_is_explained(level):
    message = rf"stats: a level of {level}\. Expected a share between 0 and 1, such as 0\.95\."
    for interval in (stats.t_interval, stats.bootstrap_interval):
        with pytest.raises(BenchbaseError, match=message):
            interval([0.1, 0.2], level)


def test_resamples_start_at_one():
    for resampling in (stats.sign_flip, lambda d, n: stats.bootstrap_interval(d, 0.9, n)):
        with pytest.raises(BenchbaseError, match=r"stats: 0 resamples\. Expected at least 1"):
            resampling([0.1, 0.2], 0)
