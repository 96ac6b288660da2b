"""Windows for training: what each windowing reads and predicts, against a slow cut of every user's train events."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.data import TRAIN, Catalogue, Interactions, split
from benchbase.data.batches import Feed, FeedConfig
from benchbase.data.batches.plans import Plans
from benchbase.data.sequences import train_rows
from benchbase.data.windows import WINDOWINGS
from benchbase.nn import Plan
from benchbase.specs import Negatives
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax

N_ITEMS = 20


@dataclass(frozen=True)
class World:
    """Events whose only action is their own number, so that they are known wherever they show."""

    interactions: Interactions
    catalogue: Catalogue
    split: object

    def train(self):
        """The numbers of every user's train events, oldest first."""
        bounds, part = self.interactions.offsets, self.split.part
        return [[n for n in range(a, b) if part[n] == TRAIN] for a, b in pairwise(bounds)]

    def feed(self, compressor=None, **config):
        config = FeedConfig(**{"window": 5, "mask_rate": 0.3, "seed": 11} | config)
        return Feed(self.interactions, self.catalogue, self.split, config, compressor)


def world_of(seed=0, n_users=9, longest=30):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, n_users)
    lengths[:4] = 1, 3, 4, longest
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n = offsets[-1]
    time = np.concatenate([np.cumsum(random.integers(0, 3, length)) for length in lengths]) + 1_000_000
    interactions = Interactions(
        offsets, random.integers(1, N_ITEMS + 1, n).astype(np.int32), time.astype(np.int64),
        np.arange(n, dtype=np.float32)[:, None], np.zeros((n, 0), np.float32), ("number",),
    )
    catalogue = Catalogue(np.arange(N_ITEMS + 1), True)
    return World(interactions, catalogue, split(interactions, catalogue, "leave_one_out"))


def groups(feed, epoch=1, size=4, buckets=2):
    return [group for step in feed.train_batches(epoch, size, buckets) for group in step]


def rows_of(feed, **how):
    """Per row: the user, the events it reads, those it predicts and those of its history, by number or item."""
    found = []
    for each in groups(feed, **how):
        batch, targets = each.batch, each.targets
        for b, length in enumerate(batch.lengths.tolist()):
            shown = ~batch.hide_item[b, :length]
            history = None
            if batch.history is not None:
                history = tuple(batch.history.items[batch.history.offsets[b] : batch.history.offsets[b + 1]].tolist())
            found.append((int(batch.users[b]), tuple(batch.actions[b, :length, 0][shown].int().tolist()),
                          tuple(targets.actions[targets.row == b, 0].int().tolist()), history))
    return found


def cut(own, span, stride):
    """The stretches of up to `span` events, the newest first, until one holds the oldest."""
    found, end = [], len(own)
    while True:
        found.append(own[max(0, end - span) : end])
        if stride is None or end <= span:
            return found
        end -= stride


STRIDES = st.one_of(st.none(), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), STRIDES, st.booleans(), st.integers(0, 10_000))
def test_rows_are_those_of_a_slow_cut(window, stride, masked, seed):
    stride = None if stride is None else min(stride, window)
    world = world_of(seed)
    least, span = (1, window) if masked else (2, window + 1)
    wanted = [(user, piece) for user, own in enumerate(world.train()) if len(own) >= least
              for piece in cut(own, span, stride)]
    rows = train_rows(world.interactions, world.split, window, masked, stride)
    pieces = [(int(u), list(range(a, b))) for u, a, b in zip(rows.user, rows.start, rows.stop, strict=True)]
    assert pieces == wanted
    assert (rows.first == world.interactions.offsets[rows.user]).all()
    assert all(len(piece) >= least for _, piece in pieces)
    feed = world.feed(window=window, masked=masked, stride=stride)
    assert feed.n_batches(3) == -(-len(wanted) // 3) == len(list(feed.train_batches(1, 3, 2)))
    got = sorted(rows_of(feed))
    if masked:
        assert sorted((user, sorted((*read, *asked))) for user, read, asked, _ in got) == sorted(wanted)
        assert all(asked for _, _, asked, _ in got)
    else:
        assert got == sorted((user, tuple(piece[:-1]), tuple(piece[1:]), None) for user, piece in wanted)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000))
def test_chunks_predict_every_train_event_but_a_users_first_exactly_once(window, seed):
    world = world_of(seed)
    feed = world.feed(window=window, stride=WINDOWINGS["chunks"].stride(None, window))
    asked = Counter(number for _, _, targets, _ in rows_of(feed) for number in targets)
    assert asked == Counter(number for own in world.train() for number in own[1:])


