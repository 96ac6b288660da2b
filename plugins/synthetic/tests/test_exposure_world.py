"""The world of exposure: how often items are shown and liked, by frequencies, and what the best model reaches."""

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic.config import ExposureConfig
from benchbase_synthetic.exposure import groups_of, make_showing, show
from benchbase_synthetic.worlds import exposure
from pydantic import ValidationError

from benchbase.data import encode
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

SPEC = {spec.name: spec for spec in benchbase_datasets()}["exposure"]
SMALL = {"n_items": 8, "n_users": 20_000, "events": 6, "random": 2}


class TestExposure(DatasetContract):
    spec = SPEC
    config = SPEC.config(n_users=60, n_items=12, events=10, events_spread=4)


class TestExposureShown(DatasetContract):
    spec = SPEC
    config = SPEC.config(n_users=60, n_items=12, events=10, groups=3, keep="shown")


def drawn(seed=0, **parameters):
    config = ExposureConfig(**{**SMALL, **parameters})
    sizes = np.full(config.n_users, config.events)
    return config, make_showing(config, seed), groups_of(config, seed), *show(config, sizes, seed)


def close(found, law, n):
    """Whether shares of n draws are within five standard errors of a law."""
    return (np.abs(found - law) <= 5 * np.sqrt(law * (1 - law) / n) + 1e-9).all()


@pytest.mark.parametrize("parameters", [{}, {"skew": 0.0}, {"groups": 1}, {"groups": 3, "skew": 2.0}])
def test_what_is_liked_occurs_as_often_as_the_law_says(parameters):
    config, showing, group, items, likes = drawn(**parameters)
    assert likes.all()
    for each in range(config.groups):
        for places, uniform in ((slice(0, 4), False), (slice(4, 6), True)):
            found = items[group == each, places]
            assert close(np.bincount(found.ravel(), minlength=8) / found.size, showing.liked(uniform)[each], found.size)


def test_what_is_shown_does_not_depend_on_who_looks_and_is_liked_as_the_law_says():
    config, showing, group, items, likes = drawn(keep="shown")
    law = showing.propensity / showing.propensity.sum()
    for each in range(config.groups):
        early, late = items[group == each, :4], items[group == each, 4:]
        assert close(np.bincount(early.ravel(), minlength=8) / early.size, law, early.size)
        assert close(np.bincount(late.ravel(), minlength=8) / late.size, np.full(8, 1 / 8), late.size)
        for item in range(8):
            at = (group == each)[:, None] & (items == item)
            assert close(likes[at].mean(), showing.liking[each, item], at.sum())


def test_the_law_by_hand():
    """Two items, two groups: what was liked while it was shown by propensity weighs less the oftener it is shown."""
    config = ExposureConfig(n_items=2, groups=2, keen=0.8, other=0.2, low=1.0, high=1.0, skew=1.0)
    showing = make_showing(config, 0)
    shown = showing.propensity
    one = 0.8 * shown[0] / (0.8 * shown[0] + 0.2 * shown[1])  # that a user of that group likes item 0 first
    two = 0.2 * shown[0] / (0.2 * shown[0] + 0.8 * shown[1])
    belief = one / (one + two)
    items, lengths = np.array([[0, 0]]), np.array([1])
    still = belief * one + (1 - belief) * two
    np.testing.assert_allclose(showing.law(items, lengths, np.array([5]))[0, 0], still)
    alike = belief * 0.8 + (1 - belief) * 0.2
    np.testing.assert_allclose(showing.law(items, lengths, np.array([1]))[0, 0], alike)
    first = np.full(2, 0.5) @ showing.liked(False)
    np.testing.assert_allclose(showing.law(items, np.array([0]), np.array([5]))[0], first)


@pytest.mark.parametrize("parameters", [{}, {"groups": 3, "skew": 2.0}, {"random": 0}])
def test_items_follow_each_other_as_often_as_the_law_says(parameters):
    """Expected and found counts of every item at each place, given what came before."""
    config, showing, _, items, _ = drawn(**parameters)
    start = np.full(len(items), config.events - config.random)
    for place in range(config.events):
        law = showing.law(items, np.full(len(items), place), start)
        np.testing.assert_allclose(law.sum(axis=1), 1)
        spread = np.sqrt((law * (1 - law)).sum(axis=0))
        assert (np.abs(np.bincount(items[:, place], minlength=8) - law.sum(axis=0)) <= 5 * spread).all()


def test_only_the_last_events_are_of_items_shown_alike():
    """Whatever the length of a sequence: what is shown the most is met less often there."""
    config = ExposureConfig(n_users=4_000, n_items=20, events=12, events_spread=8, random=3, skew=2.0, groups=1)
    log = exposure(config, 0)
    showing = make_showing(config, 0)
    end = np.append(log.user[1:] != log.user[:-1], True)
    to_end = np.flatnonzero(end)[log.user - 1] - np.arange(len(log.user))
    for uniform in (False, True):
        found = log.item[(to_end < 3) == uniform] - 1
        assert close(np.bincount(found, minlength=20) / len(found), showing.liked(uniform)[0], len(found))


def test_the_best_recall_is_that_of_whoever_knows_the_law():
    config = ExposureConfig(n_users=3_000, n_items=12, events=20, skew=1.5)
    interactions, catalogue = encode(exposure(config, 0), config, 0)[:2]
    last = interactions.offsets[1:] - 1
    best = truth.best_recall_given(config, interactions, catalogue, last)
    law = truth.law_of_next(config, interactions, catalogue, last)
    hit = law.argmax(axis=1) == interactions.item[last] - 1
    assert abs(hit.mean() - best) < 4 * np.sqrt(best * (1 - best) / len(last))
    by_exposure = truth.law_of_next(config, interactions, catalogue, last - 2)
    assert best > 1 / 12 and by_exposure.max(axis=1).mean() != pytest.approx(best)


def test_the_catalogue_holds_propensities_and_kinds():
    config = ExposureConfig(n_users=200, n_items=9, events=20, groups=3)
    _, catalogue = encode(exposure(config, 0), config, 0)[:2]
    seen = truth.showing(config, catalogue)
    np.testing.assert_array_equal(catalogue.columns["propensity"][1:], seen.propensity)
    assert seen.propensity.max() == 1 and sorted(np.bincount(seen.kind)) == [3, 3, 3]
    kinds = catalogue.categories["kind"]
    assert [kinds.labels[kinds.of(item)[0]] for item in range(1, 10)] == [f"kind {kind + 1}" for kind in seen.kind]


def test_of_what_is_shown_the_next_item_is_not_asked():
    config = ExposureConfig(keep="shown")
    interactions, catalogue = encode(exposure(config, 0), config, 0)[:2]
    with pytest.raises(DataError, match=r"keep shown: the next item is the one that is shown, whatever was liked\. "
                                        r"Expected liked\. Ask for keep: liked\."):
        truth.law_of_next(config, interactions, catalogue, interactions.offsets[1:] - 1)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"low": 0.8, "high": 0.5}, "low 0.8 is above high 0.5."),
    ({"groups": 50}, "groups 50 exceed n_items 40: a kind would have no item."),
    ({"events": 5, "events_spread": 3, "random": 3}, "random 3 exceeds the 2 events of the shortest sequence."),
])
def test_worlds_that_cannot_be(parameters, message):
    with pytest.raises(ValidationError, match=message):
        ExposureConfig(**parameters)
