"""Metrics of actions as means over users: the mean is the metric, the spread that over users drawn anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.errors import BenchbaseError
from benchbase.metrics import (
    ActionMetric,
    action_metric,
    action_values,
    auc,
    defined,
    higher_is_better,
    log_loss,
    normalised_entropy,
    user_auc,
)

WHOLE = {
    "ne": normalised_entropy, "log_loss": log_loss, "auc": auc,
}


def whole(family, user, label, p):
    return float(np.mean(user_auc(user, label, p)[1])) if family == "user_auc" else WHOLE[family](label, p)


def table(seed, n=60, users=9, actions=1):
    """Rows of users with very different numbers of them, and predictions that know something; many are tied."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.choice(users, n, p=np.arange(1, users + 1) / sum(range(users + 1))))
    label = (rng.random((n, actions)) < 0.3).astype(np.int64)
    label[0], label[1] = 0, 1
    p = np.round(np.clip(0.2 + 0.2 * label + rng.normal(0, 0.15, (n, actions)), 0.05, 0.95), 2)
    return user, label, p


@pytest.mark.parametrize("family", ["ne", "log_loss", "auc", "user_auc"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_mean_over_users_is_the_metric(family, seed):
    user, label, p = table(seed)
    users, values = action_values(ActionMetric(family), user, label, p, ["like"])
    assert users.tolist() == np.unique(user).tolist()
    assert values.mean() == pytest.approx(whole(family, user, label[:, 0], p[:, 0]), abs=1e-12)


@pytest.mark.parametrize("family", ["ne", "log_loss", "auc", "user_auc"])
def test_a_user_moves_the_metric_by_what_their_value_says(family):
    """The slope of the metric in a user's weight, from a data set in which all are repeated and one once more."""
    user, label, p = table(4, n=24, users=4)
    users, values = action_values(ActionMetric(family), user, label, p, ["like"])
    metric, times = values.mean(), 300
    for place, one in enumerate(users):
        repeated = np.repeat(np.arange(len(user)), np.where(user == one, times + 1, times))
        if family == "user_auc":  # a user once more is another user
            known = [area for owner, area in _areas(user, label, p) for _ in range(times + (owner == one))]
            moved = np.mean(known)
        else:
            moved = whole(family, user[repeated], label[repeated, 0], p[repeated, 0])
        assert (moved - metric) * times * len(users) == pytest.approx(values[place] - metric, abs=0.02)


def _areas(user, label, p):
    owners, areas = user_auc(user, label[:, 0], p[:, 0])
    return list(zip(owners.tolist(), areas.tolist(), strict=True))


def test_always_predicting_the_base_rate_has_normalised_entropy_one_for_every_user():
    user, label, _ = table(1)
    values = action_values(ActionMetric("ne"), user, label, np.full(label.shape, label.mean()), ["like"])[1]
    np.testing.assert_allclose(values, 1, atol=1e-12)


def test_the_spread_of_areas_over_users_of_one_row_is_that_of_delong():
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 80)
    p = np.round(rng.random(80) + 0.3 * label, 1) / 2
    values = action_values(ActionMetric("auc"), np.arange(80), label[:, None], p[:, None], ["like"])[1]
    positive, negative = p[label == 1], p[label == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    by_hand = wins.mean(1).var() / len(positive) + wins.mean(0).var() / len(negative)
    assert values.var() / len(values) == pytest.approx(by_hand, rel=1e-12)


def test_without_an_action_it_is_the_mean_over_those_that_have_both_labels():
    user, label, p = table(5, actions=3)
    label[:, 1] = 0
    names = ["like", "never", "share"]
    assert defined(ActionMetric("ne"), user, label, names) == ["like", "share"]
    values = action_values(ActionMetric("ne"), user, label, p, names)[1]
    each = [action_values(ActionMetric("ne", name), user, label, p, names)[1] for name in ("like", "share")]
    np.testing.assert_allclose(values, np.mean(each, axis=0), atol=1e-15)
    assert np.isnan(action_values(ActionMetric("ne", "never"), user, label, p, names)[1]).all()


def test_the_area_within_users_needs_a_user_with_both_labels():
    user, label = np.array([1, 1, 2, 2]), np.array([[0], [0], [1], [1]])
    assert defined(ActionMetric("auc"), user, label, ["like"]) == ["like"]
    assert defined(ActionMetric("user_auc"), user, label, ["like"]) == []


def test_users_without_both_labels_do_not_move_the_area_within_users():
    user = np.array([1, 1, 2, 2, 3, 3])
    label, p = np.array([[0], [1], [1], [1], [0], [1]]), np.array([[0.2], [0.6], [0.5], [0.1], [0.9], [0.3]])
    values = action_values(ActionMetric("user_auc"), user, label, p, ["like"])[1]
    np.testing.assert_allclose(values, [0.5 + 0.75, 0.5, 0.5 - 0.75])


def test_names():
    assert action_metric("ne") == ActionMetric("ne") and str(action_metric("auc.is_like")) == "auc.is_like"
    assert action_metric("ne.a.b") == ActionMetric("ne", "a.b")
    assert action_metric("ndcg@10") is action_metric("ne.") is action_metric("nee.like") is None
    assert [higher_is_better(name) for name in ("ndcg@10", "auc", "user_auc.like", "ne", "log_loss.like")] == [
        True, True, True, False, False]


def test_an_action_that_nobody_predicts_is_named_with_the_nearest():
    with pytest.raises(BenchbaseError, match=r"metrics: ne.lke is of no action that is predicted. .*'like'"):
        defined(ActionMetric("ne", "lke"), [0, 0], [[1], [0]], ["like"])
