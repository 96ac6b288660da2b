"""Bottleneck tokens: nothing crosses domains but through them, and how they are combined."""

from typing import ClassVar

import pytest
import torch
from benchbase_autocdsr import benchbase_modifiers, benchbase_objectives, refuse_layers
from benchbase_autocdsr.bottleneck import SEGMENT, BottleneckTokens
from benchbase_autocdsr.config import BottleneckConfig

from benchbase.errors import Refusal
from benchbase.testing.build import forward, make_experiment, make_model
from benchbase.testing.checking import distinct
from benchbase.testing.contracts import ModifierContract, ObjectiveContract
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

TOKENS = benchbase_modifiers()[0]
ATTENTION = next(spec for spec in benchbase_objectives() if spec.name == "ib_attention")
BACKBONES = [tiny_causal, tiny_bidirectional]
COMBINE = ["sum", "mean", "attention", "gate"]

on_both = pytest.mark.parametrize("backbone", BACKBONES, ids=lambda spec: spec.name)


def model_of(backbone, n_layers=2, objectives=(), **config):
    model = make_model(backbone, {"n_layers": n_layers}, modifiers=[(TOKENS, config)], objectives=objectives).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.mul_(6)  # as large as training makes them
            if any(part in name for part in ("query", "key", "gate")):
                parameter.normal_()
    return model


def crossing(model, batch):
    """How far each event's state (row 0) depends on the item of each other event of another domain, (T, T)."""
    found = model.encode(batch, "score").states.after[0]
    other = batch.domains[0][:, None] != batch.domains[0][None, :]
    depends = torch.zeros_like(other, dtype=found.dtype)
    for event in range(len(found)):
        (gradient,) = torch.autograd.grad(found[event].square().sum(), model.embedding.table, retain_graph=True)
        depends[event] = gradient[batch.items[0] - 1].abs().amax(dim=-1)
    return depends * other, other


@on_both
@pytest.mark.parametrize("combine", COMBINE)
def test_items_of_other_domains_are_reached_through_the_tokens_alone(backbone, combine):
    batch = distinct(tiny_batch(n_rows=1, dtype=torch.float64)[0])
    apart, other = crossing(model_of(backbone, combine=combine, after=()), batch)
    assert other.any() and (apart == 0).all()
    talking, _ = crossing(model_of(backbone, combine=combine), batch)
    reached = (talking > 0)[other]
    assert reached.all() if backbone is tiny_bidirectional else reached.any()


@on_both
def test_one_layer_is_too_few_to_hear_of_other_domains(backbone):
    """Tokens must read first, talk, and be read."""
    batch = distinct(tiny_batch(n_rows=1, dtype=torch.float64)[0])
    heard, _ = crossing(model_of(backbone, n_layers=1), batch)
    assert (heard == 0).all()
    last, _ = crossing(model_of(backbone, after=(1,)), batch)  # after the last layer nobody listens
    assert (last == 0).all()


@on_both
def test_shared_layers_see_all(backbone):
    batch = distinct(tiny_batch(n_rows=1, dtype=torch.float64)[0])
    seen, other = crossing(model_of(backbone, after=(), shared_layers=1), batch)
    assert (seen > 0)[other].any()


def test_one_domain_is_alone_with_its_tokens():
    batch = distinct(tiny_batch(n_rows=1, dtype=torch.float64)[0])
    batch.domains[:] = 1
    model = model_of(tiny_bidirectional, combine="mean")
    tokens = model.encode(batch, "score").tokens
    mine = tokens.segment[0] == SEGMENT
    assert tokens.domain[0][mine].tolist() == [0] * 4 + [1] * 4
    assert tokens.valid[0][mine].tolist() == [False] * 4 + [True] * 4


def combined(combine, tokens, present):
    part = BottleneckTokens(BottleneckConfig(tokens=tokens.shape[2], combine=combine),
                            tiny_context(n_domains=tokens.shape[1], width=tokens.shape[3])).double()
    return part, part._combined(tokens, torch.tensor(present)[:, :, None, None])


def test_ways_to_combine_by_hand():
    tokens = torch.randn(2, 3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    present = [[True, True, False], [True, True, True]]
    sums = torch.stack([tokens[0, :2].sum(0), tokens[1].sum(0)])[:, None].expand_as(tokens)
    means = sums / torch.tensor([2.0, 3.0])[:, None, None, None]
    for combine, expected in (("sum", sums), ("mean", means), ("attention", means), ("gate", (tokens + means) / 2)):
        _, found = combined(combine, tokens, present)
        near = 0.02 if combine == "attention" else 1e-12  # which starts near the mean
        torch.testing.assert_close(found, expected, atol=near, rtol=0)


def test_attention_between_domains_against_a_slow_one():
    tokens = torch.randn(1, 3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    part, _ = combined("attention", tokens, [[True, True, False]])
    with torch.no_grad():
        part.query.weight.normal_()
        part.key.weight.normal_()
        found = part._combined(tokens, torch.tensor([[True, True, False]])[:, :, None, None])
        for domain in range(3):
            for place in range(2):
                asks = part.query(tokens[0, domain, place])
                scores = torch.stack([asks @ part.key(tokens[0, other, place]) / 2 for other in (0, 1)]).softmax(0)
                torch.testing.assert_close(found[0, domain, place], scores @ tokens[0, :2, place])


@on_both
def test_what_items_give_to_the_tokens_is_the_loss(backbone):
    model = model_of(backbone, objectives=[ATTENTION, tiny_softmax])
    batch, targets = tiny_batch(masked=backbone.training == "masked", dtype=torch.float64)
    step = forward(model, batch, targets, "score")
    tokens = step.encoded.tokens
    weights = model.encode(batch, "score", lambda tokens: torch.eye(
        tokens.x.shape[1], dtype=tokens.x.dtype).expand(len(tokens.x), -1, -1)).masses
    asks = tokens.valid & (tokens.domain >= 0) & (tokens.event >= 0)
    slow = [layer.mean(1)[asks][:, tokens.segment[0] == SEGMENT].sum(-1).mean() for layer in weights]
    torch.testing.assert_close(step.losses["ib_attention.mass"], torch.stack(slow).mean(), atol=1e-12, rtol=0)


def test_a_layer_that_is_not_there_is_refused():
    assert refuse_layers(BottleneckConfig(after=(0, 2)), tiny_context(n_layers=2)) == (
        "after names layer 2 of a backbone of 2, counted from 0")
    assert refuse_layers(BottleneckConfig(after=(0, 1)), tiny_context(n_layers=2)) is None
    assert refuse_layers(BottleneckConfig(), tiny_context(n_layers=2)) is None


class TestSum(ModifierContract):
    spec = TOKENS


class TestMean(ModifierContract):
    spec = TOKENS
    config: ClassVar = {"combine": "mean", "tokens": 2, "after": (0,)}


def test_its_loss_is_refused_where_there_are_no_tokens():
    with pytest.raises(Refusal, match=r"ib_attention: no part publishes the trace ib_tokens\. Expected a backbone or "
                                      r"modifier that does; traces at hand: none\."):
        make_experiment(tiny_bidirectional, objectives=[tiny_softmax, ATTENTION])


class TestAttention(ModifierContract):
    spec = TOKENS
    config: ClassVar = {"combine": "attention", "tokens": 8, "shared_layers": 1}


class TestGate(ModifierContract):
    spec = TOKENS
    config: ClassVar = {"combine": "gate", "tokens": 1}


class TestBottleneckAttention(ObjectiveContract):
    spec = ATTENTION
    modifiers: ClassVar = [TOKENS]
