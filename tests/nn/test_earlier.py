"""Strictly causal attention: the shifted kernel is the explicit mask, in values and gradients, beside anything else."""

import pytest
import torch

from benchbase.nn import Boost, Earlier, Modifier, attend, attend_earlier, rotate, rotation
from benchbase.nn.attention import FUSED_MASK, FUSED_SHIFTED
from benchbase.specs import Config, ModifierSpec
from benchbase.testing.build import make_model
from benchbase.testing.tiny import tiny_causal, tiny_pointwise
from benchbase.testing.world import tiny_batch


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("value_width", [3, 4, 6])
def test_the_shifted_kernel_is_the_explicit_mask(size, value_width):
    torch.manual_seed(0)
    q, k = (torch.randn(2, 3, size, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    v = torch.randn(2, 3, size, value_width, dtype=torch.float64, requires_grad=True)
    strict = torch.ones(size, size, dtype=torch.bool).tril(-1)[None, None]
    ours, theirs = attend_earlier(q, k, v), attend(q, k, v, mask=strict)
    assert ours.route == FUSED_SHIFTED and theirs.route == FUSED_MASK
    torch.testing.assert_close(ours.out, theirs.out, atol=1e-12, rtol=0)
    assert (ours.out[:, :, 0] == 0).all() and torch.isfinite(ours.out).all()
    direction = torch.randn_like(ours.out)
    found, wanted = (torch.autograd.grad((each.out * direction).sum(), (q, k, v)) for each in (ours, theirs))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_weights_of_earlier_tokens_sum_to_one():
    q, k = torch.randn(2, 1, 2, 6, 4).unbind()
    out = attend_earlier(q, k, torch.full((1, 2, 6, 5), 3.0)).out
    torch.testing.assert_close(out[:, :, 1:], torch.full((1, 2, 5, 5), 3.0))


class Strict(Modifier):
    """The mask as a marker or as a tensor, with other sites beside it."""

    def __init__(self, marker, beside, null):
        super().__init__()
        self.marker, self.beside = marker, beside
        self.null = torch.linspace(-1, 1, 8, dtype=torch.float64) if null else None

    def mask(self, ctx, layer):
        if self.marker:
            return Earlier(self.null)
        size = ctx.tokens.x.shape[1]
        return ~torch.eye(size, dtype=torch.bool)[None, None]

    def bias(self, ctx, layer):
        size = ctx.tokens.x.shape[1]
        return torch.arange(size * size, dtype=torch.float64).sin().view(1, 1, size, size) if self.beside else None

    def boost(self, ctx, layer):
        return Boost(torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), False) if self.beside else None


def strict(marker, beside=False, null=False):
    return ModifierSpec(name="strict", config=Config, source="here", sites=frozenset({"mask", "bias", "boost"}),
                        build=lambda config, context: Strict(marker, beside, null))


def states(spec, backbone, batch, **parts):
    model = make_model(backbone, modifiers=[spec], **parts).double()
    encoded = model.encode(batch, "score")
    return encoded.states.before, set(encoded.routes)


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_pointwise], ids=lambda spec: spec.name)
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(("candidates", "user"), [(0, False), (2, False), (0, True)])
def test_the_marker_is_the_mask_beside_whatever_stands_there(backbone, beside, candidates, user):
    from benchbase.specs import LayoutConfig

    batch, _ = tiny_batch(task="action", candidates=candidates, dtype=torch.float64)
    layout = LayoutConfig(user_token=user)
    (ours, route), (theirs, _) = (states(strict(marker, beside), backbone, batch, layout=layout)
                                  for marker in (True, False))
    if user:  # the mask of the test forbids prefix tokens to see themselves, the marker does not
        assert torch.isfinite(ours).all()
        return
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    shifted = backbone is tiny_causal and not beside and not candidates
    assert (route == {FUSED_SHIFTED}) == shifted


@pytest.mark.parametrize("candidates", [0, 2])
def test_a_null_is_what_those_get_that_see_nothing(candidates):
    batch, _ = tiny_batch(task="action", candidates=candidates, dtype=torch.float64)
    (with_null, _), (without, _) = (states(strict(True, null=null), tiny_causal, batch) for null in (True, False))
    moved = (with_null - without).abs().amax(dim=-1) > 1e-9
    assert moved[:, 0].all(), "the first event sees nothing"
    if candidates:
        assert int(batch.lengths[1]) == 2 and moved[1, 1], "its two events are candidates: neither sees the other"


@pytest.mark.parametrize("width", [2, 8])
def test_turned_scores_tell_distances_alone(width):
    torch.manual_seed(0)
    q, k = (torch.randn(1, 2, 5, width, dtype=torch.float64) for _ in range(2))
    scores = []
    for shift in (0, 7):
        turn = rotation(torch.tensor([[0, 1, 3, 3, 9]]) + shift, width, 100.0, torch.float64)
        scores.append(rotate(q, turn) @ rotate(k, turn).transpose(-1, -2))
    torch.testing.assert_close(*scores, atol=1e-12, rtol=0)
    plain = q @ k.transpose(-1, -2)
    torch.testing.assert_close(scores[0].diagonal(dim1=-2, dim2=-1), plain.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(scores[0][..., 2, 3], plain[..., 2, 3])
    assert (scores[0][..., 0, 4] - plain[..., 0, 4]).abs().min() > 1e-3


def test_a_turn_by_hand():
    turn = rotation(torch.tensor([[-1, 0, 2]]), 4, 100.0, torch.float64)
    x = torch.arange(12, dtype=torch.float64).view(1, 1, 3, 4)
    turned = rotate(x, turn)
    assert torch.equal(turned[0, 0, :2], x[0, 0, :2]), "of no event, and at position 0"
    for plane, rate in enumerate((1.0, 0.1)):
        z = torch.complex(x[0, 0, 2, plane], x[0, 0, 2, plane + 2]) * torch.exp(torch.tensor(2j * rate))
        torch.testing.assert_close(torch.complex(turned[0, 0, 2, plane], turned[0, 0, 2, plane + 2]), z)
