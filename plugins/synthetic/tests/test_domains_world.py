"""The world of several domains: its law, by frequencies and by hand, and what the best model reaches."""

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic.config import DomainsConfig
from benchbase_synthetic.crossing import DomainTruth
from benchbase_synthetic.mixture import labels, make_mixture
from benchbase_synthetic.worlds import domains
from pydantic import ValidationError

from benchbase.data import encode
from benchbase.testing.contracts import DatasetContract

SPEC = {spec.name: spec for spec in benchbase_datasets()}["domains"]
SMALL = {"n_items": 12, "successors": 2}


class TestDomains(DatasetContract):
    spec = SPEC
    config = SPEC.config(n_users=30, events=8, events_spread=3, domains=3, transfer=0.4, corrupt=0.2, **SMALL)


def sequences(seed=0, n_users=4_000, steps=6, **parameters):
    config = DomainsConfig(**{**SMALL, **parameters})
    mixture = make_mixture(config, seed)
    return config, mixture, mixture.sample(n_users, steps, np.random.default_rng(seed))


@pytest.mark.parametrize("parameters", [
    {}, {"transfer": 1.0}, {"transfer": 0.5, "domains": 3}, {"noise": 1.0}, {"noise": 0.0, "stay": 0.0},
    {"domains": 6, "transfer": 0.3, "stay": 0.9}, {"successors": 1}])
def test_items_occur_as_often_as_the_law_says(parameters):
    """Expected and found counts of every item, summed over all sequences, at each position."""
    _, mixture, items = sequences(n_users=20_000, **parameters)
    for step in range(items.shape[1]):
        law = mixture.law(items, np.full(len(items), step))
        np.testing.assert_allclose(law.sum(axis=1), 1)
        expected, found = law.sum(axis=0), np.bincount(items[:, step], minlength=law.shape[1])
        spread = np.sqrt((law * (1 - law)).sum(axis=0))
        assert (np.abs(found - expected) <= 5 * spread + 1e-9).all()


def test_the_law_of_one_event_by_hand():
    config, mixture, _ = sequences(domains=3, transfer=0.25, noise=0.2, stay=0.6, successors=2)
    past = [0, 1, 5, 4, 5]  # domain 0, 0, 1, 1, 1
    law = mixture.law(np.array([[*past, 0]]), np.array([5]))[0]
    by_hand = np.zeros(12)
    for domain, (own, foreign) in enumerate(((1, 5), (5, 1), (None, 5))):
        move = 0.6 if domain == 1 else 0.2
        members = np.flatnonzero(mixture.domain == domain)
        by_hand[members] += move * config.noise / len(members)
        rest = move * (1 - config.noise)
        if own is None:
            by_hand[members] += rest / len(members)
        else:
            by_hand[mixture.successors[own, mixture.decides[foreign]]] += rest * 0.25
            by_hand[mixture.successors[own]] += rest * 0.75 * mixture.weights[own]
    np.testing.assert_allclose(law, by_hand, atol=1e-12)


def test_before_anything_of_another_domain_the_own_one_decides():
    _, mixture, _ = sequences(transfer=1.0, noise=0.0, stay=0.9)
    law = mixture.law(np.array([[0, 0]]), np.array([1]))[0]
    np.testing.assert_allclose(law[mixture.successors[0]], 0.9 * mixture.weights[0])


def test_where_another_domain_decides_nothing_else_is_left_open():
    _, mixture, _ = sequences(transfer=1.0, noise=0.0, stay=0.9)
    law = mixture.law(np.array([[0, 7, 0]]), np.array([2]))[0]
    assert law[mixture.successors[7, mixture.decides[0]]] == pytest.approx(0.9)


def test_independent_domains_tell_nothing_of_each_other():
    _, mixture, _ = sequences(transfer=0.0)
    one, other = np.array([[0, 7, 0]]), np.array([[0, 9, 0]])
    at = np.array([2])
    mine = mixture.domain == 0
    np.testing.assert_array_equal(mixture.law(one, at)[0, mine], mixture.law(other, at)[0, mine])


