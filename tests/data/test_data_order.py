"""Order: grouping and sorting agree with a plain comparison sort on any input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchbase.data import order

N = st.integers(1, 60)
USERS = N.flatmap(lambda n: arrays(np.int32, n, elements=st.integers(0, 5)))


def as_sorted(user, *keys):
    """Row numbers by user, then the keys in turn, then row: the law that the fast route must obey."""
    return sorted(range(len(user)), key=lambda row: (user[row], *(key[row] for key in keys), row))


@pytest.fixture(autouse=True, params=[4, 1 << 17])
def chunk(request, monkeypatch):
    monkeypatch.setattr(order, "CHUNK", request.param)


@settings(deadline=None)
@given(USERS)
def test_group_is_a_stable_sort_by_code(user):
    offsets, rows = order.group(user, 6)
    assert rows.tolist() == as_sorted(user)
    assert np.diff(offsets).tolist() == np.bincount(user, minlength=6).tolist()


@pytest.mark.parametrize("span", [3, 2**62], ids=["packed keys", "keys too wide to pack"])
def test_sort_within_is_a_stable_sort_by_user_then_value(span):
    @given(USERS, st.randoms(use_true_random=False))
    def law(user, random):
        values = np.array([random.choice([0, 1, span]) for _ in user], np.int64)
        offsets, rows = order.group(user, 6)
        order.sort_within(offsets, values, rows)
        assert rows.tolist() == as_sorted(user, values)

    law()


@settings(deadline=None)
@given(USERS, st.randoms(use_true_random=False))
def test_ties_are_ordered_by_key_and_nothing_else_moves(user, random):
    time = np.array([random.randrange(3) for _ in user], np.int64)
    key = np.array([random.randrange(2**60) for _ in user], np.uint64)
    offsets, rows = order.group(user, 6)
    order.sort_within(offsets, time, rows)
    order.shuffle_ties(offsets, time, lambda of: key[of], rows)
    assert rows.tolist() == as_sorted(user, time, key)


@settings(deadline=None)
@given(USERS, st.randoms(use_true_random=False))
def test_without_times_the_key_orders_all_events_of_a_user(user, random):
    key = np.array([random.randrange(2**60) for _ in user], np.uint64)
    offsets, rows = order.group(user, 6)
    order.shuffle_ties(offsets, None, lambda of: key[of], rows)
    assert rows.tolist() == as_sorted(user, key)


@settings(deadline=None)
@given(USERS, st.randoms(use_true_random=False), st.sampled_from(["first", "last"]))
def test_repeated_marks_all_but_the_kept_event_of_a_pair(user, random, keep):
    user = np.sort(user)
    item = np.array([random.randrange(4) for _ in user], np.int32)
    offsets, _ = order.group(user, 6)
    pairs = list(zip(user.tolist(), item.tolist(), strict=True))
    others = (lambda row: pairs[:row]) if keep == "first" else (lambda row: pairs[row + 1 :])
    expected = [pair in others(row) for row, pair in enumerate(pairs)]
    assert order.repeated(offsets, item, keep).tolist() == expected


def test_tie_keys_follow_from_seed_and_original_ids_alone():
    user, item = np.array([0, 0, 1]), np.array([0, 1, 1])
    users, items = np.array(["a", "b"], object), np.array([10, 20])
    keys = order.TieKeys(user, users, item, items, 3)(np.arange(3))
    later = order.TieKeys(user + 1, np.array(["0", "a", "b"], object), item + 1, np.array([5, 10, 20]), 3)
    assert keys.tolist() == later(np.arange(3)).tolist()
    assert keys.tolist() != order.TieKeys(user, users, item, items, 4)(np.arange(3)).tolist()
    assert len(set(keys.tolist())) == 3
