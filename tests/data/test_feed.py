"""Batches and targets equal a slow reference, one row and one event at a time, and hold no event they may not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchbase.data import SPLITS, TRAIN, Catalogue, Interactions, split
from benchbase.data.batches import Feed, FeedConfig
from benchbase.data.sequences import Events
from benchbase.errors import DataError, PluginError
from benchbase.nn import Plan
from benchbase.specs import Negatives

N_ITEMS = 20


def catalogue_of(n_items, domain, has_time):
    names = () if domain is None else ("a", "b")
    return Catalogue(np.arange(n_items + 1), has_time, domain=domain, domain_names=names)


def random_world(seed=0, has_time=True, n_users=9, longest=12):
    """Users of 1 to `longest` events, the first two as short as can be."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, n_users)
    lengths[:3] = 1, 2, longest
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n = offsets[-1]
    time = np.concatenate([np.cumsum(random.integers(0, 3, length)) for length in lengths]) + 1_000_000
    interactions = Interactions(
        offsets, random.integers(1, N_ITEMS + 1, n).astype(np.int32), time.astype(np.int64) if has_time else None,
        random.random((n, 2)).astype(np.float32), random.random((n, 1)).astype(np.float32), ("a", "b"), ("f",),
        marks=(random.random((n, 1)) < 0.7).astype(np.float32), mark_names=("random",),
    )
    domain = np.concatenate([[-1], random.integers(0, 2, N_ITEMS)]).astype(np.int16)
    return interactions, catalogue_of(N_ITEMS, domain, has_time)


def serial(world):
    """The same world, the number of each event as its first action."""
    interactions, catalogue = world
    numbers = np.repeat(np.arange(interactions.n_events, dtype=np.float32)[:, None], 2, axis=1)
    return replace(interactions, actions=numbers), catalogue


def as_rows(interactions):
    """Positions of each user's events, a list per user."""
    return [list(range(a, b)) for a, b in zip(interactions.offsets, interactions.offsets[1:], strict=False)]


def config_of(**changes):
    return FeedConfig(**{"window": 5, "mask_rate": 0.3, "seed": 11} | changes)


def every_batch(feed, epoch=1, size=4, buckets=2):
    """All groups of an epoch."""
    return [group for groups in feed.train_batches(epoch, size, buckets) for group in groups]

def reference_row(world, positions, window_hidden, query_time, after):
    """What a row must show: positions (ints) in time order; `window_hidden` flags; `after` the next event or None."""
    interactions, catalogue = world
    time = interactions.timestamp
    row = []
    for index, (position, hide) in enumerate(zip(positions, window_hidden, strict=True)):
        following = positions[index + 1] if index + 1 < len(positions) else after
        if time is None:
            own = asked = 0
        elif query_time == "next":
            own = time[position]
            asked = own if hide or following is None else time[following]
        else:
            shown = [p for p, h in zip(positions, window_hidden, strict=True) if not h]
            earlier = [p for p in shown if p <= position]
            own = asked = time[earlier[-1] if earlier else shown[0]] if shown else 0
        item = 0 if hide else interactions.item[position]
        row.append({
            "items": item, "timestamps": own, "query_times": asked,
            "domains": -1 if hide or catalogue.domain is None else catalogue.domain[item],
            "actions": [0.0, 0.0] if hide else list(interactions.actions[position]),
            "features": [0.0] if hide else list(interactions.features[position]),
            "hide_item": hide, "hide_action": hide, "candidate": False,
        })
    return row


PADDING = {"items": 0, "timestamps": 0, "query_times": 0, "domains": -1, "actions": [0.0, 0.0], "features": [0.0],
           "hide_item": False, "hide_action": False, "candidate": False}


def check_row(batch, b, wanted):
    assert batch.lengths[b] == len(wanted)
    width = batch.items.shape[1]
    for t in range(width):
        expected = wanted[t] if t < len(wanted) else PADDING
        for name, value in expected.items():
            assert getattr(batch, name)[b, t].tolist() == pytest.approx(value), (name, b, t)


def check_targets(targets, b, world, positions, events):
    """The targets of row b are `events`, in order; positions[0] is the row's first."""
    mine = (targets.row == b).nonzero().flatten()
    assert targets.event[mine].tolist() == events
    for at, event in zip(mine, events, strict=True):
        position = positions[0] + event
        assert targets.item[at] == world[0].item[position]
        assert targets.actions[at].tolist() == pytest.approx(list(world[0].actions[position]))
        assert targets.weights[at] == 1


