"""Found graphs against true ones: by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.metrics import (
    density,
    edge_average_precision,
    edge_precision_recall,
    skeleton,
    structural_hamming,
)

Edges = list[tuple[int, int]]


def graph(edges: Edges, n: int = 3) -> np.ndarray:
    made = np.zeros((n, n), bool)
    for edge in edges:
        made[edge] = True
    return made


@pytest.mark.parametrize(("found", "truth", "distance"), [
    ([(0, 1)], [(0, 1)], 0), ([], [(0, 1)], 1), ([(0, 1)], [], 1), ([(1, 0)], [(0, 1)], 1),
    ([(0, 1), (1, 0)], [(0, 1)], 1), ([(0, 1), (1, 2)], [(1, 0), (0, 2)], 3), ([(0, 0)], [], 0),
])
def test_structural_hamming_distance(found: Edges, truth: Edges, distance: int) -> None:
    assert structural_hamming(graph(found), graph(truth)) == distance


@pytest.mark.parametrize(("found", "truth", "precision", "recall"), [
    ([(0, 1)], [(0, 1)], 1, 1), ([(1, 0)], [(0, 1)], 0, 0), ([(0, 1), (0, 2)], [(0, 1)], 0.5, 1),
    ([(0, 1)], [(0, 1), (1, 2), (0, 2), (2, 0)], 1, 0.25), ([], [(0, 1)], None, 0), ([(0, 1)], [], 0, None),
    ([(0, 1), (1, 1)], [(0, 1)], 1, 1),
])
def test_precision_and_recall_of_edges(
    found: Edges, truth: Edges, precision: float | None, recall: float | None
) -> None:
    answer = edge_precision_recall(graph(found), graph(truth))
    assert [None if np.isnan(value) else value for value in answer] == [precision, recall]


def test_a_skeleton_has_no_direction() -> None:
    assert np.array_equal(skeleton(graph([(0, 1), (2, 1)])), graph([(0, 1), (1, 0), (1, 2), (2, 1)]))
    assert np.array_equal(skeleton(np.array([[0, 0.5], [0.2, 0]])), [[0, 0.5], [0.5, 0]])
    assert density(graph([(0, 1), (2, 1), (1, 1)])) == 2 / 6
    assert np.isnan(density(graph([], 1)))


@settings(deadline=None)  # the first one imports the other library
@given(st.integers(2, 8), st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_average_precision_is_that_of_scikit_learn(n: int, seed: int, levels: int) -> None:
    """Few levels, so that ties abound."""
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(seed)
    truth, strength = draw.random((n, n)) < 0.4, draw.integers(0, levels, (n, n)) / 2
    answer, off = edge_average_precision(strength, truth), ~np.eye(n, dtype=bool)
    if truth[off].any():
        assert answer == pytest.approx(sklearn.average_precision_score(truth[off], strength[off]), abs=1e-12)
    else:
        assert np.isnan(answer)


def test_average_precision_ends_at_one_and_by_chance_is_the_density() -> None:
    truth = graph([(0, 1), (1, 2), (0, 3)], 4)
    assert edge_average_precision(truth * 1.0, truth) == 1
    assert edge_average_precision(np.zeros((4, 4)), truth) == density(truth) == 0.25
