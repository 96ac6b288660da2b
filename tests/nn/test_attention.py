"""The kernel seam: every route gives the numbers, and the gradients, of a slow reference."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchbase.nn import Boost, attend, causal_mask

B, H, S, D, G = 2, 2, 5, 4, 3
KEEP = [lambda w: w]
"""A change of the final weights that changes nothing: it asks for the explicit route."""


def inputs(seed=0, size=S, width=D, value=D):
    generator = torch.Generator().manual_seed(seed)
    shapes = (B, H, size, width), (B, H, size, width), (B, H, size, value)
    return [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


def random_mask(seed=0, size=S, shape=None):
    """A mask in which every row sees itself."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape or (B, H, size, size), generator=generator) < 0.5
    return mask | torch.eye(size, dtype=torch.bool) if mask.shape[-2] == size else mask


def reference(q, k, v, mask=None, bias=None, factors=(), loose=(), normaliser=None, scale=None):
    """One query at a time, one key at a time; also the weights (B, H, S, S)."""
    size = q.shape[-2]
    weights = torch.zeros(*q.shape[:2], size, size, dtype=q.dtype)
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    full = [torch.as_tensor(x).expand(*q.shape[:2], size, size) for x in (
        torch.ones(1, 1, 1, 1, dtype=torch.bool) if mask is None else mask,
        torch.zeros(1, 1, 1, 1, dtype=q.dtype) if bias is None else bias,
    )]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(size):
                keys = [j for j in range(size) if full[0][b, h, i, j]]
                if not keys:
                    continue
                by = scale or q.shape[-1] ** -0.5
                score = torch.stack([(q[b, h, i] @ k[b, h, j]) * by + full[1][b, h, i, j] for j in keys])
                w = score.exp() if normaliser is None else score * torch.sigmoid(score) / normaliser
                for f in factors:
                    w = w * f.expand(*q.shape[:2], size, size)[b, h, i, keys]
                if normaliser is None:
                    w = w / w.sum()
                for f in loose:
                    w = w * f.expand(*q.shape[:2], size, size)[b, h, i, keys]
                weights[b, h, i, keys] = w.detach()
                out[b, h, i] = sum(w[n] * v[b, h, j] for n, j in enumerate(keys))
    return out, weights


def gradients(out, leaves):
    generator = torch.Generator().manual_seed(9)
    cotangent = torch.randn(out.shape, generator=generator, dtype=out.dtype)
    found = torch.autograd.grad((out * cotangent).sum(), leaves, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(found, leaves, strict=True)]


def same(a, b, leaves, atol=1e-10):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)
    for one, other in zip(gradients(a, leaves), gradients(b, leaves), strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=0)


@pytest.mark.parametrize("size", [1, 2, S])
@pytest.mark.parametrize("causal", [True, False])
def test_routes_agree_without_a_mask(causal, size):
    q, k, v = inputs(size=size)
    fused = attend(q, k, v, causal=causal)
    everything = torch.ones(1, 1, size, size, dtype=torch.bool)
    folded = attend(q, k, v, mask=causal_mask(size, "cpu") if causal else everything)
    explicit = attend(q, k, v, causal=causal, weights=KEEP)
    assert (fused.route, folded.route, explicit.route) == ("fused", "fused-mask", "explicit")
    slow, _ = reference(q, k, v, causal_mask(size, "cpu") if causal else None)
    for attended in (fused, folded, explicit):
        same(attended.out, slow, [q, k, v])


@pytest.mark.parametrize("shape", [(B, 1, 1, S), (1, 1, S, S), (B, 1, S, S), (1, H, S, S), (B, H, S, S)])
@pytest.mark.parametrize("biased", [False, True])
def test_routes_agree_under_every_shape_of_mask_and_bias(shape, biased):
    q, k, v = inputs()
    mask = random_mask(shape=shape)
    mask[..., 0] = True
    bias = torch.randn(1, H, S, S, dtype=torch.float64) if biased else None
    fused, explicit = attend(q, k, v, mask=mask, bias=bias), attend(q, k, v, mask=mask, bias=bias, weights=KEEP)
    assert (fused.route, explicit.route) == ("fused-mask", "explicit")
    slow, _ = reference(q, k, v, mask, bias)
    same(fused.out, slow, [q, k, v])
    same(explicit.out, slow, [q, k, v])


