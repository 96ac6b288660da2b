"""The nearest point of a hull, held against a grid, a library and a slow descent; alpha against its closed form."""

import numpy as np
import pytest
import torch
from benchbase_autocdsr.solver import (
    frank_wolfe,
    literal_weights,
    nearest_on_segment,
    nearest_point,
    preference_weight,
)

DRAW = np.random.default_rng(0)


def gram_of(vectors):
    return vectors @ vectors.T


@pytest.mark.parametrize("case", range(30))
def test_two_vectors_against_a_grid_and_the_library(case):
    pytest.importorskip("torchjd")
    from torchjd.aggregation import MGDAWeighting

    vectors = np.random.default_rng(case).normal(size=(2, 7)) * [[1.0], [10.0 ** (case % 5 - 2)]]
    gram = gram_of(vectors)
    share = nearest_on_segment(gram[0, 0], gram[0, 1], gram[1, 1])
    nearest = np.array([share, 1 - share]) @ vectors
    grid = np.linspace(0, 1, 101)[:, None]
    assert (nearest @ nearest <= ((grid * vectors[0] + (1 - grid) * vectors[1]) ** 2).sum(1) + 1e-12).all()
    assert (vectors @ nearest >= nearest @ nearest - 1e-9).all(), "it descends on both"
    found = MGDAWeighting(epsilon=1e-10, max_iters=20_000)(torch.from_numpy(gram)).numpy()
    assert found @ gram @ found == pytest.approx(nearest @ nearest, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("case", range(30))
def test_normalised_vectors_weigh_the_same_unless_they_cancel(case):
    vectors = np.random.default_rng(case).normal(size=(2, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gram = gram_of(vectors)
    assert nearest_on_segment(gram[0, 0], gram[0, 1], gram[1, 1]) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("case", range(10))
def test_many_vectors_of_a_plane_against_a_slow_descent(n, case):
    vectors = np.random.default_rng([n, case]).normal((case % 3, 0), size=(n, 2))
    weights = nearest_point(gram_of(vectors))
    assert (weights >= -1e-12).all() and weights.sum() == pytest.approx(1)
    slow = np.full(n, 1 / n)
    for _ in range(20_000):  # projected by exponents: another method altogether
        slow = slow * np.exp(-0.05 * (vectors @ (slow @ vectors)))
        slow /= slow.sum()
    best = float(weights @ gram_of(vectors) @ weights)
    assert best <= slow @ gram_of(vectors) @ slow + 1e-9
    assert best == pytest.approx(slow @ gram_of(vectors) @ slow, abs=2e-3)
    found = frank_wolfe(gram_of(vectors), 2_000)
    assert found.sum() == pytest.approx(1) and found @ gram_of(vectors) @ found == pytest.approx(best, abs=1e-2)


@pytest.mark.parametrize(("cosine", "alpha"), [
    (-1, 1), (-0.5, 0.8), (0, 0.5), (0.25, 0.2857142857), (0.5, 0), (0.75, -0.4)])
@pytest.mark.parametrize("iterations", [None, 3])
def test_alpha_where_recommendation_is_the_larger_loss(cosine, alpha, iterations):
    assert preference_weight(cosine, 7.0, 0.3, iterations) == pytest.approx(alpha, abs=1e-7)
    assert preference_weight(cosine, 7.0, 0.3, iterations) == pytest.approx((1 - 2 * cosine) / (2 - cosine), abs=1e-7)


@pytest.mark.parametrize(("ratio", "cosine", "alpha"), [
    (0.7, 0, 0.5469), (0.7, 0.5, 0.0646), (0.7, 0.9, -0.4142), (0.4, -0.9, 1.0), (0.4, 0.3, 1.0), (0.4, 0.9, 1.0)])
def test_alpha_elsewhere(ratio, cosine, alpha):
    assert preference_weight(cosine, ratio, 1.0) == pytest.approx(alpha, abs=1e-4)


def test_the_equation_as_written_is_degenerate_and_strictly_read_it_raises_attention():
    gram = np.array([[1.0, 0.2], [0.2, 1.0]])
    assert (literal_weights(gram, 7.0, 0.3, 5, strict=False) == 0).all()
    angle = np.pi / 10
    assert literal_weights(gram, 7.0, 0.3, 5, strict=True) == pytest.approx([1 - np.cos(angle), -np.sin(angle)])
    assert literal_weights(gram, 0.95, 0.31, 5, strict=True).tolist() == [1.0, 0.0]  # in the region: nothing is unmet


def test_equal_vectors_have_equal_weights():
    assert nearest_on_segment(2.0, 2.0, 2.0) == 0.5
