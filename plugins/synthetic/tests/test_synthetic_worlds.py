"""Worlds: their laws hold, their truth is exact, and their randomness is the data seed's alone."""

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic.chain import make_chain
from benchbase_synthetic.config import MarkovConfig, NoiseConfig
from pydantic import ValidationError

from benchbase import DataContext
from benchbase.data import prepare, split
from benchbase.errors import DataError

SPECS = {spec.name: spec for spec in benchbase_datasets()}


def world(tmp_path, name, seed=0, **parameters):
    spec = SPECS[name]
    config = spec.config(**parameters)
    return config, prepare(spec, config, DataContext(cache=tmp_path, seed=seed))


@pytest.mark.parametrize("name", SPECS)
def test_sizes_and_times_are_as_asked(tmp_path, name):
    _, found = world(tmp_path, name, n_users=300, events=20, events_spread=5, days=30)
    sizes = np.diff(found.interactions.offsets)
    assert found.card["users"] == 300
    assert set(sizes) == set(range(15, 26))
    time, user = found.interactions.timestamp, found.interactions.user
    assert (np.diff(time)[np.diff(user) == 0] > 0).all()
    assert found.card["tie_share"] == 0
    first, last = found.card["time_span"]
    assert 29 * 86_400 < last - first <= 30 * 86_400 + 26
    ends = time[found.interactions.offsets[1:] - 1]
    short, long = ends[sizes < 18].mean(), ends[sizes > 22].mean()
    assert abs(long - short) < 3 * 86_400  # short users are spread over the whole time too


@pytest.mark.parametrize("name", SPECS)
def test_the_data_seed_decides_everything(tmp_path, name):
    hashes = [world(tmp_path / str(place), name, seed)[1].hash for place, seed in enumerate((0, 0, 1))]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", SPECS)
def test_every_split_works(tmp_path, name):
    _, found = world(tmp_path, name)
    for how, least in (("global_time", 190), ("leave_one_out", 200), ("temporal_ratio", 200)):
        assert least <= split(found.interactions, found.catalogue, how).facts["evaluated"]["test"] <= 200


def test_noise_is_uniform_and_independent(tmp_path):
    config, found = world(tmp_path, "noise", n_users=2000, n_items=10, events=51)
    item = found.interactions.item.reshape(2000, 51) - 1
    pairs = np.bincount((item[:, :-1] * 10 + item[:, 1:]).ravel(), minlength=100)
    expected = 2000 * 50 / 100
    assert ((pairs - expected) ** 2 / expected).sum() < 99 + 6 * np.sqrt(2 * 99)
    assert truth.best_recall_at_1(config) == 0.1
    assert truth.best_recall(config, 20) == 1


def plain_matrix(config, seed):
    """The chain's law, entry by entry."""
    chain = make_chain(config, seed)
    table = np.full((chain.n_items, chain.n_items), config.jump / chain.n_items)
    for i in range(chain.n_items):
        for j, weight in zip(chain.successors[i], chain.weights[i], strict=True):
            table[i, j] += (1 - config.jump) * weight
    return chain, table


@pytest.mark.parametrize("parameters", [{}, {"n_items": 5, "successors": 5}, {"successors": 1}, {"n_items": 7}])
def test_the_chain_is_a_law_with_distinct_successors_and_a_stationary_start(parameters):
    config = MarkovConfig(**parameters)
    chain, table = plain_matrix(config, 3)
    assert np.allclose(chain.matrix(), table, atol=1e-15)
    assert np.allclose(table.sum(axis=1), 1)
    assert all(len(set(row)) == config.successors for row in chain.successors.tolist())
    assert np.allclose(chain.stationary @ table, chain.stationary, atol=1e-12)
    if config.successors > 1:
        assert (chain.weights[:, 0] >= config.low).all()
        assert (chain.weights[:, 0] <= config.high).all()