class Drawn:
    """A compressor that lets go of any number of events, drawn by where the window begins, even without history."""

    max_tokens = 3

    def plan(self, history, window, budget):
        begins = window.timestamp[np.minimum(window.offsets[:-1], len(window.timestamp) - 1)] + history.lengths
        return Plan(history.lengths % 4, begins % 7, np.zeros((len(begins), 3), np.int64))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 10_000))
def test_chunks_lose_no_event_to_the_tokens_of_the_history(window, drawn, masked, seed):
    """Each is a target once, whatever gives way; windows are cut one after another, from a user's newest event back."""
    world, compressor = world_of(seed), Drawn() if drawn else Watcher(2)
    feed = world.feed(compressor, window=window, stride=window, masked=masked)
    rows = rows_of(feed)
    met = Counter(number for _, read, asked, _ in rows for number in ((*read, *asked) if masked else asked))
    assert met == Counter(number for own in world.train() for number in (own if masked else own[1:]))
    assert all(len(read) <= window for _, read, _, _ in rows)
    users = feed.rows.user.tolist()
    assert users == sorted(users)
    assert all(a > b for (u, a), (v, b) in pairwise(zip(users, feed.rows.stop.tolist(), strict=True)) if u == v)
    assert feed.n_batches(3) == -(-len(rows) // 3)


@pytest.mark.parametrize(("supervise", "asked"), [("all", 0), ("last", 1), ("candidates", 3)])
def test_chunks_for_actions_hold_every_event_once_and_those_that_are_asked_for_give_way_to_nothing(supervise, asked):
    world = world_of()
    feed = world.feed(Watcher(4), window=5, stride=5, task="action", supervise=supervise, candidates=3)
    assert (np.diff(feed.rows.start) != 0).all()
    held = Counter()
    for each in groups(feed):
        older = each.batch.history.offsets.diff()
        for user, before, length in zip(each.batch.users.tolist(), older.tolist(), each.batch.lengths.tolist(),
                                        strict=True):
            held.update(world.train()[user][before : before + length])
            assert length >= min(max(asked, 1), before + length)
    assert held == Counter(number for own in world.train() for number in own)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000))
def test_masked_chunks_hold_every_train_event_exactly_once(window, seed):
    world = world_of(seed)
    feed = world.feed(window=window, masked=True, stride=WINDOWINGS["chunks"].stride(None, window))
    held = Counter(number for _, read, hidden, _ in rows_of(feed) for number in (*read, *hidden))
    assert held == Counter(number for own in world.train() for number in own)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 4, 5])
def test_sliding_windows_leave_no_event_out(stride, masked):
    world = world_of()
    stride = WINDOWINGS["slide"].stride(WINDOWINGS["slide"].config(stride=stride), 5)
    rows = rows_of(world.feed(masked=masked, stride=stride))
    met = {number for _, read, asked, _ in rows for number in ((*read, *asked) if masked else asked)}
    assert met == {number for own in world.train() for number in (own if masked else own[1:])}


ASKED = {"each": Negatives(count=4), "shared": Negatives(count=3, scope="sequence")}


def tensors(feed):
    """Everything of an epoch that a model could tell."""
    found = []
    for each in groups(feed):
        batch = vars(each.batch) | {"history": None, "plan": None}
        found.append([*batch.values(), *vars(each.targets).values()])
        found += [list(vars(each.negatives[name]).values()) for name in each.negatives]
    return found


def same(one, other):
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
               for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional])
def test_a_suites_windows_reach_the_feed_and_those_that_slide_by_their_length_are_chunks(backbone):
    def epoch(windows):
        return tensors(make_experiment(backbone, objectives=[tiny_softmax], train={"windows": windows},
                                       protocol={"window": 4}).feed)

    chunks, last = epoch("chunks"), epoch("last")
    assert same(chunks, epoch("slide[stride=4]"))
    assert len(last) < len(chunks) < len(epoch("slide[stride=1]"))


@pytest.mark.parametrize("masked", [False, True])
def test_the_newest_of_all_windows_is_the_last_one(masked):
    """Wherever windows do not overlap, what is drawn for it is the same too."""
    world = world_of()
    last, chunks = (rows_of(world.feed(masked=masked, stride=stride)) for stride in (None, 5))
    assert set(last) < set(chunks)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stride", [2, 5])
