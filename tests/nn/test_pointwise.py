"""Pointwise attention block by block: values and gradients of the route that holds all weights, in any blocks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchbase.nn import Boost, attend, pointwise

B, H, S, DK, DV = 3, 2, 7, 4, 5
KEEP = [lambda w: w]
"""A change of the weights that changes nothing: it asks for the explicit route."""
SHAPES = [(1, 1, 1, S), (B, 1, 1, S), (1, 1, S, S), (1, H, S, S), (B, 1, S, S), (B, H, S, S), (1, 1, 1, 1)]


@pytest.fixture(params=[(64, 2**17), (3, 2**17), (3, 1), (2, 40)], ids=["one", "triangle", "rows", "ragged"])
def blocks(request, monkeypatch):
    """Sizes of blocks: everything at once, some queries, one row at a time, some of both."""
    monkeypatch.setattr(pointwise, "QUERIES", request.param[0])
    monkeypatch.setattr(pointwise, "CPU_SCORES", request.param[1])


def inputs(size=S):
    draw = torch.Generator().manual_seed(0)
    shapes = (B, size, H, DK), (B, size, H, DK), (B, size, H, DV)
    made = [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]
    return made, [x.transpose(1, 2) for x in made]


def compare(leaves, heads, **arguments):
    """Both routes on the same inputs, values and gradients."""
    ours, theirs = attend(*heads, **arguments), attend(*heads, weights=KEEP, **arguments)
    assert (ours.route, theirs.route) == ("blockwise", "explicit")
    torch.testing.assert_close(ours.out, theirs.out, atol=1e-12, rtol=0)
    draw = torch.Generator().manual_seed(1)
    cotangent = torch.randn(ours.out.shape, generator=draw, dtype=ours.out.dtype)
    for one, other in zip(*(torch.autograd.grad(x.out, leaves, cotangent) for x in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_mask_and_bias_in_every_size_of_blocks(blocks, shape, causal):
    leaves, heads = inputs()
    draw = torch.Generator().manual_seed(2)
    mask = torch.rand(shape, generator=draw) < 0.6
    bias = torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()
    compare(leaves, heads, causal=causal, normaliser=7.0)
    compare(leaves, heads, causal=causal, mask=mask, normaliser=7.0, scale=1.0)
    compare([*leaves, bias], heads, causal=causal, bias=bias, normaliser=7.0)
    compare([*leaves, bias], heads, causal=causal, mask=mask, bias=bias, normaliser=0.5, scale=0.3)
    compare(leaves, heads, causal=causal, mask=mask, bias=bias.detach(), normaliser=7.0)


def test_what_is_masked_adds_nothing_even_where_it_is_not_a_number(blocks):
    leaves, heads = inputs()
    bias = torch.zeros(1, 1, S, S, dtype=torch.float64)
    mask = torch.ones(1, 1, S, S, dtype=torch.bool)
    mask[..., 2] = False
    bias[..., 2] = float("inf")
    out = attend(*heads, mask=mask, bias=bias, normaliser=7.0).out
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), leaves))
    torch.testing.assert_close(out, attend(*heads, mask=mask, normaliser=7.0).out, atol=0, rtol=0)


def test_boosts_and_dropout_need_all_weights():
    _, heads = inputs()
    boost = Boost(torch.ones(1, 1, S, S, dtype=torch.float64))
    for extra in ({"boosts": [boost]}, {"weights": KEEP}, {"drop": lambda w: w}):
        attended = attend(*heads, causal=True, normaliser=7.0, **extra)
        assert attended.route == "explicit"
        torch.testing.assert_close(attended.out, attend(*heads, causal=True, normaliser=7.0).out, atol=1e-12, rtol=0)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_no_tensor_of_all_weights_exists_in_either_direction(monkeypatch):
    monkeypatch.setattr(pointwise, "CPU_SCORES", 1)
    size = 150
    leaves, heads = inputs(size)
    with Largest() as seen:
        out = attend(*heads, causal=True, normaliser=7.0).out
        torch.autograd.grad(out.sum(), leaves)
    assert seen.elements <= max(B * H * size * DV, H * pointwise.QUERIES * size)
    with Largest() as seen:
        attend(*heads, causal=True, normaliser=7.0, weights=KEEP)
    assert seen.elements == B * H * size * size


def test_narrow_numbers_under_autocast_are_near_the_wide_ones():
    leaves = [torch.randn(B, H, 20, 8, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(3)]
    bias = torch.ones(1, 1, 20, 20)
    wide = attend(*leaves, causal=True, bias=bias, normaliser=20.0).out
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = attend(*(x.bfloat16() for x in leaves), causal=True, bias=bias, normaliser=20.0).out
        gradients = torch.autograd.grad(narrow.float().sum(), leaves)
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), wide, atol=0.05, rtol=0.05)
    for one, other in zip(gradients, torch.autograd.grad(wide.sum(), leaves), strict=True):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)
