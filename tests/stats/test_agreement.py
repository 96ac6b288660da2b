"""Spearman's correlation by hand."""

import pytest

from benchbase.stats import rank_correlation


def test_it_is_that_of_the_ranks() -> None:
    assert rank_correlation([1, 2, 3], [1, 4, 9]) == 1
    assert rank_correlation([1, 2, 3], [3, 1, 0]) == -1
    assert rank_correlation([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(0.6)  # 1 - 6 * 4 / (4 * 15)


def test_what_is_level_goes_along_with_nothing() -> None:
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None and rank_correlation([1, 2, 3], [2, 2, 2]) is None