def test_events_follow_the_law_at_every_position(tmp_path):
    config, found = world(tmp_path, "markov", n_users=20_000, n_items=8, events=6, successors=3)
    chain, table = plain_matrix(config, 0)
    item = found.interactions.item.reshape(20_000, 6) - 1
    for position in (0, 2, 5):
        counts = np.bincount(item[:, position], minlength=8)
        expected = chain.stationary * 20_000
        assert ((counts - expected) ** 2 / expected).sum() < 7 + 6 * np.sqrt(14)
    pairs = np.bincount((item[:, :-1] * 8 + item[:, 1:]).ravel(), minlength=64).reshape(8, 8)
    expected = table * pairs.sum(axis=1, keepdims=True)
    assert ((pairs - expected) ** 2 / expected).sum() < 56 + 6 * np.sqrt(112)


def test_the_best_recall_is_what_a_model_that_knows_the_law_gets(tmp_path):
    config, found = world(tmp_path, "markov", n_users=5000, events=20)
    interactions = found.interactions
    events = split(interactions, found.catalogue, "leave_one_out").test_events
    law = truth.transitions(config, found.catalogue)
    ranked = np.argsort(-law[interactions.item[events - 1] - 1], axis=1, kind="stable") + 1
    for k in (1, 4, 10):
        hits = (ranked[:, :k] == interactions.item[events, None]).any(axis=1).mean()
        error = np.sqrt(0.25 / len(events))
        assert abs(hits - truth.best_recall(config, k)) < 5 * error
        assert abs(hits - truth.best_recall_given(config, interactions, found.catalogue, events, k)) < 5 * error
    assert 0.5 < truth.best_recall_at_1(config) < 0.9
    assert truth.best_recall(config, 1, seed=1) != truth.best_recall_at_1(config)


def test_the_best_recall_of_a_chain_worked_by_hand():
    """Two items that swap with probability (1 - jump) + jump / 2 whatever the weights: one successor each."""
    config = MarkovConfig(n_items=2, successors=2, low=0.8, high=0.8, jump=0.1)
    assert truth.best_recall_at_1(config) == pytest.approx(0.9 * 0.8 + 0.1 / 2)
    assert truth.best_recall(config, 2) == pytest.approx(1)


def test_truth_follows_the_catalogue_when_items_are_missing(tmp_path):
    config, found = world(tmp_path, "markov", n_users=3, events=10)
    ids = found.catalogue.item_ids[1:]
    assert len(ids) < config.n_items
    law = truth.transitions(config, found.catalogue)
    assert law[0, 1] == make_chain(config, 0).matrix()[ids[0] - 1, ids[1] - 1]


@pytest.mark.parametrize("name", ["noise", "markov"])
def test_no_bound_is_told_that_a_model_could_beat(tmp_path, name):
    """Ten items of a thousand have events: a blind guess among them beats 1 / 1000."""
    config, found = world(tmp_path, name, n_users=5, n_items=1000, events=3)
    assert found.catalogue.n_items < 20
    message = r"^data seed 0: 99\d of 1000 items have no event before the last two of a user\. .*Ask for more users"
    with pytest.raises(DataError, match=message):
        truth.best_recall_at_1(config)
    if name == "markov":
        with pytest.raises(DataError, match=message):
            truth.best_recall_given(config, found.interactions, found.catalogue, np.array([2]))


def test_an_item_with_no_event_but_a_users_last_ones_is_missed(tmp_path):
    """Two users of three events: the bound needs both first events to hold both items."""
    for seed in range(8):
        config, found = world(tmp_path, "noise", seed, n_users=2, n_items=2, events=3)
        first = found.catalogue.item_ids[found.interactions.item[[0, 3]]]
        if len(set(first)) == 2:
            truth.check_items(config, seed)
        else:
            with pytest.raises(DataError, match="1 of 2 items"):
                truth.check_items(config, seed)


@pytest.mark.parametrize(
    "config, parameters, message",
    [
        (NoiseConfig, {"events": 5, "events_spread": 5}, "events_spread 5 is not below events 5"),
        (MarkovConfig, {"low": 0.9, "high": 0.5}, "low 0.9 is above high 0.5"),
        (MarkovConfig, {"n_items": 3, "successors": 4}, "successors 4 exceed n_items 3"),
        (MarkovConfig, {"jump": 0}, "greater than 0"),
    ],
)
def test_impossible_worlds_are_refused(config, parameters, message):
    with pytest.raises(ValidationError, match=message):
        config(**parameters)