def test_causal_adds_to_a_mask_that_is_also_given():
    q, k, v = inputs()
    mask = random_mask()
    slow, _ = reference(q, k, v, mask & causal_mask(S, "cpu"))
    for extra in ({}, {"weights": KEEP}):
        same(attend(q, k, v, mask=mask, causal=True, **extra).out, slow, [q, k, v])
    biased = torch.randn(1, 1, S, S, dtype=torch.float64)
    slow, _ = reference(q, k, v, causal_mask(S, "cpu"), biased)
    same(attend(q, k, v, causal=True, bias=biased).out, slow, [q, k, v])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("renormalise", [True, False])
def test_boosts_are_the_weights_times_the_factor(renormalise, causal):
    q, k, v = inputs()
    factors = [torch.rand(B, 1, S, S, dtype=torch.float64).add(0.5).requires_grad_(),
               torch.rand(1, H, S, S, dtype=torch.float64).add(0.5).requires_grad_()]
    mask = random_mask() & (causal_mask(S, "cpu") if causal else True)
    attended = attend(q, k, v, mask=mask, boosts=[Boost(f, renormalise) for f in factors])
    given = {"factors": factors} if renormalise else {"loose": factors}
    slow, _ = reference(q, k, v, mask, **given)
    same(attended.out, slow, [q, k, v, *factors])
    assert attended.route == "blockwise"
    constant = attend(q, k, v, mask=mask, boosts=[Boost(f.detach()) for f in factors])
    assert constant.route == "fused-mask"


def test_a_bias_as_a_row_of_keys_and_a_huge_boost_stay_finite():
    q, k, v = inputs()
    bias = torch.randn(B, 1, 1, S, dtype=torch.float64)
    same(attend(q, k, v, bias=bias, causal=True).out, reference(q, k, v, causal_mask(S, "cpu"), bias)[0], [q, k, v])
    huge = attend(q, k, v, boosts=[Boost(torch.full((1, 1, S, S), 1e8, dtype=torch.float64))])
    same(huge.out, reference(q, k, v)[0], [q, k, v], atol=1e-9)


def dead(mask):
    mask[0, :, 2] = False
    mask[1, 0, 0] = False
    return mask


@pytest.mark.parametrize("extra", [
    {}, {"weights": KEEP}, {"bias": torch.zeros(1, 1, S, S, dtype=torch.float64)},
    {"bias": torch.zeros(1, 1, S, S, dtype=torch.float64, requires_grad=True)},
    {"boosts": [Boost(torch.full((1, 1, S, S), 2.0, dtype=torch.float64), False)]},
    {"boosts": [Boost(torch.full((1, 1, S, S), 2.0, dtype=torch.float64), True)]},
    {"normaliser": 3.0}, {"normaliser": 3.0, "bias": torch.ones(1, 1, S, S, dtype=torch.float64)},
    {"drop": lambda w: w * 2}, {"groups": torch.ones(B, S, 1, dtype=torch.float64)},
])
def test_rows_that_see_nothing_give_zeros_in_value_and_gradient(extra):
    q, k, v = inputs()
    mask = dead(random_mask())
    gone = torch.zeros(B, H, S, dtype=torch.bool)
    gone[0, :, 2] = gone[1, 0, 0] = True
    attended = attend(q, k, v, mask=mask, **extra)
    assert (attended.out[gone] == 0).all()
    assert (attended.out[~gone] != 0).any(-1).all()
    assert attended.mass is None or (attended.mass[gone] == 0).all()
    for grad in torch.autograd.grad(attended.out[gone].sum(), [q, k, v]):
        assert (grad == 0).all()
    for grad in torch.autograd.grad(attend(q, k, v, mask=mask, **extra).out.sum(), [q, k, v]):
        assert grad.isfinite().all()


def test_a_mask_that_hides_everything_gives_zeros():
    q, k, v = inputs()
    for extra in ({}, {"weights": KEEP}, {"normaliser": 2.0}):
        out = attend(q, k, v, mask=torch.zeros(1, 1, S, S, dtype=torch.bool), causal=True, **extra).out
        assert (out == 0).all()
        assert all((g == 0).all() for g in torch.autograd.grad(out.sum(), [q, k, v]))