@pytest.mark.parametrize("query_time", ["next", "last"])
@pytest.mark.parametrize("supervise", ["all", "last"])
@pytest.mark.parametrize("window", [1, 4, 50])
@pytest.mark.parametrize("has_time", [True, False])
def test_next_training_equals_the_reference(window, supervise, query_time, has_time):
    world = random_world(has_time=has_time)
    divided = split(*world, "leave_one_out")
    feed = Feed(*world, divided, config_of(window=window, supervise=supervise, query_time=query_time))
    met = []
    for each in every_batch(feed):
        assert each.batch.items.shape[1] == each.batch.lengths.max()
        for b, user in enumerate(each.batch.users.tolist()):
            own = [p for p in as_rows(world[0])[user] if divided.part[p] == TRAIN][-(window + 1):]
            read, last = own[:-1], own[-1]
            check_row(each.batch, b, reference_row(world, read, [False] * len(read), query_time, last))
            events = [len(read)] if supervise == "last" else list(range(1, len(own)))
            check_targets(each.targets, b, world, own, events)
            met.append(user)
    enough = [u for u, own in enumerate(as_rows(world[0])) if sum(divided.part[p] == TRAIN for p in own) >= 2]
    assert sorted(met) == enough


@pytest.mark.parametrize("query_time", ["next", "last"])
@pytest.mark.parametrize("supervise", ["all", "last"])
@pytest.mark.parametrize("window", [1, 4, 50])
@pytest.mark.parametrize("has_time", [True, False])
def test_masked_training_equals_the_reference(window, supervise, query_time, has_time):
    world = random_world(has_time=has_time)
    divided = split(*world, "leave_one_out")
    config = config_of(window=window, supervise=supervise, query_time=query_time, masked=True)
    met = []
    for each in every_batch(Feed(*world, divided, config)):
        for b, user in enumerate(each.batch.users.tolist()):
            own = [p for p in as_rows(world[0])[user] if divided.part[p] == TRAIN][-window:]
            hidden = each.batch.hide_item[b, : len(own)].tolist()
            assert any(hidden)
            if supervise == "last":
                assert hidden == [False] * (len(own) - 1) + [True]
            check_row(each.batch, b, reference_row(world, own, hidden, query_time, None))
            check_targets(each.targets, b, world, own, [t for t, h in enumerate(hidden) if h])
            met.append(user)
    enough = [u for u, own in enumerate(as_rows(world[0])) if any(divided.part[p] == TRAIN for p in own)]
    assert sorted(met) == enough


@pytest.mark.parametrize("query_time", ["next", "last"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("window", [1, 4, 50])
@pytest.mark.parametrize("has_time", [True, False])
def test_scoring_equals_the_reference(window, masked, query_time, has_time):
    """A masked model reads one event less, since the hidden one counts in the window."""
    world = random_world(has_time=has_time)
    divided = split(*world, "temporal_ratio", "each")
    events = divided.test_events
    feed = Feed(*world, divided, config_of(window=window, query_time=query_time, masked=masked))
    met = []
    for each in feed.score_batches(events, 3):
        assert len(each.index) <= 3
        for b, at in enumerate(each.index.tolist()):
            target = events[at]
            past = [p for p in as_rows(world[0])[each.batch.users[b]] if p < target]
            read = past[len(past) - min(len(past), window - 1 if masked else window):]
            seen = [*read, target] if masked else read
            hidden = [False] * len(read) + [True] * masked
            check_row(each.batch, b, reference_row(world, seen, hidden, query_time, None if masked else target))
            check_targets(each.targets, b, world, [*read, target], [len(read)])
            met.append(at)
    assert sorted(met) == list(range(len(events)))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SPLITS)), st.booleans(), st.integers(1, 9), st.integers(0, 10_000), st.booleans())
def test_no_event_of_another_part_is_ever_trained_on(name, masked, window, seed, short):
    """Every event carries its own number as an action, and so is known wherever it shows."""
    world = random_world(seed, longest=5 if short else 30)
    try:
        divided = split(*world, name)
    except DataError:
        assume(False)
    numbers = serial(world)
    feed = Feed(*numbers, divided, config_of(window=window, masked=masked))
    train = set(np.flatnonzero(divided.part == TRAIN))
    for each in every_batch(feed):
        shown = each.batch.valid & ~each.batch.hide_item
        read = each.batch.actions[shown][:, 0].long().tolist()
        asked = each.targets.actions[:, 0].long().tolist()
        assert train >= {*read, *asked}
        assert each.batch.timestamps.max() <= numbers[0].timestamp[sorted(train)].max()
        assert each.batch.query_times.max() <= numbers[0].timestamp[sorted(train)].max()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("query_time", ["next", "last"])
