"""h(W): its values in closed form, its gradient, and that nothing makes it overflow."""

import math

import pytest
import torch
from benchbase_causalrec import acyclicity as module
from benchbase_causalrec.acyclicity import acyclicity, exponential, norms, penalties
from benchbase_causalrec.relation import covariance, standardised
from hypothesis import given, settings
from hypothesis import strategies as st

DOUBLE = torch.float64


def draw(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_no_edge_and_a_single_edge_and_any_graph_without_a_cycle_give_0(dtype, size):
    nothing = torch.zeros(3, size, size, dtype=dtype)
    assert acyclicity(nothing).tolist() == [0, 0, 0]
    single = nothing.clone()
    single[:, 0, -1] = 0 if size == 1 else 1.7
    assert acyclicity(single).abs().max() < 1e-6
    order = torch.randperm(size, generator=torch.Generator().manual_seed(1))
    graph = draw(3, size, size, dtype=dtype).triu(1)[:, order][:, :, order].requires_grad_()
    h = acyclicity(graph)
    assert h.abs().max() <= torch.finfo(dtype).eps * 100 * size
    slope, = torch.autograd.grad(h.sum(), graph)
    assert slope.abs().max() <= torch.finfo(dtype).eps * 100 * size * graph.abs().max()


@settings(deadline=None, max_examples=50)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_cycle_of_two_has_the_closed_form(a, b):
    pair = torch.tensor([[[0.0, a], [b, 0.0]]], dtype=DOUBLE)
    expected = 2 * math.cosh(abs(a * b)) - 2  # W o W has the eigenvalues |a b| and -|a b|
    assert float(acyclicity(pair, bound=60.0)) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    # h is what is left of a trace of 2 + h, whose rounding grows with the norm: unlike edges are the hardest
    rounding = 16 * torch.finfo(torch.float32).eps * (2 + expected) * (1 + max(a * a, b * b))
    assert float(acyclicity(pair.float(), bound=60.0)) == pytest.approx(expected, rel=0, abs=rounding)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_gradient_is_that_of_finite_differences(size):
    for seed in range(3):
        w = (draw(2, size, size, seed=seed) / size**0.5).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: acyclicity(x, 60.0), w, eps=1e-6, rtol=1e-6, atol=1e-7)


def test_value_and_gradient_are_those_of_the_library(monkeypatch):
    w = (draw(6, 9, 9) * 0.6).requires_grad_()
    theirs = torch.linalg.matrix_exp(w * w).diagonal(dim1=1, dim2=2).sum(1) - 9
    cotangent = draw(6, seed=1)
    slope, = torch.autograd.grad(theirs, w, cotangent)
    for elements in (2**17, 200, 1):  # all at once, some, one by one
        monkeypatch.setattr(module, "CPU_ELEMENTS", elements)
        ours = acyclicity(w, 60.0)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(ours, w, cotangent)[0], slope, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("norm", [0.0, 1e-3, 0.05, 0.5, 0.8, 2.0, 20.0])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-6), (DOUBLE, 1e-13)])
def test_the_exponential_is_the_librarys(norm, dtype, close):
    matrix = draw(4, 12, 12).abs()
    matrix = matrix * (norm / norms(matrix))[:, None, None]
    theirs = torch.linalg.matrix_exp(matrix)
    assert ((exponential(matrix.to(dtype), norm) - theirs).abs() <= close * theirs.abs().amax()).all()


