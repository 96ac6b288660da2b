"""The world of two tastes: its law, and what the best model knows of it."""

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic.config import ActionsConfig
from benchbase_synthetic.taste import KINDS, agreement, make_tastes
from benchbase_synthetic.worlds import actions
from pydantic import ValidationError

from benchbase.data import encode
from benchbase.metrics import normalised_entropy
from benchbase.testing.contracts import DatasetContract

SPEC = {spec.name: spec for spec in benchbase_datasets()}["actions"]


class TestActions(DatasetContract):
    spec = SPEC
    config = SPEC.config(n_users=30, events=8, events_spread=3)


def world(seed=0, **parameters):
    config = ActionsConfig(**parameters)
    return config, *encode(actions(config, seed), config, seed)[:2]


def test_half_of_the_items_are_of_either_kind_and_the_catalogue_says_which():
    _, _, catalogue = world(n_items=7)
    kinds = catalogue.categories["kind"]
    named = [kinds.labels[kinds.of(item)[0]] for item in range(1, 8)]
    tastes = make_tastes(ActionsConfig(n_items=7), 0)
    assert named == [KINDS[kind] for kind in tastes.kind] and sorted(np.bincount(tastes.kind)) == [3, 4]


def test_users_like_one_kind_and_not_the_other():
    config, interactions, catalogue = world(n_users=300, events=200)
    kind = make_tastes(config, 0).kind[catalogue.item_ids[interactions.item] - 1]
    like = interactions.actions[:, interactions.action_names.index("like")]
    rates = np.array([[like[(interactions.user == user) & (kind == one)].mean() for one in (0, 1)]
                      for user in range(interactions.n_users)])
    assert (np.abs(rates.max(axis=1) - config.keen) < 0.12).all() and (np.abs(rates.sum(axis=1) - 1) < 0.2).all()
    assert 0.4 < (rates[:, 0] > rates[:, 1]).mean() < 0.6


def test_items_are_shared_at_their_own_rates():
    config, interactions, catalogue = world(n_users=500, events=200)
    share = interactions.actions[:, interactions.action_names.index("share")]
    found = np.array([share[interactions.item == item].mean() for item in range(1, catalogue.n_items + 1)])
    np.testing.assert_allclose(found, make_tastes(config, 0).rate[catalogue.item_ids[1:] - 1], atol=0.05)


def test_the_best_prediction_is_bayes_rule_by_enumeration():
    config, interactions, catalogue = world(n_users=5, events=6, keen=0.8)
    kind = make_tastes(config, 0).kind[catalogue.item_ids[interactions.item] - 1]
    like = interactions.actions[:, 0] > 0
    events = np.arange(interactions.n_events)
    for window in (None, 3):
        found = truth.best_probabilities(config, interactions, catalogue, events, window)[:, 0]
        for event in events:
            first = interactions.offsets[interactions.user[event]]
            past = range(first if window is None else max(first, event - window + 1), event)
            given = [np.prod([_chance(0.8, group, kind[e], like[e]) for e in past]) for group in (0, 1)]
            wanted = sum(weight * _chance(0.8, group, kind[event], True) for group, weight in enumerate(given))
            assert found[event] == pytest.approx(wanted / sum(given), abs=1e-12)


def _chance(keen, group, kind, liked):
    return keen if (group == kind) == liked else 1 - keen


@pytest.mark.parametrize("earlier", [0, 1, 5, 19])
def test_the_best_entropy_is_what_the_best_predictions_come_to(earlier):
    config, interactions, catalogue = world(n_users=4000, events=20)
    events = interactions.offsets[:-1] + earlier
    p = truth.best_probabilities(config, interactions, catalogue, events)
    found = normalised_entropy(interactions.actions[events, 0] > 0, p[:, 0])
    assert found == pytest.approx(truth.best_ne_of_like(config, earlier), abs=0.03)
    every = truth.best_probabilities(config, interactions, catalogue, np.arange(interactions.n_events))[:, 1]
    shared = normalised_entropy(interactions.actions[:, 1] > 0, every)
    assert shared == pytest.approx(truth.best_ne_of_share(config), abs=0.005)


def test_what_is_known_grows_with_what_was_seen():
    entropies = [truth.best_ne_of_like(ActionsConfig(), earlier) for earlier in range(12)]
    assert entropies[0] == 1 and entropies == sorted(entropies, reverse=True)
    p = 0.9  # a user whose group is known is still keen only so often
    assert entropies[-1] == pytest.approx(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), abs=2e-3)
    assert agreement(ActionsConfig(), np.zeros(1))[0] == 0.5


@pytest.mark.parametrize("wrong", [{"keen": 0.5}, {"keen": 1.0}, {"low": 0.7}, {"high": 1.0}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError):
        ActionsConfig(**wrong)