def test_a_scored_batch_knows_nothing_of_its_targets_but_the_time_of_asking(masked, query_time):
    """Change all of a target, and of what comes after it: no tensor moves, and its time only where it may."""
    world = random_world()
    divided = split(*world, "leave_one_out")
    config = config_of(window=5, masked=masked, query_time=query_time)
    changed = scrambled(world, divided.test_events, times=query_time == "last")
    for one, other in zip(Feed(*world, divided, config).score_batches(divided.test_events, 4),
                          Feed(*changed, divided, config).score_batches(divided.test_events, 4), strict=True):
        assert not torch.equal(one.targets.item, other.targets.item)
        same_batch(one.batch, other.batch)


@pytest.mark.parametrize("query_time", ["next", "last"])
def test_a_masked_batch_knows_nothing_of_hidden_events_but_their_time(query_time):
    world = random_world()
    divided = split(*world, "leave_one_out")
    config = config_of(window=6, masked=True, query_time=query_time)
    numbers = serial(world)
    targets = [each.targets for each in every_batch(Feed(*numbers, divided, config))]
    hidden = np.concatenate([each.actions[:, 0].long().numpy() for each in targets])
    changed = scrambled(world, hidden, times=query_time == "last")
    for one, other in zip(every_batch(Feed(*world, divided, config)), every_batch(Feed(*changed, divided, config)),
                          strict=True):
        assert not torch.equal(one.targets.item, other.targets.item)
        same_batch(one.batch, other.batch)


def scrambled(world, events, times):
    """The world with all that is known of some events made another."""
    interactions, catalogue = world
    item, actions, features = interactions.item.copy(), interactions.actions.copy(), interactions.features.copy()
    item[events] = item[events] % catalogue.n_items + 1
    actions[events], features[events] = 1 - actions[events], 7.0
    timestamp = interactions.timestamp.copy()
    if times:
        timestamp[events] += 12_345
    return replace(interactions, item=item, actions=actions, features=features, timestamp=timestamp), catalogue