@pytest.mark.parametrize("n_domains", [2, 5, 20])
def test_domains_share_the_items_and_chains_stay_inside(n_domains):
    config = DomainsConfig(n_items=103, domains=n_domains)
    mixture = make_mixture(config, 0)
    sizes = np.bincount(mixture.domain)
    assert len(sizes) == n_domains and sizes.max() - sizes.min() <= 1
    assert (mixture.domain[mixture.successors] == mixture.domain[:, None]).all()
    assert set(mixture.decides) == set(range(config.successors))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_labels_is_wrong(share):
    config = DomainsConfig(n_items=60, domains=3, corrupt=share, n_users=100)
    mixture = make_mixture(config, 0)
    assert (labels(mixture, 0) != mixture.domain).sum() == round(60 * share)
    _, catalogue, _ = encode(domains(config, 0), config, 0)
    named = np.array([int(catalogue.domain_names[code].split()[1]) - 1 for code in catalogue.domain[1:]])
    np.testing.assert_array_equal(named, labels(mixture, 0)[catalogue.item_ids[1:] - 1])
    clean = domains(config.model_copy(update={"corrupt": 0.0}), 0)
    np.testing.assert_array_equal(domains(config, 0).item, clean.item)  # the events are the same


def test_the_best_recall_is_what_ranking_by_the_law_reaches():
    config = DomainsConfig(n_items=30, n_users=3_000, events=12, domains=3, transfer=0.3)
    interactions, catalogue, _ = encode(domains(config, 0), config, 0)
    events = interactions.offsets[1:] - 1
    law = truth.law_of_next(config, interactions, catalogue, events)
    hit = law.argmax(axis=1) == catalogue.item_ids[interactions.item[events]] - 1
    assert hit.mean() == pytest.approx(truth.best_recall_given(config, interactions, catalogue, events), abs=0.03)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"domains": 1}, "greater than or equal to 2"), ({"stay": 1.0}, "less than 1"),
    ({"low": 0.95}, "low 0.95 is above"),
    ({"n_items": 6, "domains": 3, "successors": 3}, "successors 3 exceed the 2 items of a domain"),
])
def test_parameters_out_of_bounds_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        DomainsConfig(**wrong)


def test_attention_across_domains_by_hand():
    """Two sequences, the second with a padded place; items 1 to 6 of the first domain, 7 to 12 of the second."""
    config = DomainsConfig(n_users=400, events=10, **SMALL)
    _, catalogue, _ = encode(domains(config, 0), config, 0)
    judge = DomainTruth(config, catalogue, 0)
    assert judge.metrics() == {} and np.isnan(judge.chance()["across"])
    judge.observe(np.array([[1, 7]]), {}, None)
    assert judge.metrics() == {}
    items = np.array([[1, 7, 2], [8, 3, 0]])
    attention = np.tril(np.ones((2, 2, 3, 3), np.float32))
    attention[0] /= attention[0].sum(axis=-1, keepdims=True)  # even
    attention[1] = np.eye(3)  # to itself alone
    judge.observe(items, {}, attention)
    crossing = np.array([0, 1 / 2, 1 / 3, 0, 1 / 2]) / 2
    assert judge.metrics() == pytest.approx({"across": crossing.mean(), "across_last": crossing[[2, 4]].mean()})
    assert judge.chance() == pytest.approx({"across": 2 * crossing.mean(), "across_last": 2 * crossing[[2, 4]].mean()})


def test_the_truth_knows_domains_by_what_they_are():
    config = DomainsConfig(n_users=400, events=10, corrupt=1.0, **SMALL)
    _, catalogue, _ = encode(domains(config, 0), config, 0)
    judge = DomainTruth(config, catalogue, 0)
    np.testing.assert_array_equal(judge.domain[1:], make_mixture(config, 0).domain[catalogue.item_ids[1:] - 1])
