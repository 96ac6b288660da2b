"""The laws of the paper: nobody sees what they predict, lambda = 0 is late fusion, T tokens instead of 2T."""

import pytest
import torch
from benchbase_interleaving import benchbase_modifiers
from benchbase_interleaving.pooling import StrictAttention

from benchbase.specs import BuildContext, LayoutConfig
from benchbase.testing.build import make_model
from benchbase.testing.checking import distinct, randomised
from benchbase.testing.tiny import tiny_causal, tiny_pointwise
from benchbase.testing.world import tiny_batch

SPECS = {spec.name: spec for spec in benchbase_modifiers()}
VARIANTS = {
    "interleaved": None,
    "lfa": ("attn_lfa", {}),
    "lfa inclusive": ("attn_lfa", {"strict": False}),
    "mvp": ("attn_mvp", {}),
    "mvp - lfa": ("attn_mvp", {"late_fusion": False}),
    "mvp, null": ("attn_mvp", {"null": "learned"}),
    "dhn": ("attn_dhn", {}),
}
BACKBONES = [tiny_causal, tiny_pointwise]

every = pytest.mark.parametrize("variant", VARIANTS)
on_both = pytest.mark.parametrize("backbone", BACKBONES, ids=lambda spec: spec.name)


def model_of(variant, backbone=tiny_causal, seed=0, **changes):
    """A model whose weights are of the size that training brings; `interleaved` is the core's layout."""
    chosen = VARIANTS[variant]
    modifiers = [] if chosen is None else [(SPECS[chosen[0]], {**chosen[1], **changes})]
    model = make_model(backbone, {"n_layers": 2}, modifiers=modifiers, seed=seed,
                       layout="interleaved" if chosen is None else "items").double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.mul_(6)
            if "null" in name:
                parameter.normal_()
    return model


def before(model, batch):
    return model.encode(batch, "score").states.before


@on_both
@every
class TestNobodySees:
    def test_the_action_that_is_predicted_nor_anything_later(self, variant, backbone):
        model = model_of(variant, backbone)
        batch, _ = tiny_batch(dtype=torch.float64)
        plain = before(model, batch)
        for event in range(batch.items.shape[1]):
            place = torch.arange(batch.items.shape[1])
            later = randomised(batch, (place > event) & batch.valid)
            own = randomised(batch, (place == event) & batch.valid)
            changed = later.actions.clone()
            changed[:, event] = own.actions[:, event]
            moved = before(model, type(batch)(**{**vars(later), "actions": changed}))
            alive = batch.lengths > event
            torch.testing.assert_close(moved[alive, event], plain[alive, event], atol=1e-9, rtol=0)

    def test_and_gradients_reach_the_item_and_earlier_actions_alone(self, variant, backbone):
        model = model_of(variant, backbone)
        batch = distinct(tiny_batch(n_rows=1, dtype=torch.float64)[0])
        actions = batch.actions.clone().requires_grad_()
        states = before(model, type(batch)(**{**vars(batch), "actions": actions}))
        for event in range(1, states.shape[1]):
            by_action, by_item = torch.autograd.grad(states[0, event].square().sum(),
                                                     (actions, model.embedding.table), retain_graph=True)
            assert (by_action[0, event:] == 0).all()
            assert (by_action[0, :event].abs().amax(dim=-1) > 0).all()
            items = by_item[batch.items[0] - 1].abs().amax(dim=-1)
            assert (items[event + 1 :] == 0).all() and items[event] > 0 and (items[:event] > 0).all()


@on_both
@every
def test_candidates_together_are_candidates_one_by_one(variant, backbone):
    model = model_of(variant, backbone)
    batch, _ = tiny_batch(task="action", candidates=2, length=6, dtype=torch.float64)
    row = 0
    together = before(model, batch)[row]
    known = int(batch.lengths[row]) - 2
    for place in (known, known + 1):
        keep = [*range(known), place]
        columns = {name: getattr(batch, name)[row : row + 1, keep] for name in (
            "items", "timestamps", "query_times", "domains", "actions", "features", "hide_item", "hide_action",
            "candidate")}
        alone = type(batch)(users=batch.users[:1], lengths=torch.tensor([known + 1]), **columns)
        torch.testing.assert_close(before(model, alone)[0, known], together[place], atol=1e-9, rtol=1e-9)


@on_both
def test_mixed_values_without_actions_are_late_fusion(backbone):
    lfa, mvp = model_of("lfa", backbone), model_of("mvp", backbone, mix=0.0)
    mvp.load_state_dict({name.replace("attn_lfa", "attn_mvp"): value for name, value in lfa.state_dict().items()})
    batch, _ = tiny_batch(dtype=torch.float64)
    assert torch.equal(before(lfa, batch), before(mvp, batch))


@every
def test_half_the_tokens(variant):
    batch, _ = tiny_batch(dtype=torch.float64)
    tokens = model_of(variant).encode(batch, "score").tokens
    assert tokens.x.shape[1] == batch.items.shape[1] * (2 if variant == "interleaved" else 1)


@every
def test_the_fastest_kernel_runs_wherever_only_the_order_matters(variant):
    batch, _ = tiny_batch(dtype=torch.float64)
    routes = set(model_of(variant).encode(batch, "score").routes)
    assert routes == ({"fused"} if variant == "interleaved" else
                      {"fused", "fused-shifted"} if variant == "lfa inclusive" else {"fused-shifted"})


def test_equal_actions_are_pooled_to_themselves():
    """The weights of earlier events sum to one; nothing is before the first."""
    model = model_of("lfa")
    batch, _ = tiny_batch(dtype=torch.float64)
    pooling = model.modifiers["attn_lfa"].pooling
    with torch.no_grad():
        for part in (pooling.values, pooling.out):
            part.weight.copy_(torch.eye(8)), part.bias.zero_()
    same = torch.ones_like(batch.actions) * batch.valid[..., None]
    states = before(model, type(batch)(**{**vars(batch), "actions": same}))[..., 8:]
    vector = model.actions(torch.ones(2, dtype=torch.float64))
    later = batch.valid.clone()
    later[:, 0] = False
    torch.testing.assert_close(states[later], vector.expand(int(later.sum()), -1))
    assert (states[:, 0] == 0).all()


def test_a_learned_null_is_what_the_first_event_pools():
    attention = StrictAttention(BuildContext(n_items=1, n_users=1, window=1, max_tokens=1, width=4, n_heads=2), True)
    assert attention.null is not None and (attention.null == 0).all(), "it starts as zeros"


def test_other_readouts_may_stand_before():
    """Each takes the states as the last one leaves them."""
    modifiers = [(SPECS["attn_mvp"], {}), (SPECS["attn_lfa"], {})]
    model = make_model(tiny_causal, modifiers=modifiers, layout=LayoutConfig()).double()
    batch, _ = tiny_batch(dtype=torch.float64)
    assert before(model, batch).shape[-1] == 3 * 8