def same_batch(one, other):
    for name in ("users", "items", "timestamps", "query_times", "domains", "actions", "lengths", "features",
                 "hide_item", "hide_action", "candidate"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("masked", [False, True])
def test_users_with_one_event_can_be_scored(masked):
    world = random_world(longest=4, n_users=30)
    divided = split(*world, "leave_one_out", "each")
    alone = [p for p in divided.valid_events if p - 1 in world[0].offsets]
    assert alone, "the world has users whose valid event has one event before it"
    feed = Feed(*world, divided, config_of(window=3, masked=masked))
    for each in feed.score_batches(np.array(alone), 2):
        assert (each.batch.lengths == (2 if masked else 1)).all()


def test_without_domains_all_are_unknown():
    interactions, catalogue = random_world()
    plain = catalogue_of(catalogue.n_items, domain=None, has_time=True)
    feed = Feed(interactions, plain, split(interactions, plain, "leave_one_out"), config_of(window=4))
    assert all((each.batch.domains == -1).all() for each in every_batch(feed))


def test_an_epoch_has_as_many_steps_as_announced_and_as_many_groups_as_asked():
    world = random_world()
    feed = Feed(*world, split(*world, "leave_one_out"), config_of(window=6))
    for size, buckets in ((1, 1), (3, 2), (4, 9), (1000, 4)):
        steps = list(feed.train_batches(1, size, buckets))
        assert len(steps) == feed.n_batches(size)
        assert all(sum(group.batch.n_rows for group in groups) <= size for groups in steps)
        assert all(1 <= len(groups) <= buckets for groups in steps)
        for groups in steps:  # groups ascend in length, so that short rows are not padded for long ones
            ends = [(int(g.batch.lengths.min()), int(g.batch.lengths.max())) for g in groups]
            assert all(a[1] <= b[0] for a, b in pairwise(ends))


def drawn(feed, size, buckets, of):
    """What was drawn for every (user, event), over the batches of an epoch."""
    found = {}
    for each in every_batch(feed, 1, size, buckets):
        first = {u: rows[0] for u, rows in enumerate(as_rows(feed.interactions)) if rows}
        for name, targets in each.negatives.items() if of is None else [(of, each.targets_for(of))]:
            items, scores = targets.negatives, targets.log_q_negatives
            for p, (row, event) in enumerate(zip(targets.row.tolist(), targets.event.tolist(), strict=True)):
                user = int(each.batch.users[row])
                number = int(targets.actions[p, 0]) - first[user]
                at = {"each": p, "shared": row, "all": slice(None)}[name]
                found[name, user, number] = (items[at].tolist(), scores[at].tolist(), float(targets.log_q[p]))
                assert each.batch.lengths[row] >= event >= 0
    return found


ASKED = {"each": Negatives(count=4), "shared": Negatives(count=3, law="popularity", scope="sequence"),
         "all": Negatives(count=5, scope="batch", keep_positive=True)}


@pytest.mark.parametrize("masked", [False, True])
def test_batching_buckets_and_windows_change_no_number_drawn(masked):
    """Per position and per sequence; and a longer window draws the same for the events of both."""
    world = serial(random_world(n_users=30, longest=25))
    divided = split(*world, "leave_one_out")
    asked = {name: ASKED[name] for name in ("each", "shared")}
    short, long = (Feed(*world, divided, config_of(window=w, masked=masked, negatives=asked)) for w in (6, 15))
    plain, more = drawn(short, 4, 2, None), drawn(long, 30, 4, None)
    assert plain == drawn(short, 7, 1, None) and more == drawn(long, 5, 3, None)
    both = plain.keys() & more.keys()
    assert len(both) > 60 and all(plain[key] == more[key] for key in both)
    if not masked:
        assert plain.keys() < more.keys()
    each = [tuple(items) for (name, *_), (items, *_) in more.items() if name == "each"]
    assert len(set(each)) > 0.95 * len(each)


def test_a_longer_window_hides_the_same_events():
    """But for the one that is hidden for want of others."""
    world = serial(random_world(n_users=40, longest=25))
    divided = split(*world, "leave_one_out")
    shown, hidden = [], []
    for window in (6, 15):
        batches = every_batch(Feed(*world, divided, config_of(window=window, masked=True)))
        hidden.append({int(n) for b in batches for n in b.targets.actions[:, 0]})
        shown.append({int(n) for b in batches for n in b.batch.actions[b.batch.valid & ~b.batch.hide_item][:, 0]})
    read = shown[0] | hidden[0]
    assert len(hidden[1] & read) > 30
    assert hidden[1] & read <= hidden[0]
    assert len(hidden[0] - hidden[1]) < len(hidden[0]) / 4


def test_negatives_of_a_batch_are_one_draw_for_a_step_and_another_for_the_next():
    world = serial(random_world(n_users=30))
    feed = Feed(*world, split(*world, "leave_one_out"), config_of(negatives={"all": ASKED["all"]}))
    batches = feed.train_batches(1, 6, 3)
    steps = [[group.targets_for("all").negatives.tolist() for group in groups] for groups in batches]
    assert all(group == groups[0] for groups in steps for group in groups)
    assert len({tuple(groups[0]) for groups in steps}) == len(steps) > 2
    again = next(iter(feed.train_batches(2, 6, 3)))
    assert again[0].targets_for("all").negatives.tolist() != steps[0][0]


def test_negatives_have_their_shapes_leave_the_target_out_and_carry_their_law():
    world = random_world(n_users=30)
    divided = split(*world, "leave_one_out")
    counts = np.bincount(world[0].item[divided.part == TRAIN], minlength=N_ITEMS + 1)
    feed = Feed(*world, divided, config_of(negatives=ASKED))
    for each in every_batch(feed):
        n, rows = len(each.targets), each.batch.n_rows
        shapes = {name: tuple(each.targets_for(name).negatives.shape) for name in ASKED}
        assert shapes == {"each": (n, 4), "shared": (rows, 3), "all": (5,)}
        assert not (each.targets_for("each").negatives == each.targets.item[:, None]).any()
        shared = each.targets_for("shared")
        law = np.log(np.maximum(counts, 1) / counts.sum())  # the unseen are never asked for
        assert shared.log_q.numpy() == pytest.approx(law[shared.item], rel=1e-5)
        assert shared.log_q_negatives.numpy() == pytest.approx(law[shared.negatives], rel=1e-5)
        assert each.targets_for("each").log_q_negatives.numpy() == pytest.approx(-np.log(N_ITEMS - 1))
        assert each.targets_for("nobody") is each.targets and each.targets.negatives is None


@pytest.mark.parametrize("law", ["uniform", "popularity", "mixed"])
def test_negatives_drawn_without_the_positive_carry_the_law_without_it(law):
    world = random_world(n_users=30)
    divided = split(*world, "leave_one_out")
    counts = np.bincount(world[0].item[divided.part == TRAIN], minlength=N_ITEMS + 1).astype(float)
    if law == "uniform":
        counts[1:] = 1
    if law == "mixed":  # 0.5 by default
        counts[1:] = 0.5 * counts[1:] / counts.sum() + 0.5 / N_ITEMS
    asked = {"without": Negatives(count=6, law=law), "with": Negatives(count=6, law=law, keep_positive=True)}
    for each in every_batch(Feed(*world, divided, config_of(negatives=asked))):
        without, kept = (each.targets_for(name) for name in asked)
        rest = counts.sum() - counts[without.item][:, None]
        assert without.log_q_negatives.exp().numpy() == pytest.approx(counts[without.negatives] / rest, rel=1e-5)
        law_of_all = counts[kept.negatives] / counts.sum()
        assert kept.log_q_negatives.exp().numpy() == pytest.approx(law_of_all, rel=1e-5)
        assert without.log_q_negatives.dtype == torch.float32


IN_BATCH = {"few": Negatives(count=4, law="in_batch", scope="batch"),
            "every": Negatives(count=9_999, law="in_batch", scope="batch")}


@pytest.mark.parametrize("masked", [False, True])
def test_negatives_in_the_batch_are_targets_of_the_step_shared_by_all_its_groups(masked):
    world = random_world(n_users=30)
    divided = split(*world, "leave_one_out")
    counts = np.bincount(world[0].item[divided.part == TRAIN], minlength=N_ITEMS + 1)
    feed = Feed(*world, divided, config_of(masked=masked, negatives=IN_BATCH | {"each": ASKED["each"]}))
    few = []
    for groups in feed.train_batches(1, 6, 3):
        pool = np.sort(np.concatenate([group.targets.item for group in groups]))
        for group in groups:
            every, some = (group.targets_for(name) for name in ("every", "few"))
            assert np.array_equal(np.sort(every.negatives), pool)
            assert some.negatives.tolist() == groups[0].targets_for("few").negatives.tolist()
            assert np.allclose(every.log_q_negatives.exp(), counts[every.negatives] / counts.sum())
            assert np.allclose(every.log_q.exp(), counts[every.item] / counts.sum())
            assert group.targets_for("each").negatives.shape == (len(group.targets), 4)
        few.append(tuple(some.negatives.tolist()))
        left = list(pool)
        for item in few[-1]:  # each target once
            left.remove(item)
        assert len(few[-1]) == min(4, len(pool))
    assert len(set(few)) == len(few) > 2


def test_negatives_in_the_batch_depend_on_the_step_and_not_on_its_groups():
    world = random_world(n_users=30)
    feed = Feed(*world, split(*world, "leave_one_out"), config_of(negatives=IN_BATCH))

    def of(epoch, buckets):
        steps = feed.train_batches(epoch, 6, buckets)
        return [[groups[0].targets_for(name).negatives.tolist() for name in IN_BATCH] for groups in steps]

    assert of(1, 1) == of(1, 3) == of(1, 6)
    assert of(1, 1)[0][0] != of(2, 1)[0][0]


def test_every_target_of_a_step_is_drawn_as_often_as_the_others():
    none = np.zeros((10, 0), np.float32)
    interactions = Interactions(np.array([0, 10]), np.arange(1, 11, dtype=np.int32), None, none, none)
    world = interactions, catalogue_of(N_ITEMS, None, has_time=False)
    feed = Feed(*world, split(*world, "leave_one_out"), config_of(window=9, negatives=IN_BATCH))
    drawn = np.concatenate([groups[0].targets_for("few").negatives for epoch in range(500)
                            for groups in feed.train_batches(epoch, 1, 1)])
    counts = np.bincount(drawn)[2:]  # the first event is no target, and the last two are no train part
    assert len(counts) == 7 and counts.sum() == len(drawn) == 2_000
    assert np.abs(counts - 2_000 / 7).max() < 5 * np.sqrt(2_000 / 7)


def test_the_only_item_there_is_keeps_a_finite_law():
    interactions, _ = random_world()
    interactions = replace(interactions, item=np.ones_like(interactions.item))
    world = interactions, catalogue_of(1, None, True)
    asked = {law: Negatives(count=2, law=law) for law in ("uniform", "popularity", "mixed")}
    for each in every_batch(Feed(*world, split(*world, "leave_one_out"), config_of(negatives=asked))):
        assert all((each.targets_for(law).log_q_negatives == 0).all() for law in asked)


def test_epochs_and_seeds_draw_anew():
    world = serial(random_world(n_users=30))
    divided = split(*world, "leave_one_out")

    def shown(seed, epoch):
        feed = Feed(*world, divided, config_of(window=9, masked=True, seed=seed))
        batches = every_batch(feed, epoch)
        return [b.batch.users.tolist() for b in batches], {int(n) for b in batches for n in b.targets.actions[:, 0]}

    (order, hidden), others = shown(1, 1), [shown(1, 2), shown(2, 1)]
    assert shown(1, 1) == (order, hidden)
    assert all(order != other[0] and hidden != other[1] for other in others)


class Halver:
    """A compressor that stands for the history by one token and lets as many window events give way."""

    def __init__(self, tokens=2):
        self.tokens, self.seen = tokens, []
        self.max_tokens = tokens

    def plan(self, history, window, budget):
        self.seen.append((history, window, budget))
        used = np.where(history.lengths > 0, self.tokens, 0)
        displaced = np.maximum(window.lengths + used - budget, 0)
        return Plan(used, displaced, np.zeros((len(used), self.max_tokens), np.int64))


def compressed(masked, window=4, tokens=2, **changes):
    world = serial(random_world(n_users=12, longest=20))
    divided = split(*world, "leave_one_out")
    compressor = Halver(tokens)
    feed = Feed(*world, divided, config_of(window=window, masked=masked, **changes), compressor)
    return world[0], divided, feed, compressor


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_displaced_events_leave_before_batch_and_targets_are_made(masked, tokens):
    """What is left is the newest part of the window, at least one event, and everything older is history."""
    interactions, divided, feed, compressor = compressed(masked, tokens=tokens)
    for each in every_batch(feed):
        history, window, budget = compressor.seen.pop(0)
        assert budget == 4
        used = np.where(history.lengths > 0, tokens, 0)
        assert (each.batch.lengths.numpy() == np.maximum(np.minimum(window.lengths, 4 - used), 1)).all()
        for b, user in enumerate(each.batch.users.tolist()):
            own = [p for p in as_rows(interactions)[user] if divided.part[p] == TRAIN]
            read = own if masked else own[:-1]
            kept = read[-int(each.batch.lengths[b]):]
            start, stop = each.batch.history.offsets[b : b + 2].tolist()
            older = own[: own.index(kept[0])]
            assert each.batch.history.items[start:stop].tolist() == interactions.item[older].tolist()
            assert each.batch.history.timestamps[start:stop].tolist() == interactions.timestamp[older].tolist()
            mine = (each.targets.row == b).nonzero().flatten()
            asked = [own[own.index(kept[0]) + int(e)] for e in each.targets.event[mine]]
            assert each.targets.actions[mine, 0].tolist() == asked
            shown = (each.batch.valid & ~each.batch.hide_item)[b]
            hidden = each.batch.hide_item[b][: len(kept)].tolist()
            wanted = [p for p, h in zip(kept, hidden, strict=True) if not h]
            assert each.batch.actions[b][shown][:, 0].tolist() == wanted
            if not masked:
                assert each.targets.event[mine].tolist() == list(range(1, len(kept) + 1))
            else:
                assert each.targets.event[mine].tolist() == [t for t, h in enumerate(hidden) if h]
        assert each.batch.plan.tokens.tolist() == used.tolist()


@pytest.mark.parametrize("supervise", ["all", "last"])
def test_a_plan_sees_no_hidden_event(supervise):
    _, _, feed, compressor = compressed(True, supervise=supervise)
    for each in every_batch(feed):
        _, window, _ = compressor.seen.pop(0)
        shown = set(window.actions[window.item > 0][:, 0].astype(int))
        assert not shown & {int(n) for n in each.targets.actions[:, 0]}
        assert (window.actions[window.item == 0] == 0).all()
        if supervise == "last":
            assert len(each.targets) == each.batch.n_rows


@pytest.mark.parametrize("masked", [False, True])
def test_a_plan_of_too_many_tokens_is_the_plugins_mistake(masked):
    *_, feed, compressor = compressed(masked)
    compressor.max_tokens = 1
    with pytest.raises(PluginError, match=r"^Halver: its plan has 2 tokens for a row\. Expected at most max_tokens: 1"):
        every_batch(feed)


@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("late", [0, 1])
def test_a_token_from_after_the_first_event_kept_is_the_plugins_mistake(late, has_time):
    """Only of tokens in use, and only where times are known."""
    world = random_world(n_users=12, longest=20, has_time=has_time)
    divided = split(*world, "leave_one_out")

    class Late(Halver):
        def plan(self, history, window, budget):
            plan = super().plan(history, window, budget)
            first = window.offsets[:-1] + np.minimum(plan.displaced, window.lengths - 1)
            latest = np.stack([window.timestamp[first] + late, window.timestamp[first] + 10**6], axis=1)
            return replace(plan, tokens=np.minimum(plan.tokens, 1), latest=latest)

    feed = Feed(*world, divided, config_of(window=4), Late())
    if late and has_time:
        with pytest.raises(PluginError, match=r"^Late: its plan has a token that uses time \d+, later than the first"):
            every_batch(feed)
    else:
        every_batch(feed)


@pytest.mark.parametrize("masked", [False, True])
def test_scored_rows_with_their_tokens_and_the_hidden_event_fill_the_window(masked):
    _, divided, feed, compressor = compressed(masked)
    for each in feed.score_batches(divided.test_events, 5):
        history, window, budget = compressor.seen.pop(0)
        assert (each.batch.lengths.numpy() + np.where(history.lengths > 0, 2, 0)).max() <= 4
        assert budget == (3 if masked else 4)
        targets = divided.test_events[each.index]
        last = window.actions[window.offsets[1:] - 1, 0]
        assert (last == targets - 1).all()
        assert (each.batch.hide_item.sum(1) == int(masked)).all()


class Growing(Halver):
    """Tokens for every two events of the history."""

    def plan(self, history, window, budget):
        self.seen.append(None)
        used = np.minimum(history.lengths // 2, self.max_tokens)
        displaced = np.maximum(window.lengths + used - budget, 0)
        return Plan(used, displaced, np.zeros((len(used), self.max_tokens), np.int64))


def test_rows_of_like_histories_stand_together_so_that_few_are_padded():
    """Where each token takes the place of an event: padding would be of tokens and of events."""
    world = random_world(n_users=60, longest=40)
    divided = split(*world, "leave_one_out")
    feed = Feed(*world, divided, config_of(window=10), Growing(8))
    scored = list(feed.score_batches(divided.test_events, 8))
    widths = [int(each.batch.plan.tokens.max()) + int(each.batch.lengths.max()) for each in scored]
    assert np.mean(widths) < 11  # above 16 in the order of users
    assert sorted(np.concatenate([each.index for each in scored]).tolist()) == list(range(len(divided.test_events)))
    for batches in (scored, *feed.train_batches(1, 30, 3)):
        known = [each.batch.history.offsets.diff() + each.batch.lengths for each in batches]
        assert (torch.cat(known).diff() >= 0).all()


def test_without_a_compressor_there_is_no_history():
    world = random_world()
    feed = Feed(*world, split(*world, "leave_one_out"), config_of())
    assert all(each.batch.history is None and each.batch.plan is None for each in every_batch(feed))


def test_batches_move_to_a_device_whole():
    _, _, feed, _ = compressed(True, negatives={"each": ASKED["each"]})
    each = every_batch(feed)[0]
    moved = each.batch.to("meta")
    assert {t.device.type for t in (moved.items, moved.history.items, moved.plan.tokens)} == {"meta"}
    assert each.targets_for("each").to("meta").negatives.device.type == "meta"


def test_events_know_their_rows():
    events = Events(np.array([0, 2, 2, 5]), np.arange(5), np.zeros(5), np.zeros((5, 0)))
    assert events.n_rows == 3 and events.lengths.tolist() == [2, 0, 3] and events.row.tolist() == [0, 0, 2, 2, 2]
