"""Slices are the metric itself, restricted to a group of events."""

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.metrics import Slice, slice_means, user_mean


def test_one_group_of_all_events_has_the_metric_itself():
    rng = np.random.default_rng(0)
    user, value = rng.integers(0, 9, 50), rng.random(50)
    only = slice_means(np.zeros(50, int), user, value)[0]
    assert only == Slice(float(user_mean(user, value)[1].mean()), len(set(user)), 50)
    assert only.mean != pytest.approx(value.mean())  # users count alike, however many events they have


def test_groups_are_apart_and_ascending():
    got = slice_means(["b", "a", "a", "a"], [1, 1, 1, 2], [1.0, 0.0, 1.0, 1.0])
    assert list(got.items()) == [("a", Slice(0.75, 2, 3)), ("b", Slice(1.0, 1, 1))]


def test_a_missing_label_is_explained():
    with pytest.raises(BenchbaseError, match=r"metrics\.slice_means: the shapes are label \(1,\), user \(2,\)"):
        slice_means([0], [1, 2], [0.0, 1.0])
