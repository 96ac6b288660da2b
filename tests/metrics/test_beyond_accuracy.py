"""Laws of the measures beyond accuracy, against loops and by hand."""

from itertools import combinations

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.metrics import Sets, beyond, coverage, intra_list_diversity, mean_count, novelty, popularity_lift


def test_coverage_counts_distinct_items_within_the_cutoff():
    lists = [[1, 2, 5], [2, 1, 0]]
    assert coverage(lists, 8, 2) == 2 / 8
    assert coverage(lists, 8, 3) == 3 / 8


def test_novelty_is_the_bits_of_the_share():
    got = novelty([[1, 2], [2, 3], [3, 0], [0, 0]], [4, 2, 2], 2)
    np.testing.assert_allclose(got, [1.5, 2, 2, np.nan])


def test_an_item_never_seen_counts_as_seen_once():
    assert novelty([[2], [3]], [7, 0, 1], 1).tolist() == [3, 3]


def test_lists_like_the_histories_have_no_lift():
    counts = np.array([9, 3, 1])
    lists = np.array([[1, 2], [3, 2]])
    assert popularity_lift(lists, counts, mean_count(lists, counts, 2), 2) == 0
    assert popularity_lift(lists, counts, mean_count(lists, counts, 2) / 2, 2) == 1
    assert np.isnan(popularity_lift([[0]], counts, [1.0], 1))


def test_a_user_of_many_lists_counts_once():
    lists, counts, history = [[1], [1], [2]], [6, 2], [3.0, 1.0, 1.0]
    assert popularity_lift(lists, counts, history, 1, [7, 7, 5]) == 4 / 1.5 - 1


def test_an_empty_list_does_not_enter_the_lift():
    assert popularity_lift([[1], [0]], [6, 2], [3.0, 100.0], 1) == 1


def loop_diversity(row, features, distance):
    pairs = list(combinations([features[i - 1] for i in row if i], 2))
    return np.mean([distance(a, b) for a, b in pairs]) if pairs else np.nan


def cosine(a, b):
    return 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def jaccard(a, b):
    return 1 - (a & b).sum() / (a | b).sum() if (a | b).any() else 0.0


@pytest.mark.parametrize("kind", ["vectors", "sets"])
def test_diversity_equals_a_loop_over_pairs(kind, monkeypatch):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 6)) if kind == "vectors" else rng.random((20, 6)) < 0.3
    lists = np.array([rng.permutation(20)[:5] + 1 for _ in range(7)])
    lists[2, 2:] = 0  # a short list
    lists[3, 1:] = 0  # one item has no pairs
    lists[4] = 0
    expected = [loop_diversity(row, features, cosine if kind == "vectors" else jaccard) for row in lists]
    np.testing.assert_allclose(intra_list_diversity(lists, features, 5), expected, atol=1e-12)
    monkeypatch.setattr(beyond, "BUDGET", 60)
    np.testing.assert_allclose(intra_list_diversity(lists, features, 5), expected, atol=1e-12)


@pytest.mark.parametrize("budget", [1, 7, 1 << 22])
def test_ragged_sets_are_as_diverse_as_their_flags(budget, monkeypatch):
    rng = np.random.default_rng(1)
    flags = rng.random((20, 6)) < 0.3
    flags[[3, 7]] = False
    sets = Sets(np.concatenate(([0], np.cumsum(flags.sum(1)))), np.nonzero(flags)[1])
    lists = np.array([rng.permutation(20)[:5] + 1 for _ in range(40)])
    lists[2, 2:], lists[3, 1:], lists[4] = 0, 0, 0
    lists[5] = [4, 8, 0, 1, 2]  # two empty sets, and a gap
    monkeypatch.setattr(beyond, "BUDGET", budget)
    np.testing.assert_allclose(intra_list_diversity(lists, sets, 5), intra_list_diversity(lists, flags, 5), atol=1e-12)
    nothing = Sets(np.zeros(21, np.int64), np.zeros(0, np.int64))
    assert intra_list_diversity([[1, 2]], nothing, 2).tolist() == [0]
    assert intra_list_diversity(np.zeros((0, 2), int), sets, 2).shape == (0,)


def test_edges_of_the_distances():
    assert intra_list_diversity([[1, 2]], np.zeros((2, 3), bool), 2).tolist() == [0]
    assert intra_list_diversity([[1, 2]], np.array([[1.0, 0], [0, 0]]), 2).tolist() == [1]
    assert intra_list_diversity(np.zeros((0, 2), int), np.ones((2, 3)), 2).shape == (0,)


@pytest.mark.parametrize("k", [0, 3])
def test_a_cutoff_the_lists_do_not_hold_is_explained(k):
    with pytest.raises(BenchbaseError, match=rf"metrics\.coverage: lists of shape \(1, 2\) hold no top {k}\. Expected"):
        coverage([[1, 2]], 4, k)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (1, 5)])
def test_an_item_outside_the_catalogue_is_explained(low, high):
    message = rf"metrics\.novelty: items from {low} to {high}, but the catalogue has 4\. Expected ids from 1"
    with pytest.raises(BenchbaseError, match=message):
        novelty([[low, high]], [1, 1, 1, 1], 1)


def test_one_history_per_list():
    message = r"metrics\.popularity_lift: the shapes are lists \(1,\), history \(2,\), user \(1,\)"
    with pytest.raises(BenchbaseError, match=message):
        popularity_lift([[1]], [1, 1], [1.0, 1.0], 1)
