"""No backbone lets a model of the action task see what it predicts: nor by items, actions or times."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchbase.data.batches import Batch
from benchbase.nn.model import SequenceModel
from benchbase.registry import Registry
from benchbase.specs import BackboneSpec, ModifierSpec
from benchbase.testing.build import make_model
from benchbase.testing.checking import randomised
from benchbase.testing.world import tiny_batch

pytestmark = pytest.mark.plugins

BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "rotary": ("transformer", {}),
    "learned positions": ("sasrec", {}),
    "pointwise": ("hstu", {"time_ref": "none"}),
    "pointwise, by time": ("hstu", {"time_ref": "self", "concat": True}),
    "pointwise, by the next time": ("hstu", {"time_ref": "next", "normaliser": "length"}),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "interleaved": None,
    "lfa": ("attn_lfa", {}),
    "mvp": ("attn_mvp", {}),
    "mvp - lfa": ("attn_mvp", {"late_fusion": False}),
    "dhn": ("attn_dhn", {}),
}

every = pytest.mark.parametrize("variant", VARIANTS)
everywhere = pytest.mark.parametrize("backbone", BACKBONES)


def model_of(variant: str, backbone: str) -> SequenceModel:
    registry = Registry.load()
    name, parameters = BACKBONES[backbone]
    spec, chosen = registry.get("backbone", name), VARIANTS[variant]
    assert isinstance(spec, BackboneSpec)
    modifiers: list[Any] = []
    if chosen is not None:
        modifier = registry.get("modifier", chosen[0])
        assert isinstance(modifier, ModifierSpec)
        modifiers = [(modifier, chosen[1])]
    model = make_model(spec, {"width": 8, "heads": 2, "layers": 2, **parameters}, modifiers=modifiers,
                       layout="interleaved" if chosen is None else "items").double()
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "norm" not in label:
                parameter.mul_(6)  # as large as training makes them
    return model.eval()


def before(model: SequenceModel, batch: Batch) -> Tensor:
    states = model.encode(batch, "score").states.before
    assert states is not None
    return states


@everywhere
@every
def test_neither_its_own_action_nor_anything_later_moves_a_state(variant: str, backbone: str) -> None:
    model = model_of(variant, backbone)
    batch, _ = tiny_batch(dtype=torch.float64)
    # an action is asked for at the time of its event
    batch = replace(batch, query_times=batch.timestamps)
    plain, place = before(model, batch), torch.arange(batch.items.shape[1])
    for event in range(len(place)):
        later = randomised(batch, (place > event) & batch.valid)
        own = randomised(batch, (place == event) & batch.valid).actions[:, event]
        actions = later.actions.clone()
        actions[:, event] = own
        alive = batch.lengths > event
        moved = before(model, replace(later, actions=actions))
        torch.testing.assert_close(moved[alive, event], plain[alive, event], atol=1e-9, rtol=0)
        if event:
            earlier = batch.actions.clone()
            earlier[:, event - 1] = 1 - earlier[:, event - 1]
            assert (before(model, replace(batch, actions=earlier)) - plain)[0, event].abs().max() > 1e-9


@everywhere
@every
def test_candidates_know_the_context_and_not_each_other(variant: str, backbone: str) -> None:
    model = model_of(variant, backbone)
    batch, _ = tiny_batch(task="action", candidates=2, length=6, dtype=torch.float64)
    batch = replace(batch, query_times=batch.timestamps)
    together, known = before(model, batch)[0], int(batch.lengths[0]) - 2
    for place in (known, known + 1):
        keep = [*range(known), place]
        columns = {name: getattr(batch, name)[:1, keep] for name in (
            "items", "timestamps", "query_times", "domains", "actions", "features", "hide_item", "hide_action",
            "candidate")}
        alone = Batch(users=batch.users[:1], lengths=torch.tensor([known + 1]), **columns)
        torch.testing.assert_close(before(model, alone)[0, known], together[place], atol=1e-9, rtol=1e-9)
