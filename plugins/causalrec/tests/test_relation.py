"""The relation: covariances as they should be, coefficients in closed form, edges in the right direction."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchbase_causalrec.relation import bilinear, coefficients, covariance, factor_of, inverse, standardised, strength

DOUBLE = torch.float64


def hiddens(rows=3, events=7, width=16, seed=0, dtype=DOUBLE):
    return torch.randn(rows, events, width, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3 + 1


def valid(rows=3, events=7):
    return torch.arange(events) < torch.tensor([events, events - 2, 1])[:rows, None]


def test_covariances_are_numpys_correlations():
    h = hiddens()
    made = covariance(standardised(h, torch.ones(3, 7, dtype=torch.bool)))
    for row in range(3):
        expected = np.corrcoef(h[row].numpy()) - np.eye(7)
        np.testing.assert_allclose(made[row].numpy(), expected, atol=1e-4)  # the norm adds 1e-5 to each variance


def test_the_full_covariance_is_symmetric_positive_of_low_rank_and_one_on_its_diagonal():
    z = standardised(hiddens(events=40), torch.ones(3, 40, dtype=torch.bool))
    full = z @ z.transpose(1, 2) / 16
    torch.testing.assert_close(covariance(z) + torch.diag_embed(full.diagonal(dim1=1, dim2=2)), full)
    values = torch.linalg.eigvalsh(full)
    assert (values > -1e-10).all() and ((values > 1e-10).sum(dim=1) <= 15).all()
    torch.testing.assert_close(full.diagonal(dim1=1, dim2=2), torch.ones(3, 40, dtype=DOUBLE), atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [covariance, lambda z: bilinear(z, torch.eye(16, dtype=DOUBLE)),
                                  lambda z: coefficients(z, 1e-3, 100)], ids=["cov", "bilinear", "sem"])
def test_padding_has_no_edge_and_changes_none(make):
    h = hiddens()
    made = make(standardised(h, valid()))
    assert (made * ~(valid()[:, :, None] & valid()[:, None, :]) == 0).all()
    assert (made.diagonal(dim1=1, dim2=2) == 0).all()
    other = torch.where(valid()[..., None], h, 1e3 * hiddens(seed=5))
    torch.testing.assert_close(make(standardised(other, valid())), made)
    torch.testing.assert_close(make(standardised(h[1:2, :5], valid()[1:2, :5])), made[1:2, :5, :5])


@pytest.mark.parametrize("padding", [1, 30])
def test_padding_moves_coefficients_in_single_precision_by_rounding_alone(padding):
    """The matrix that is solved grows with the padding, and with it the blocks that it is cut into."""
    h, there = hiddens(events=40, width=64).float(), torch.ones(3, 40, dtype=torch.bool)
    alone = coefficients(standardised(h, there), 1e-3, 1_000)
    padded = F.pad(h, (0, 0, 0, padding), value=3.0)
    made = coefficients(standardised(padded, F.pad(there, (0, padding))), 1e-3, 1_000)
    assert (made[:, 40:] == 0).all() and (made[:, :, 40:] == 0).all()
    torch.testing.assert_close(made[:, :40, :40], alone, atol=2e-5, rtol=0)


def test_a_bilinear_form_with_the_identity_is_the_covariance_and_with_another_matrix_has_a_direction():
    z = standardised(hiddens(), valid())
    torch.testing.assert_close(bilinear(z, torch.eye(16, dtype=DOUBLE)), covariance(z))
    matrix = torch.randn(16, 16, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    made = bilinear(z, matrix)
    assert (made - made.transpose(1, 2)).abs().max() > 0.1
    expected = torch.einsum("e,ef,f->", z[0, 2], matrix, z[0, 5]) / 16  # what 2 does to 5
    torch.testing.assert_close(made[0, 5, 2], expected)


def test_coefficients_are_those_of_regressions_on_earlier_events():
    """Each event is regressed on all before it, with the ridge in every variance; the library solves it for us."""
    z, ridge = standardised(hiddens(events=6, width=40), torch.ones(3, 6, dtype=torch.bool)), 1e-3
    made = coefficients(z, ridge, 100)
    for row in range(3):
        s = (z[row] @ z[row].T / 40 + ridge * torch.eye(6, dtype=DOUBLE)).numpy()
        for event in range(1, 6):
            expected = np.linalg.solve(s[:event, :event], s[:event, event])
            np.testing.assert_allclose(made[row, event, :event].numpy(), expected, atol=1e-10)
    assert (made == made.tril(-1)).all()


@pytest.mark.parametrize("make", [covariance, lambda z: bilinear(z, torch.arange(256, dtype=DOUBLE).view(16, 16) / 99),
                                  lambda z: coefficients(z, 0.1, 100), lambda z: coefficients(z, 0.1, 3)],
                         ids=["cov", "bilinear", "sem", "sem by blocks"])
def test_gradients_are_those_of_finite_differences(make):
    z = standardised(hiddens(events=5), torch.ones(3, 5, dtype=torch.bool)).requires_grad_()
    assert torch.autograd.gradcheck(make, z)


@pytest.mark.parametrize("sign", ["abs", "relu", "square", "signed"])
def test_the_factor_is_one_plus_alpha_times_the_strength(sign):
    w = hiddens(rows=2, events=4, width=4).requires_grad_()
    plain = {"abs": w.abs(), "relu": w.clamp_min(0), "square": w**2, "signed": w}[sign]
    torch.testing.assert_close(factor_of(w, sign, 0.3), 1 + 0.3 * plain)
    assert torch.equal(strength(w, sign), plain)
    assert torch.autograd.gradcheck(lambda x: factor_of(x, sign, 0.3), w)


@pytest.mark.parametrize("events", [12, 70])  # and more than are solved at once
def test_gradients_of_coefficients_are_the_librarys(events):
    z = standardised(hiddens(events=events, width=40), torch.ones(3, events, dtype=torch.bool)).requires_grad_()
    lower = torch.linalg.cholesky(z @ z.transpose(1, 2) / 40 + 1e-2 * torch.eye(events, dtype=DOUBLE))
    theirs = -lower.diagonal(dim1=1, dim2=2).unsqueeze(-1) * torch.linalg.inv(lower)
    theirs = theirs.tril(-1)
    ours = coefficients(z, 1e-2, 100)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    cotangent = hiddens(events=events, width=events, seed=4)
    slopes = [torch.autograd.grad(made, z, cotangent)[0] for made in (ours, theirs)]
    torch.testing.assert_close(*slopes, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 16, 17, 33, 100])
def test_the_inverse_by_halves_is_the_librarys(size):
    lower = hiddens(rows=2, events=size, width=size).tril(-1) / size + torch.eye(size, dtype=DOUBLE) * 1.5
    torch.testing.assert_close(inverse(lower), torch.linalg.inv(lower), atol=1e-10, rtol=1e-10)


def test_a_planted_chain_is_found_with_its_direction():
    """x0 -> x1 -> x2, with many features: coefficients are the planted ones, and there is no edge x0 -> x2."""
    noise = hiddens(rows=1, events=3, width=20_000) * torch.tensor([1.0, 0.6, 0.6], dtype=DOUBLE)[:, None] / 3
    x0 = noise[:, 0]
    x1 = 0.8 * x0 + noise[:, 1]
    x2 = -0.8 * x1 + noise[:, 2]
    z = standardised(torch.stack([x0, x1, x2], dim=1), torch.ones(1, 3, dtype=torch.bool))
    made = coefficients(z, 1e-6, 100)[0]
    scale = torch.stack([x0, x1, x2])[:, 0].std(dim=1)
    assert made[1, 0] == pytest.approx(float(0.8 * scale[0] / scale[1]), abs=0.02)
    assert made[2, 1] == pytest.approx(float(-0.8 * scale[1] / scale[2]), abs=0.02)
    assert abs(float(made[2, 0])) < 0.02 and made.triu().abs().max() == 0


@pytest.mark.parametrize("events", [5, 9])
def test_coefficients_look_at_earlier_events_alone(events):
    h = hiddens(events=events)
    before = coefficients(standardised(h, torch.ones(3, events, dtype=torch.bool)), 1e-3, 4)
    changed = h.clone()
    changed[:, 3:] = hiddens(events=events, seed=9)[:, 3:]
    after = coefficients(standardised(changed, torch.ones(3, events, dtype=torch.bool)), 1e-3, 4)
    assert torch.equal(before[:, :3, :3], after[:, :3, :3])
    assert (before[:, 4:, :4] == 0).all()  # another block


@pytest.mark.parametrize("events", [200, 1_000])
def test_equal_events_stay_finite_in_single_precision(events):
    h = torch.randn(1, 1, 16).expand(1, events, 16).clone().requires_grad_()
    everywhere = torch.ones(1, events, dtype=torch.bool)
    for make in (covariance, lambda z: coefficients(z, 1e-3, 2_000)):
        made = make(standardised(h, everywhere))
        slope, = torch.autograd.grad(made.square().sum(), h)
        assert torch.isfinite(made).all() and torch.isfinite(slope).all()


def test_hiddens_that_are_no_numbers_give_a_relation_that_is_none():
    h = hiddens()
    h[1, 2] = float("nan")
    made = coefficients(standardised(h, torch.ones(3, 7, dtype=torch.bool)), 1e-3, 100)
    assert torch.isnan(made[1]).any() and torch.isfinite(made[[0, 2]]).all()


def test_half_precision_is_widened():
    assert covariance(standardised(hiddens().bfloat16(), valid())).dtype == torch.float32
