"""Laws of the probability measures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.errors import BenchbaseError
from benchbase.metrics import auc, log_loss, normalised_entropy, user_auc

labels = st.lists(st.integers(0, 1), min_size=2, max_size=30).filter(lambda rows: 0 < sum(rows) < len(rows))


def pairwise_auc(label: np.ndarray, p: np.ndarray) -> float:
    positive, negative = p[label == 1][:, None], p[label == 0][None, :]
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


def test_log_loss_by_hand():
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_log_loss_of_a_certain_mistake_is_finite():
    assert log_loss([1, 0], [0.0, 1.0]) == pytest.approx(-math.log(np.finfo(np.float32).eps))


@settings(deadline=None)
@given(labels)
def test_the_base_rate_has_normalised_entropy_one_exactly(rows):
    assert normalised_entropy(rows, np.full(len(rows), np.mean(rows))) == 1.0


@settings(deadline=None)
@given(labels, st.floats(0.01, 0.99))
def test_no_other_constant_beats_the_base_rate(rows, constant):
    assert normalised_entropy(rows, np.full(len(rows), constant)) >= 1 - 1e-12


def test_normalised_entropy_falls_as_predictions_improve():
    rows = np.array([0, 1, 1, 0])
    better, worse = (normalised_entropy(rows, np.where(rows, p, 1 - p)) for p in (0.9, 0.6))
    assert better < worse < 1


@settings(deadline=None)
@given(labels, st.data())
def test_auc_equals_the_count_of_pairs(rows, data):
    p = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), min_size=len(rows), max_size=len(rows))))
    assert auc(rows, p) == pytest.approx(pairwise_auc(np.array(rows), p), abs=1e-12)


def test_user_auc_is_the_auc_of_each_users_rows():
    rng = np.random.default_rng(3)
    user, label, p = rng.integers(0, 12, 80), rng.integers(0, 2, 80), rng.integers(0, 5, 80) / 5
    label[user == 4] = 1  # has no negative: left out
    users, areas = user_auc(user, label, p)
    both = [u for u in np.unique(user) if 0 < label[user == u].sum() < (user == u).sum()]
    assert users.tolist() == both and 4 not in both
    np.testing.assert_allclose(areas, [pairwise_auc(label[user == u], p[user == u]) for u in both], atol=1e-12)


@pytest.mark.parametrize("rows", [[], [0, 0], [1, 1]])
def test_without_both_labels_there_is_no_value(rows):
    p = np.full(len(rows), 0.5)
    assert math.isnan(auc(rows, p)) and math.isnan(normalised_entropy(rows, p))
    assert user_auc(np.zeros(len(rows), int), rows, p)[0].size == 0
    assert math.isnan(log_loss(rows, p)) == (not rows)


@pytest.mark.parametrize("measure", [log_loss, normalised_entropy, auc])
def test_wrong_rows_are_explained(measure):
    where = f"metrics.{measure.__name__}: "
    with pytest.raises(BenchbaseError, match=where + r"the shapes are label \(1,\), probability \(2,\)\."):
        measure([1], [0.5, 0.5])
    with pytest.raises(BenchbaseError, match=where + r"a label is neither 0 nor 1\. Expected 1 where"):
        measure([1, 2], [0.5, 0.5])
    for bad in (1.5, -0.1, math.nan):
        with pytest.raises(BenchbaseError, match=where + r"a probability is nan or outside 0 to 1\. Expected sigmoid"):
            measure([1, 0], [0.5, bad])


def test_user_auc_refuses_rows_without_user():
    with pytest.raises(BenchbaseError, match=r"metrics\.user_auc: the shapes are user \(1,\), probability \(2,\)"):
        user_auc([1], [0, 1], [0.5, 0.5])
