"""Holm's correction agrees with statsmodels, ignores order and holds the family-wise error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from benchbase.errors import BenchbaseError
from benchbase.stats import holm, paired_t

families = st.lists(st.integers(1, 400).map(lambda n: n / 400), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None)  # statsmodels collects garbage at every call
@given(families)
def test_holm_equals_statsmodels(p):
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(families, st.randoms())
def test_an_adjusted_p_stays_with_its_test(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm([p[i] for i in order]).tolist() == holm(p)[order].tolist()


@settings(max_examples=50, deadline=None)
@given(families)
def test_adjusted_p_is_monotone_and_between_raw_and_one(p):
    adjusted = holm(p)
    assert (adjusted >= p).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_an_empty_family_is_empty():
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p", [[0.1, 1.2], [-0.1], [float("nan")], [[0.1]]])
def test_what_is_no_p_value_is_explained(p):
    with pytest.raises(
        BenchbaseError, match=r"stats\.holm: p-values \[.*\]\. Expected a flat list of numbers from 0 to 1"
    ):
        holm(p)


def test_among_identical_systems_holm_rarely_finds_a_winner_and_raw_tests_often_do():
    rng = np.random.default_rng(0)
    boards = 300
    raw, corrected = 0, 0
    for _ in range(boards):
        systems = rng.normal(0, 1, (6, 40)) + rng.normal(0, 1, 40)  # a user is easy or hard for all alike
        p = [paired_t(systems[i] - systems[j]) for i in range(6) for j in range(i)]
        raw += min(p) <= 0.05
        corrected += holm(p).min() <= 0.05
    assert raw / boards > 0.25
    assert corrected / boards < 0.05 + 3 * np.sqrt(0.05 * 0.95 / boards)
    assert corrected > 0