def test_another_order_of_the_nodes_and_nodes_without_edges_change_nothing():
    w = draw(3, 8, 8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    wide = torch.zeros(3, 13, 13, dtype=DOUBLE)
    wide[:, 2:10, 2:10] = w
    for other in (w[:, order][:, :, order], wide, w.transpose(1, 2)):
        torch.testing.assert_close(acyclicity(other, 60.0), acyclicity(w, 60.0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("size", [90, 200, 1_000])
def test_collinear_events_stay_finite_in_single_precision(size):
    w = (torch.ones(1, size, size) - torch.eye(size)).requires_grad_()
    h = acyclicity(w, bound=20.0)
    slope, = torch.autograd.grad(h.square().sum(), w)
    expected = math.exp(20) - 1 + (size - 1) * (math.exp(-20 / (size - 1)) - 1)  # eigenvalues: 20, others alike
    assert float(h.detach()) == pytest.approx(expected, rel=1e-3)
    assert torch.isfinite(slope).all() and (slope.triu(1) > 0).triu(1).sum() == size * (size - 1) // 2


def test_above_the_bound_h_is_that_of_the_scaled_matrix_and_its_sign_stays():
    w = 10 * draw(2, 5, 5)
    squares = w * w
    scaled = squares * (3.0 / norms(squares))[:, None, None]
    expected = torch.linalg.matrix_exp(scaled).diagonal(dim1=1, dim2=2).sum(1) - 5
    torch.testing.assert_close(acyclicity(w, bound=3.0), expected, rtol=1e-12, atol=0)
    w = w.requires_grad_()
    slope, = torch.autograd.grad(acyclicity(w, bound=3.0).sum(), w)
    assert (slope * w >= 0).all()  # less of every edge is less of every cycle
    assert float(acyclicity(100 * torch.ones(1, 4, 4).triu(1), bound=3.0)) == pytest.approx(0, abs=1e-6)


def test_cycles_are_looked_for_within_blocks():
    w = draw(2, 7, 7)
    parts = acyclicity(w[:, :3, :3]) + acyclicity(w[:, 3:6, 3:6]) + acyclicity(w[:, 6:, 6:])
    torch.testing.assert_close(acyclicity(w, max_nodes=3), parts, rtol=1e-12, atol=0)
    across = torch.zeros(1, 7, 7, dtype=DOUBLE)
    across[0, 1, 5] = across[0, 5, 1] = 1.0
    assert float(acyclicity(across, max_nodes=3)) == 0 and float(acyclicity(across)) > 0.1


def test_the_sum_of_edges_comes_with_h_and_both_have_their_gradients(monkeypatch):
    w = draw(5, 6, 6).requires_grad_()
    cotangents = draw(5, seed=1), draw(5, seed=2)
    expected, = torch.autograd.grad(w.abs().sum((1, 2)), w, cotangents[1])
    expected = expected + torch.autograd.grad(acyclicity(w, 3.0, 4), w, cotangents[0])[0]
    for elements in (2**17, 100, 1):
        monkeypatch.setattr(module, "CPU_ELEMENTS", elements)
        h, edges = penalties(w, 3.0, 4)
        torch.testing.assert_close(edges, w.abs().sum((1, 2)))
        slope, = torch.autograd.grad([h, edges], w, cotangents)
        torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-12)


def test_autocast_leaves_it_alone():
    w = draw(2, 20, 20, dtype=torch.float32) * 0.3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = acyclicity(w)
    assert torch.equal(inside, acyclicity(w))


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 0), (1, 1, 1)])
def test_empty_and_tiny_batches(shape):
    assert acyclicity(torch.zeros(shape)).tolist() == [0.0] * shape[0]


def test_more_events_than_features_keep_a_covariance_from_h_0():
    """Welch's bound: the correlations of T events over D features have squares that sum to T (T - D + 1) / (D - 1) at
    least, so h, at least half the sum of their fourth powers, cannot vanish, however long it is minimised.
    """
    events, width = 12, 6
    h = torch.randn(1, events, width, generator=torch.Generator().manual_seed(0), dtype=DOUBLE).requires_grad_()
    optimizer = torch.optim.Adam([h], lr=0.02)
    for _ in range(400):
        relation = covariance(standardised(h, torch.ones(1, events, dtype=torch.bool)))
        optimizer.zero_grad()
        acyclicity(relation, 30.0).sum().backward()
        optimizer.step()
    relation = relation.detach()
    squares = float(relation.square().sum())
    least = events * (events - width + 1) / (width - 1)
    assert least * 0.999 < squares < least * 1.1  # the bound is nearly met, and not passed
    assert float(acyclicity(relation, 30.0)) > least**2 / (2 * events * (events - 1))
