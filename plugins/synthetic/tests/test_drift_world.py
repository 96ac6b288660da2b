"""The world of drift: what is at hand when, what follows what, by frequencies, and what the best model reaches."""

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic.config import DriftConfig
from benchbase_synthetic.drift import DAY, make_seasons, season_of
from benchbase_synthetic.worlds import START, drift
from pydantic import ValidationError

from benchbase.data import encode, split
from benchbase.testing.contracts import DatasetContract

SPEC = {spec.name: spec for spec in benchbase_datasets()}["drift"]
SMALL = {"n_items": 12, "n_users": 3000, "events": 12, "seasons": 3, "successors": 3}


class TestDrift(DatasetContract):
    spec = SPEC
    config = SPEC.config(n_users=60, n_items=12, events=20, events_spread=6, successors=4, change=0.3)


def drawn(**parameters):
    config = DriftConfig(**{**SMALL, **parameters})
    log = drift(config, 0)
    return config, make_seasons(config, 0), log, season_of(config, np.asarray(log.timestamp), START)


@pytest.mark.parametrize("parameters", [{}, {"change": 0.6}, {"active": 1.0}, {"jump": 0.4, "overlap": 0.0}])
def test_items_follow_each_other_as_often_as_the_law_of_the_season_says(parameters):
    config, seasons, log, season = drawn(**parameters)
    item, user = np.asarray(log.item) - 1, np.asarray(log.user)
    follows = np.flatnonzero(user[1:] == user[:-1]) + 1
    for number in range(config.seasons):
        law = seasons.matrix(number)
        np.testing.assert_allclose(law.sum(axis=1), 1)
        here = follows[season[follows] == number]
        found = np.zeros_like(law)
        np.add.at(found, (item[here - 1], item[here]), 1)
        n = found.sum(axis=1, keepdims=True)
        assert (np.abs(found - n * law) <= 5 * np.sqrt(n * law * (1 - law)) + 1e-9).all()
        first = np.flatnonzero(np.diff(user, prepend=0) != 0)
        first = first[season[first] == number]
        counts, share = np.bincount(item[first], minlength=12), seasons.first(number)
        assert (np.abs(counts - len(first) * share) <= 5 * np.sqrt(len(first) * share) + 1e-9).all()


def test_only_what_is_at_hand_occurs_and_so_much_of_it_was_there_before():
    config, seasons, log, season = drawn(n_items=20, active=0.5, overlap=0.6)
    item = np.asarray(log.item) - 1
    for number in range(config.seasons):
        assert set(item[season == number].tolist()) == set(np.flatnonzero(seasons.active[number]).tolist())
        assert seasons.active[number].sum() == 10
    for before, after in zip(seasons.active, seasons.active[1:], strict=False):
        assert (before & after).sum() == 6


@pytest.mark.parametrize(("change", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 195, 200)])
def test_so_many_items_have_other_successors_in_each_season(change, least, most):
    seasons = make_seasons(DriftConfig(n_items=200, seasons=3, change=change), 1)
    for number in (1, 2):
        assert least <= (seasons.successors[number] != seasons.successors[number - 1]).any(axis=1).sum() <= most


def test_an_item_none_of_whose_successors_is_at_hand_is_followed_by_any():
    seasons = make_seasons(DriftConfig(n_items=40, successors=1, active=0.3), 2)
    lonely = np.flatnonzero(seasons.weights[0].sum(axis=1) == 0)
    assert len(lonely) > 5
    np.testing.assert_allclose(seasons.matrix(0)[lonely], np.tile(seasons.first(0), (len(lonely), 1)))


def test_seasons_are_of_equal_length_and_the_last_has_no_end():
    config = DriftConfig(seasons=4, days=8)
    times = START + DAY * np.array([0, 1.99, 2, 3.99, 4, 6, 7.99, 8, 9, 1e9])
    assert season_of(config, times.astype(np.int64), START).tolist() == [0, 0, 1, 1, 2, 3, 3, 3, 3, 3]


def test_the_best_model_scores_as_expected():
    config = DriftConfig(n_items=30, n_users=1500, events=30, change=0.2)
    interactions, catalogue, _ = encode(drift(config, 0), SPEC.config(), 0)
    events = split(interactions, catalogue, {"name": "prequential", "periods": 3}, "each").test_events
    law = truth.law_of_next(config, interactions, catalogue, events)
    target = catalogue.item_ids[interactions.item[events]] - 1
    hits = law.argmax(axis=1) == target
    best = truth.best_recall_given(config, interactions, catalogue, events)
    assert abs(hits.mean() - best) < 5 * np.sqrt(best * (1 - best) / len(events))
    np.testing.assert_allclose(law.max(axis=1).mean(), best)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"low": 0.9, "high": 0.5}, "low 0.9 is above high 0.5"),
    ({"n_items": 3, "successors": 4}, "successors 4 exceed n_items 3"),
    ({"active": 0.7, "overlap": 0.0}, "active 0.7 with overlap 0.0 takes more items than there are"),
    ({"active": 0}, "greater than 0"), ({"overlap": 1.5}, "less than or equal to 1"), ({"seasons": 0}, "greater than"),
])
def test_worlds_that_cannot_be(parameters, message):
    with pytest.raises(ValidationError, match=message):
        DriftConfig(**parameters)
