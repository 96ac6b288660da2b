"""Gaps between groups: by hand, between their bounds, and what chance alone makes of them."""

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.metrics import exposure_gap, exposure_gap_by_chance, threshold_gap


def test_the_exposure_gap_by_hand():
    lists, group = [[1, 2], [1, 3], [2, 4]], [0, 0, 1]
    # shares of group 0: 1/2, 1/4, 1/4, 0; of group 1: 0, 1/2, 0, 1/2
    assert exposure_gap(lists, group, 4, 2) == pytest.approx((0.5 + 0.25 + 0.25 + 0.5) / 2)
    assert exposure_gap(lists, group, 4, 1) == 1
    assert exposure_gap([[1, 2], [2, 1]], [0, 1], 4, 2) == 0


def test_padding_is_shown_to_nobody():
    assert exposure_gap([[1, 0], [1, 2], [0, 0]], [0, 1, 2], 2, 2) == 0.5


def test_of_three_groups_the_two_farthest_apart():
    assert exposure_gap([[1], [1], [2]], [0, 1, 5], 3, 1) == 1
    assert threshold_gap([[0.0], [0.0], [1.0]], [0, 1, 2], 0.5) == 1


def test_nobodys_rows_and_single_groups():
    assert exposure_gap([[1], [2], [2]], [0, 1, -1], 2, 1) == 1
    assert np.isnan(exposure_gap([[1], [2]], [0, -1], 2, 1)) and np.isnan(exposure_gap([[0], [2]], [0, 1], 2, 1))
    assert np.isnan(threshold_gap([[1.0]], [0])) and np.isnan(threshold_gap([[1.0]], [-1]))
    assert np.isnan(exposure_gap(np.zeros((0, 1), int), np.zeros(0, int), 2, 1))


def test_chance_is_the_gap_of_shuffled_groups_and_vanishes_with_many_rows():
    random = np.random.default_rng(0)
    few, many = (random.integers(1, 6, (n, 2)) for n in (40, 20_000))
    groups = [np.arange(len(each)) % 2 for each in (few, many)]
    by_chance = [exposure_gap_by_chance(each, group, 5, 2) for each, group in zip((few, many), groups, strict=True)]
    assert by_chance[0] > 0.05 and by_chance[1] < 0.01
    assert exposure_gap(many, groups[1], 5, 2) == pytest.approx(by_chance[1], abs=0.01)
    skewed = np.where(groups[1][:, None] == 1, many, 1)
    assert exposure_gap(skewed, groups[1], 5, 2) == pytest.approx(0.8, abs=0.01)
    assert exposure_gap_by_chance(skewed, groups[1], 5, 2) < 0.02
    unknown = np.where(np.arange(40) < 38, -1, groups[0])
    assert exposure_gap_by_chance(few, unknown, 5, 2, draws=3) <= 1


def test_a_users_rows_count_once_and_go_together_by_chance():
    lists, group, user = [[1], [1], [2], [1]], [0, 0, 0, 1], [4, 4, 9, 2]
    assert exposure_gap(lists, group, 2, 1) == pytest.approx(1 / 3) and exposure_gap(lists, group, 2, 1, user) == 0.5
    random = np.random.default_rng(0)
    taste = random.integers(1, 6, (100, 2))
    rows, owner = np.repeat(taste, 50, axis=0), np.repeat(np.arange(100), 50)
    code = random.permutation(np.repeat([0, 1], 50))
    once = exposure_gap_by_chance(taste, code, 5, 2)
    assert exposure_gap_by_chance(rows, code[owner], 5, 2, owner) == pytest.approx(once)
    assert exposure_gap_by_chance(rows, code[owner], 5, 2) < once / 3  # as if all rows were of users of their own
    assert exposure_gap(rows, code[owner], 5, 2, owner) == pytest.approx(exposure_gap(taste, code, 5, 2))


def test_the_threshold_is_the_median_of_those_who_have_a_group():
    scores, group = np.array([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]), [0, 1, -1]
    assert threshold_gap(scores, group) == 1 and threshold_gap(scores, group, 0.0) == 0
    assert threshold_gap(scores, group, 3.5) == 0.5
    assert threshold_gap(scores + 5, group) == 1  # no score's level matters, only its order


def test_lists_that_hold_fewer_are_explained():
    with pytest.raises(BenchbaseError, match=r"metrics\.exposure_gap: lists of shape \(1, 2\) hold no top 3\."):
        exposure_gap([[1, 2]], [0], 4, 3)
