"""Late features: counts of what happened strictly before, held against a look at every pair of events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.data import counts_before
from benchbase.errors import DataError

events = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 6), st.booleans()), min_size=1)


@settings(deadline=None)
@given(events)
def test_each_count_is_that_of_all_earlier_events(log: list[tuple[int, str, int, bool]]) -> None:
    user, item, time, liked = (np.array(column) for column in zip(*log, strict=True))
    made = counts_before(user, item.astype(object), time * 1000, {"like": liked})
    assert list(made) == ["user_events", "user_like", "item_events", "item_like"]
    for name, ids in (("user", user), ("item", item)):
        before = (ids[:, None] == ids) & (time < time[:, None])
        np.testing.assert_allclose(np.expm1(made[f"{name}_events"]), before.sum(1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.expm1(made[f"{name}_like"]), (before & liked).sum(1), rtol=1e-5, atol=1e-6)
        assert made[f"{name}_like"].dtype == np.float32


@settings(deadline=None)
@given(events)
def test_the_order_of_lines_tells_nothing(log: list[tuple[int, str, int, bool]]) -> None:
    turn = np.random.default_rng(len(log)).permutation(len(log))
    user, item, time, liked = (np.array(column) for column in zip(*log, strict=True))
    first = counts_before(user, item.astype(object), time, {"like": liked})
    again = counts_before(user[turn], item[turn].astype(object), time[turn], {"like": liked[turn]})
    for name, column in first.items():
        np.testing.assert_array_equal(again[name], column[turn])


def test_ids_that_are_missing() -> None:
    with pytest.raises(DataError, match=r"counts_before: item ids are of type float64"):
        counts_before(np.array([1, 2]), np.array([1.0, np.nan]), np.array([0, 1]), {})
