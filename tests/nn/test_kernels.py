"""Attention block by block: values and gradients of the route that holds all weights, in tiles of any size."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchbase.nn import Boost, attend, tiles

B, H, S, DK, DV = 3, 2, 7, 4, 5
KEEP = [lambda w: w]
"""A change of the weights that changes nothing: it asks for the explicit route."""
SHAPES = [(1, 1, 1, S), (B, 1, 1, S), (1, 1, S, S), (1, H, S, S), (B, 1, S, S), (B, H, S, S), (1, 1, 1, 1)]


@pytest.fixture(params=[(64, 2**17), (3, 2**17), (3, 1), (2, 40)], ids=["one", "triangle", "rows", "ragged"])
def blocks(request, monkeypatch):
    """Sizes of blocks: everything at once, some queries, one row at a time, some of both."""
    monkeypatch.setattr(tiles, "QUERIES", request.param[0])
    monkeypatch.setattr(tiles, "CPU_SCORES", request.param[1])


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


KINDS = pytest.mark.parametrize("kind", [{}, {"normaliser": 7.0}], ids=["softmax", "pointwise"])


def random(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@KINDS
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_mask_bias_and_boost_in_every_size_of_blocks(blocks, shape, causal, kind):
    leaves, heads = inputs()
    mask = random(shape, 2) < 0.6
    bias = (random(shape, 3) - 0.5).requires_grad_()
    factor = (random(shape, 4) + 0.5).requires_grad_()
    boosts = [Boost(factor, renormalise=False)]
    compare([*leaves, bias], heads, causal=causal, bias=bias, **kind)
    compare([*leaves, bias], heads, causal=causal, mask=mask, bias=bias, scale=0.3, **kind)
    compare([*leaves, factor], heads, causal=causal, boosts=boosts, scale=1.0, **kind)
    compare([*leaves, bias, factor], heads, causal=causal, mask=mask, bias=bias, boosts=boosts, **kind)
    compare([*leaves, factor], heads, causal=causal, mask=mask, bias=bias.detach(), boosts=boosts, **kind)
    compare([*leaves, bias], heads, causal=causal, bias=bias, boosts=[Boost(factor.detach(), False)], **kind)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_pointwise_attention_without_a_bias(blocks, shape, causal):
    leaves, heads = inputs()
    compare(leaves, heads, causal=causal, normaliser=7.0)
    compare(leaves, heads, causal=causal, mask=random(shape, 2) < 0.6, normaliser=7.0, scale=1.0)


@pytest.mark.parametrize("causal", [True, False])
def test_renormalised_boosts_and_loose_ones_together(blocks, causal):
    leaves, heads = inputs()
    kept, loose = ((random((B, 1, S, S), seed) + 0.5).requires_grad_() for seed in (3, 4))
    boosts = [Boost(kept), Boost(loose, renormalise=False), Boost(loose.detach(), renormalise=False)]
    compare([*leaves, kept, loose], heads, causal=causal, boosts=boosts)


@pytest.mark.parametrize("causal", [True, False])
def test_the_mass_is_of_the_final_weights(blocks, causal):
    _, heads = inputs()
    boosts = [Boost((random((B, 1, S, S), 4) + 0.5).requires_grad_(), renormalise=False)]
    mask = random((B, 1, S, S), 2) < 0.4  # some rows see nothing
    groups = random((B, S, 3), 5)
    ours, theirs = (attend(*heads, causal=causal, mask=mask, boosts=boosts, groups=groups, **extra)
                    for extra in ({}, {"weights": KEEP}))
    assert (ours.route, theirs.route) == ("blockwise", "explicit")
    torch.testing.assert_close(ours.mass, theirs.mass, atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.out, theirs.out, atol=1e-12, rtol=0)


@KINDS
def test_what_is_masked_adds_nothing_even_where_it_is_not_a_number(blocks, kind):
    leaves, heads = inputs()
    bias = torch.zeros(1, 1, S, S, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 1, S, S, dtype=torch.bool)
    mask[..., 2] = False
    wild = bias.detach().clone()
    wild[..., 2] = float("inf")
    out = attend(*heads, mask=mask, bias=wild.requires_grad_(), **kind).out
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), leaves))
    torch.testing.assert_close(out, attend(*heads, mask=mask, bias=bias, **kind).out, atol=0, rtol=0)


@KINDS
def test_changed_weights_and_dropout_need_all_weights(kind):
    _, heads = inputs()
    for extra in ({"weights": KEEP}, {"drop": lambda w: w}):
        attended = attend(*heads, causal=True, **kind, **extra)
        assert attended.route == "explicit"
        torch.testing.assert_close(attended.out, attend(*heads, causal=True, **kind).out, atol=1e-12, rtol=0)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


@KINDS
def test_no_tensor_of_all_weights_exists_in_either_direction(monkeypatch, kind):
    monkeypatch.setattr(tiles, "CPU_SCORES", 1)
    size = 150
    leaves, heads = inputs(size)
    boosts = [Boost(torch.ones(1, 1, size, size, dtype=torch.float64), renormalise=False)]
    with Largest() as seen:
        out = attend(*heads, causal=True, boosts=boosts, **kind).out
        torch.autograd.grad(out.sum(), leaves)
    assert seen.elements <= max(B * H * size * DV, H * tiles.QUERIES * size)
    with Largest() as seen:
        attend(*heads, causal=True, boosts=boosts, weights=KEEP, **kind)
    assert seen.elements == B * H * size * size


@KINDS
def test_narrow_numbers_under_autocast_are_near_the_wide_ones(kind):
    leaves = [torch.randn(B, H, 20, 8, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(3)]
    arguments = kind | {"causal": True, "bias": torch.ones(1, 1, 20, 20), "boosts": [
        Boost(1 + random((B, 1, 20, 20), 3).float(), renormalise=False)]}
    wide = attend(*leaves, **arguments).out
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = attend(*(x.bfloat16() for x in leaves), **arguments).out
        gradients = torch.autograd.grad(narrow.float().sum(), leaves)
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), wide, atol=0.05, rtol=0.05)
    for one, other in zip(gradients, torch.autograd.grad(wide.sum(), leaves), strict=True):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.1)
