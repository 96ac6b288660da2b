"""Buckets against a loop that walks each history from newest to oldest, and against queues that events come into."""

import numpy as np
import pytest
from benchbase_cause import buckets
from benchbase_cause.buckets import fill
from benchbase_cause.stream import BucketStream

from benchbase.data import Categories
from benchbase.data.sequences import Events

N_ITEMS = 25


def categories_of(lists):
    """Item i + 1 has the categories of entry i."""
    offsets = np.concatenate([[0, 0], np.cumsum([len(each) for each in lists])])
    values = np.array([value for each in lists for value in each], np.int32)
    return Categories(offsets, values, tuple(f"c{n:02}" for n in range(int(values.max(initial=-1)) + 1)))


def random_categories(seed, most=3, n_labels=6):
    draw = np.random.default_rng(seed)
    lists = [sorted(draw.choice(n_labels, draw.integers(0, most + 1), replace=False)) for _ in range(N_ITEMS)]
    return categories_of([*lists[:-1], [n_labels - 1]])


def random_events(seed, rows=9, longest=30):
    """Ragged events, rows without any among them, times that tie."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, longest, rows)
    lengths[[0, rows - 1]] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    time = np.concatenate([np.sort(draw.integers(0, 15, n)) + 1000 for n in lengths]).astype(np.int64)
    return Events(offsets, draw.integers(1, N_ITEMS + 1, offsets[-1]).astype(np.int32), time,
                  np.zeros((offsets[-1], 0), np.float32))


def walked(events, categories, most, items):
    """`[(category, newest time, items newest first), ...]` of each row, as the release walks."""
    rows = []
    for row in range(events.n_rows):
        found = {}
        for at in range(int(events.offsets[row + 1]) - 1, int(events.offsets[row]) - 1, -1):
            for category in categories.of(int(events.item[at])).tolist():
                found.setdefault(category, (int(events.timestamp[at]), []))[1].append(int(events.item[at]))
        kept = list(found.items())[:most] if most else list(found.items())
        rows.append([(category, time, held[:items] if items else held) for category, (time, held) in kept])
    return rows


def unpacked(made):
    """The same from arrays; what stands beyond must be 0."""
    rows = []
    for row, count in enumerate(made.tokens.tolist()):
        assert (made.items[row, count:] == 0).all() and (made.latest[row, count:] == 0).all()
        rows.append([])
        for place in range(count):
            held = made.items[row, place].tolist()
            full = [item for item in held if item]
            assert held[: len(full)] == full
            rows[-1].append((int(made.category[row, place]), int(made.latest[row, place]), full))
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("items", [0, 1, 3, 50])
@pytest.mark.parametrize("most", [1, 2, 5, 6])
def test_buckets_are_those_of_a_walk(most, items, seed):
    events, categories = random_events(seed), random_categories(seed)
    made = fill(events, categories, most, items, most)
    assert unpacked(made) == walked(events, categories, most, items)
    assert made.items.shape[1] == most and made.tokens.max() <= most


def test_a_sort_by_columns_gives_the_same(monkeypatch):
    """What runs where rows, categories and places do not fit into one number."""
    events, categories = random_events(1), random_categories(1)
    one = unpacked(fill(events, categories, 4, 3, 4))
    monkeypatch.setattr(buckets, "BITS", 0)
    assert unpacked(fill(events, categories, 4, 3, 4)) == one


@pytest.mark.parametrize("most", [1, 3, 6])
def test_a_stream_of_events_is_at_every_moment_what_all_of_them_make(most):
    categories, draw = random_categories(2), np.random.default_rng(2)
    stream, seen, times = BucketStream(categories, most, 2), [], []
    assert stream.filled().tokens.tolist() == [0]
    for step in range(40):
        seen.append(int(draw.integers(1, N_ITEMS + 1)))
        times.append(1000 + step // 3)
        stream.update(seen[-1], times[-1])
        events = Events(np.array([0, len(seen)]), np.array(seen, np.int32), np.array(times), np.zeros((len(seen), 0)))
        assert unpacked(stream.filled()) == unpacked(fill(events, categories, most, 2, most))


def test_a_stream_holds_no_more_however_long_it_runs():
    categories = random_categories(3)
    stream = BucketStream(categories, 4, 5)
    for step in range(3000):
        stream.update(1 + step % N_ITEMS, step)
    assert sum(len(queue) for queue in stream._queues.values()) <= 5 * len(categories.labels)


def test_limits_above_all_there_is_change_nothing():
    events, categories = random_events(4), random_categories(4)
    whole = unpacked(fill(events, categories, 6, 0, 6))
    for most, items in ((6, 29), (7, 100), (60, 1000)):
        assert unpacked(fill(events, categories, most, items, most)) == whole


def test_only_the_newest_items_of_the_newest_categories_count():
    """Every item outside is exchanged for one of the same categories: no array moves."""
    lists = [[n % 5] for n in range(N_ITEMS)]
    categories, events = categories_of(lists), random_events(5, longest=40)
    made = fill(events, categories, 2, 3, 2)
    changed, moved = events.item.copy(), 0
    for row in range(events.n_rows):
        counts = {}
        for at in range(int(events.offsets[row + 1]) - 1, int(events.offsets[row]) - 1, -1):
            category = lists[events.item[at] - 1][0]
            counts[category] = counts.get(category, 0) + 1
            if list(counts).index(category) >= 2 or counts[category] > 3:
                changed[at] = (events.item[at] + 5 - 1) % N_ITEMS + 1
                moved += 1
    assert moved > 50
    other = fill(Events(events.offsets, changed, events.timestamp, events.actions), categories, 2, 3, 2)
    assert unpacked(other) == unpacked(made)


def test_an_item_without_category_opens_no_bucket_and_one_of_several_stands_in_each():
    categories = categories_of([[], [0, 2], [1]])
    events = Events(np.array([0, 1, 4]), np.array([1, 3, 1, 2], np.int32), np.array([5, 6, 7, 8]), np.zeros((4, 0)))
    made = fill(events, categories, 3, 2, 3)
    assert unpacked(made) == [[], [(0, 8, [2]), (2, 8, [2]), (1, 6, [3])]]


def test_rows_may_have_limits_of_their_own():
    events, categories = random_events(6), random_categories(6)
    most = np.arange(events.n_rows) % 3
    rows = walked(events, categories, 6, 2)
    assert unpacked(fill(events, categories, most, 2, 6)) == [row[:n] for row, n in zip(rows, most, strict=True)]


def test_any_items_are_some_of_the_bucket_in_order_of_time():
    events, categories = random_events(7, longest=40), random_categories(7)
    lots = np.random.default_rng(0).random(500)
    whole, made = (unpacked(fill(events, categories, 4, items, 4, each)) for items, each in ((0, None), (3, lots)))
    newest = unpacked(fill(events, categories, 4, 3, 4))
    others = unpacked(fill(events, categories, 4, 3, 4, lots[::-1]))
    differs = 0
    for row, some, first in zip(whole, made, newest, strict=True):
        for (category, time, held), (same, when, picked), (*_, fresh) in zip(row, some, first, strict=True):
            assert (category, time) == (same, when) and len(picked) == min(3, len(held))
            rest = iter(held)
            assert all(item in rest for item in picked)  # a subsequence
            differs += picked != fresh
    assert differs > 5 and made != others


def test_no_rows_and_no_events_are_no_buckets():
    categories = random_categories(8)
    for offsets in ([0], [0, 0, 0]):
        events = Events(np.array(offsets), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 0)))
        made = fill(events, categories, 4, 2, 4)
        assert made.tokens.tolist() == [0] * (len(offsets) - 1) and made.items.shape == (len(offsets) - 1, 4, 0)
