"""Sequences taken apart by domain: each target after events of its own domain alone, the same questions as ever."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from benchbase.data import SPLITS, Catalogue, Interactions, split
from benchbase.data.batches import Feed, FeedConfig, OwnDomainFeed
from benchbase.data.batches.own_domain import take_apart

N_ITEMS = 12


def world(seed=0, n_users=20, longest=12, has_time=True):
    """Events whose first action is their number, of items in three domains and of none."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n = int(offsets[-1])
    time = 1_000_000 + np.arange(n)
    interactions = Interactions(
        offsets, random.integers(1, N_ITEMS + 1, n).astype(np.int32), time if has_time else None,
        np.arange(n, dtype=np.float32)[:, None], np.zeros((n, 0), np.float32), ("number",), (),
    )
    domain = np.concatenate([[-1], np.arange(N_ITEMS) % 4 - 1]).astype(np.int16)
    return interactions, Catalogue(np.arange(N_ITEMS + 1), has_time, domain=domain, domain_names=("a", "b", "c"))


def divided(interactions, catalogue, rule="leave_one_out"):
    return split(interactions, catalogue, (rule, SPLITS[rule].config()), "each", 0)


def rows_of(batches):
    """What each row shows: its user, and the numbers of its events; and of each target its number."""
    for chunk in batches:
        batch, targets = chunk.batch, chunk.targets
        for row in range(batch.n_rows):
            shown = batch.valid[row] & ~batch.hide_item[row]
            numbers = batch.actions[row, :, 0][shown].long().tolist()
            asked = targets.actions[targets.row == row, 0].long().tolist()
            yield int(batch.users[row]), numbers, asked


def test_events_are_grouped_by_user_and_domain_and_stay_in_order():
    interactions, catalogue = world()
    apart, order, owner = take_apart(interactions, catalogue)
    assert sorted(order.tolist()) == list(range(interactions.n_events))
    for user, (a, b) in enumerate(zip(apart.offsets, apart.offsets[1:], strict=False)):
        events = order[a:b]
        assert (np.diff(events) > 0).all() and set(interactions.user[events]) == {owner[user]}
        assert len(set(catalogue.domain[interactions.item[events]])) == 1
    np.testing.assert_array_equal(apart.actions[:, 0], order)
    np.testing.assert_array_equal(apart.timestamp, interactions.timestamp[order])
    pairs = len({(u, d) for u, d in zip(interactions.user, catalogue.domain[interactions.item], strict=True)})
    assert apart.n_users == pairs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("has_time", [False, True])
def test_what_is_learned_from_is_of_one_domain_and_of_the_train_part(masked, has_time):
    interactions, catalogue = world(has_time=has_time)
    parts = divided(interactions, catalogue)
    feed = OwnDomainFeed(interactions, catalogue, parts, FeedConfig(window=4, masked=masked))
    domain = catalogue.domain[interactions.item]
    seen = set()
    for group in feed.train_batches(1, 8, 2):
        for user, numbers, asked in rows_of(group):
            events = numbers + asked
            assert len(set(domain[events])) == 1 and set(interactions.user[events]) == {user}
            assert (parts.part[events] == 0).all()
            seen |= set(events)
    trained = defaultdict(list)
    for event in np.flatnonzero(parts.part == 0):
        trained[interactions.user[event], domain[event]].append(event)
    longest = 4 if masked else 5
    expected = {event for events in trained.values() if masked or len(events) > 1 for event in events[-longest:]}
    assert seen == expected


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rule", ["leave_one_out", "global_time", "temporal_ratio"])
def test_every_event_is_asked_for_after_those_of_its_domain(masked, rule):
    interactions, catalogue = world()
    parts = divided(interactions, catalogue, rule)
    config = FeedConfig(window=4, masked=masked)
    feed = OwnDomainFeed(interactions, catalogue, parts, config)
    domain, whole = catalogue.domain[interactions.item], 0
    events, answered = parts.test_events, []
    for chunk in feed.score_batches(events, 3):
        answered += chunk.index.tolist()
        for (user, numbers, asked), index in zip(rows_of([chunk]), chunk.index, strict=True):
            event = int(events[index])
            assert asked == [event] and user == interactions.user[event]
            before = np.arange(interactions.offsets[user], event)
            own = before[domain[before] == domain[event]]
            whole += not len(own)
            assert numbers == (own if len(own) else before)[-(4 - masked):].tolist()
    assert sorted(answered) == list(range(len(events))) and whole


def test_one_domain_is_the_plain_feed():
    interactions, catalogue = world()
    catalogue.domain[1:] = 0
    parts, config = divided(interactions, catalogue), FeedConfig(window=4)
    own, plain = (made(interactions, catalogue, parts, config) for made in (OwnDomainFeed, Feed))
    first, second = (list(rows_of(feed.score_batches(parts.test_events, 64))) for feed in (own, plain))
    assert sorted(first) == sorted(second)
    first, second = ([row for group in feed.train_batches(1, 64, 1) for row in rows_of(group)] for feed in (own, plain))
    assert sorted(first) == sorted(second)


def test_nothing_to_ask_is_no_chunk():
    interactions, catalogue = world()
    feed = OwnDomainFeed(interactions, catalogue, divided(interactions, catalogue), FeedConfig(window=4))
    assert list(feed.score_batches(np.zeros(0, np.int64), 4)) == []


@pytest.mark.parametrize("candidates", [0, 2])
def test_actions_are_asked_for_after_those_of_their_domain(candidates):
    interactions, catalogue = world()
    known = replace(interactions, actions=(interactions.actions % 2).astype(np.float32))
    parts = divided(known, catalogue, "temporal_ratio")
    config = FeedConfig(window=6, task="action", candidates=candidates)
    feed, domain = OwnDomainFeed(known, catalogue, parts, config), catalogue.domain[known.item]
    answered = []
    for chunk in feed.score_batches(parts.test_events, 3):
        answered += chunk.index.tolist()
        events = parts.test_events[chunk.index]
        np.testing.assert_array_equal(chunk.targets.actions[:, 0], known.actions[events, 0])
        np.testing.assert_array_equal(chunk.targets.item, known.item[events])
        for row, event in zip(chunk.targets.row.tolist(), events.tolist(), strict=True):
            user = known.user[event]
            before = np.arange(known.offsets[user], event)
            read = domain[before[domain[before] == domain[event]]]
            shown = chunk.batch.domains[row][chunk.batch.valid[row]]
            assert chunk.batch.users[row] == user and (not len(read) or set(shown.tolist()) == {int(domain[event])})
    assert sorted(answered) == list(range(len(parts.test_events)))