def groups_of(domains, dtype=torch.float64):
    return torch.nn.functional.one_hot(domains, G).to(dtype)


@pytest.mark.parametrize("value", [D, D + 3, D - 2])
@pytest.mark.parametrize("given", ["nothing", "causal", "mask", "bias", "boost", "loose"])
def test_mass_is_the_share_of_the_final_weights_on_each_group(given, value):
    q, k, v = inputs(value=value)
    groups = groups_of(torch.randint(0, G, (B, S), generator=torch.Generator().manual_seed(3)))
    factor = torch.rand(B, 1, S, S, dtype=torch.float64) + 0.5
    mask = dead(random_mask()) if given == "mask" else causal_mask(S, "cpu") if given == "causal" else None
    arguments = {
        "nothing": {}, "causal": {"causal": True}, "mask": {"mask": mask}, "bias": {"bias": factor},
        "boost": {"boosts": [Boost(factor)]}, "loose": {"boosts": [Boost(factor, False)]},
    }[given]
    attended = attend(q, k, v, groups=groups, **arguments)
    explicit = attend(q, k, v, groups=groups, weights=KEEP, **arguments)
    bias = {"bias": factor, "boost": factor.log()}.get(given)
    slow, weights = reference(q, k, v, mask, bias, loose=[factor] if given == "loose" else [])
    total = weights.sum(-1, keepdim=True)
    share = (weights @ groups[:, None]) / total.masked_fill(total == 0, 1)
    for one in (attended, explicit):
        same(one.out, slow, [q, k, v])
        torch.testing.assert_close(one.mass, share, atol=1e-10, rtol=0)
        alive = (total > 0).double().squeeze(-1)
        torch.testing.assert_close(one.mass.sum(-1), alive, atol=1e-10, rtol=0)
    assert attended.out.shape[-1] == value
    for one, other in zip(gradients(attended.mass, [q, k]), gradients(explicit.mass, [q, k]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_mass_is_of_the_weights_before_dropout_and_after_every_change():
    q, k, v = inputs()
    groups = groups_of(torch.randint(0, G, (B, S)))
    plain = attend(q, k, v, groups=groups).mass
    dropped = attend(q, k, v, groups=groups, drop=lambda w: w * 0)
    torch.testing.assert_close(dropped.mass, plain, atol=1e-10, rtol=0)
    assert (dropped.out == 0).all()
    first = torch.zeros(S, dtype=torch.float64)
    first[0] = 7.0
    changed = attend(q, k, v, groups=groups, weights=[lambda w: w * 0 + first])
    torch.testing.assert_close(changed.mass, groups[:, None, :1].expand(B, H, S, G), atol=1e-10, rtol=0)


def test_weights_see_final_weights_and_compose_in_order():
    q, k, v = inputs()
    seen = []
    out = attend(q, k, v, causal=True, weights=[lambda w: seen.append(w) or w * 2, lambda w: w + 1]).out
    _, weights = reference(q, k, v, causal_mask(S, "cpu"))
    torch.testing.assert_close(seen[0], weights, atol=1e-10, rtol=0)
    torch.testing.assert_close(out, (weights * 2 + 1) @ v, atol=1e-10, rtol=0)


def test_pointwise_masks_multiply_so_that_hidden_keys_add_nothing():
    q, k, v = inputs()
    bias = torch.randn(1, H, S, S, dtype=torch.float64).requires_grad_()
    mask = dead(random_mask())
    factor = torch.rand(1, 1, S, S, dtype=torch.float64)
    attended = attend(q, k, v, mask=mask, bias=bias, boosts=[Boost(factor)], normaliser=7.0, scale=1.0)
    slow, _ = reference(q, k, v, mask, bias, factors=[factor], normaliser=7.0, scale=1.0)
    same(attended.out, slow, [q, k, v, bias])
    assert attended.route == "blockwise"
    with torch.no_grad():
        other = v.clone()
        other[:, :, 1] = 1e6
    hidden = torch.ones(1, 1, S, S, dtype=torch.bool)
    hidden[..., 1] = False
    first, second = (attend(q, k, x, mask=hidden, bias=bias, normaliser=7.0).out for x in (v, other))
    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_pointwise_causal_adds_to_the_mask_and_weights_come_before_it():
    q, k, v = inputs()
    slow, _ = reference(q, k, v, causal_mask(S, "cpu"), normaliser=2.0)
    same(attend(q, k, v, causal=True, normaliser=2.0).out, slow, [q, k, v])
    leaky = attend(q, k, v, causal=True, normaliser=2.0, weights=[lambda w: w + 1.0]).out
    first = torch.nn.functional.silu((q[:, :, :1] * k[:, :, :1]).sum(-1, keepdim=True) * D**-0.5) / 2 + 1
    torch.testing.assert_close(leaky[:, :, :1], first * v[:, :, :1], atol=1e-10, rtol=0)


def test_a_learned_bias_gets_its_gradient_block_by_block():
    q, k, v = inputs()
    bias = torch.randn(1, H, S, S, dtype=torch.float64).requires_grad_()
    attended = attend(q, k, v, bias=bias, causal=True)
    assert attended.route == "blockwise"
    same(attended.out, reference(q, k, v, causal_mask(S, "cpu"), bias)[0], [q, k, v, bias])


class Kernels(TorchDispatchMode):
    """Notes whether the library's fused CPU kernel ran."""

    fused = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.fused |= "flash_attention_for_cpu" in str(func)
        return func(*args, **(kwargs or {}))


LEARNED = torch.zeros(1, 1, S, S, dtype=torch.float64, requires_grad=True)
MASK = torch.ones(1, 1, S, S, dtype=torch.bool)


@pytest.mark.parametrize("value", [D, D + 3, D - 2])
@pytest.mark.parametrize("arguments", [
    {}, {"causal": True}, {"mask": MASK}, {"bias": LEARNED.detach()}, {"bias": LEARNED},
    {"bias": LEARNED, "mask": MASK}, {"boosts": [Boost(LEARNED.detach() + 1)]}, {"weights": KEEP},
    {"groups": torch.ones(B, S, 1)}, {"groups": torch.ones(B, S, 1), "causal": True},
    {"boosts": [Boost(LEARNED.detach() + 1, renormalise=False)]},
])
@pytest.mark.parametrize("training", [True, False])
def test_the_route_reported_is_the_route_that_ran(arguments, value, training):
    q, k, v = inputs(value=value)
    with torch.set_grad_enabled(training), Kernels() as kernels:
        attended = attend(q, k, v, **arguments)
    assert kernels.fused == attended.route.startswith("fused")
    learned = arguments.get("bias") is LEARNED
    loose = any(not boost.renormalise for boost in arguments.get("boosts", ()))
    assert attended.route.startswith("fused") == ("weights" not in arguments and not loose
                                                  and not (learned and training))


def test_a_given_scale_counts_on_every_route():
    q, k, v = inputs()
    groups = groups_of(torch.randint(0, G, (B, S)))
    slow, _ = reference(q, k, v, scale=0.1)
    for extra in ({}, {"groups": groups}, {"weights": KEEP}, {"mask": torch.ones(1, 1, S, S, dtype=torch.bool)}):
        torch.testing.assert_close(attend(q, k, v, scale=0.1, **extra).out, slow, atol=1e-10, rtol=0)


@pytest.mark.parametrize("extra", [{}, {"weights": KEEP}, {"normaliser": 2.0}])
def test_a_bias_of_another_precision_is_taken_as_the_queries_are(extra):
    q, k, v = inputs()
    bias = torch.randn(1, 1, S, S)
    out = attend(q, k, v, bias=bias, **extra).out
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, attend(q, k, v, bias=bias.double(), **extra).out, atol=1e-10, rtol=0)


@pytest.mark.parametrize("extra", [{}, {"weights": KEEP}, {"normaliser": 2.0}, {"groups": torch.zeros(B, 0, 1)},
                                   {"mask": torch.ones(1, 1, 0, 0, dtype=torch.bool)},
                                   {"boosts": [Boost(torch.ones(1, 1, 0, 0), False)]}])
def test_no_token_at_all_gives_an_empty_answer(extra):
    q, k, v = inputs(size=0)
    out = attend(q, k, v, causal=True, **extra).out
    assert out.shape == (B, H, 0, D)
    assert [grad.shape for grad in gradients(out, [q, k, v])] == [(B, H, 0, D)] * 3
