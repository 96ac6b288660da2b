"""Runs are averaged over seeds within users and paired by user, whatever order they come in."""

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.stats import stack, user_differences


def test_seeds_are_averaged_within_users_before_pairing():
    first = {1: ([3, 5], [0.0, 1.0]), 2: ([5, 3], [0.5, 0.5])}  # seed 2 lists its users in another order
    second = {7: ([5, 3], [0.25, 0.5])}
    users, d = user_differences(first, second)
    assert users.tolist() == [3, 5]
    assert d.tolist() == [-0.25, 0.5]


def test_arrays_pair_by_position():
    users, d = user_differences([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0]])
    assert users.tolist() == [0, 1] and d.tolist() == [1.0, 2.0]


def test_stack_sorts_seeds_as_numbers_and_users():
    users, values = stack({10: ([2, 1], [0.2, 0.1]), 9: ([1, 2], [0.3, 0.4])})
    assert users.tolist() == [1, 2]
    assert values.tolist() == [[0.3, 0.4], [0.1, 0.2]]


def test_no_user_is_dropped_in_silence():
    message = (
        r"stats\.user_differences: the systems have 2 and 3 users, 3 of them in one only\. Expected the same users"
    )
    with pytest.raises(BenchbaseError, match=message):
        user_differences({1: ([1, 2], [0.0, 0.0])}, {1: ([2, 3, 4], [0.0, 0.0, 0.0])})
    with pytest.raises(BenchbaseError, match=r"the first system: seeds 1 and 2 have 1 and 1 users, 2 of them in one"):
        user_differences({1: ([1], [0.0]), 2: ([2], [0.0])}, np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, r"stats: no runs\. Expected at least one seed\."),
        (np.zeros(3), r"stats: values of shape \(3,\)\. Expected \(seeds, users\) with at least one of both\."),
        (np.zeros((0, 3)), r"stats: values of shape \(0, 3\)\."),
        ({1: ([], [])}, r"stats: values of shape \(1, 0\)\."),
        ([[0.1, np.nan]], r"stats: a value is nan or infinite\. Expected a finite one per seed and user\."),
        ({4: ([1, 2], [0.1])}, r"stats: seed 4 has users \(2,\) and values \(1,\)\. Expected one value per user\."),
        ({4: ([1, 1], [0.1, 0.2])}, r"stats: seed 4 has a user twice\. .*Nearest: benchbase\.metrics\.user_mean\."),
    ],
)
def test_runs_that_do_not_stack_are_explained(runs, message):
    with pytest.raises(BenchbaseError, match=message):
        stack(runs)