def test_batching_changes_no_window_and_no_draw(masked, stride):
    feed = world_of(n_users=20).feed(masked=masked, stride=stride)
    plain = sorted(rows_of(feed, size=4, buckets=2))
    assert plain == sorted(rows_of(feed, size=7, buckets=1)) == sorted(rows_of(feed, size=100, buckets=4))
    assert masked == (plain != sorted(rows_of(feed, epoch=2)))


def decisions(rows):
    """Of every event, whether it was hidden, in each row that holds it."""
    found = {}
    for _, read, hidden, _ in rows:
        for number in (*read, *hidden):
            found.setdefault(number, []).append(number in hidden)
    return found


def test_what_a_window_hides_is_its_own_where_windows_overlap():
    rows = decisions(rows_of(world_of(n_users=20).feed(masked=True, stride=1)))
    often = [each for each in rows.values() if len(each) == 5]
    assert len(often) > 100
    assert np.mean([0 < sum(each) < 5 for each in often]) > 0.5
    assert np.mean([sum(each) for each in often]) / 5 == pytest.approx(0.33, abs=0.05)  # 0.3, and one a row at least


def test_chunks_hide_what_one_long_window_hides():
    """But for the ones that are hidden for want of others."""
    world = world_of(n_users=20)
    long, chunks = (decisions(rows_of(world.feed(window=w, masked=True, stride=s))) for w, s in ((30, None), (5, 5)))
    assert chunks.keys() == long.keys()
    differ = [n for n in chunks if chunks[n] != long[n]]
    assert len(differ) < len(chunks) / 8


def test_an_event_meets_the_same_negatives_in_every_window():
    found = {}
    for each in groups(world_of().feed(stride=2, negatives=ASKED)):
        targets = each.targets_for("each")
        for number, items in zip(targets.actions[:, 0].tolist(), targets.negatives.tolist(), strict=True):
            found.setdefault(number, []).append(tuple(items))
    assert max(map(len, found.values())) > 1
    assert all(len(set(each)) == 1 for each in found.values())
    assert len({each[0] for each in found.values()}) > 0.9 * len(found)


@pytest.mark.parametrize("masked", [False, True])
def test_supervising_the_last_asks_for_the_last_event_of_every_window(masked):
    world = world_of()
    rows = rows_of(world.feed(masked=masked, stride=5, supervise="last"))
    ends = [own[at - 1] for own in world.train() for at in range(len(own), 0 if masked else 1, -5)]
    assert sorted(number for _, _, asked, _ in rows for number in asked) == sorted(ends)


class Watcher:
    """A compressor that notes what it is shown, and makes `tokens` tokens of any history."""

    def __init__(self, tokens):
        self.max_tokens, self.seen = tokens, []

    def plan(self, history, window, budget):
        self.seen.append((history, window))
        used = np.where(history.lengths > 0, self.max_tokens, 0)
        displaced = np.maximum(window.lengths + used - budget, 0)
        return Plan(used, displaced, np.zeros((len(used), self.max_tokens), np.int64))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [0, 2])
@pytest.mark.parametrize("stride", [2, 5])
def test_the_history_of_every_window_is_all_that_is_older_and_nothing_else(masked, tokens, stride):
    world, watcher = world_of(), Watcher(tokens)
    feed = world.feed(watcher, masked=masked, stride=stride)
    feed.plans = Plans(watcher)  # those by which chunks were cut are forgotten
    watcher.seen.clear()
    inner = 0
    for each in groups(feed):
        history, window = watcher.seen.pop(0)
        for b, user in enumerate(each.batch.users.tolist()):
            own = world.train()[user]
            at = slice(window.offsets[b], window.offsets[b + 1])
            times = window.timestamp[at]
            seen = history.actions[history.offsets[b] : history.offsets[b + 1], 0].astype(int).tolist()
            assert seen == own[: len(seen)], "a history begins with the user's first event"
            shown = window.actions[at][window.item[at] > 0, 0].astype(int).tolist()
            assert all(number >= own[len(seen)] for number in shown), "no event of the window is older"
            assert world.interactions.timestamp[own[len(seen)]] == times[0] or masked
            kept = each.batch.history.offsets[b : b + 2].tolist()
            asked = each.targets.actions[each.targets.row == b, 0].int().tolist()
            older = own[: kept[1] - kept[0]]
            assert each.batch.history.items[kept[0] : kept[1]].tolist() == world.interactions.item[older].tolist()
            assert not set(older) & set(asked)
            inner += len(seen) > 0 and at.stop - at.start + len(seen) + (not masked) < len(own)
    assert inner > 3, "some windows lie inside a user's events"
