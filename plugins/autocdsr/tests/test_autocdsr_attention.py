"""The mass that leaves a domain, by hand and against the whole of attention; the forward pass is the backbone's."""

from dataclasses import replace

import pytest
import torch
from benchbase_autocdsr import benchbase_objectives
from benchbase_autocdsr.attention import CrossDomainAttention
from benchbase_autocdsr.config import CrossDomainConfig

from benchbase.nn import Output
from benchbase.testing.build import forward, make_model
from benchbase.testing.checking import padded
from benchbase.testing.contracts import ObjectiveContract
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

SPEC = next(spec for spec in benchbase_objectives() if spec.name == "cross_domain_attention")
BACKBONES = [tiny_causal, tiny_bidirectional]

on_both = pytest.mark.parametrize("backbone", BACKBONES, ids=lambda spec: spec.name)


class Some:
    """Tokens as far as the objective reads them."""

    def __init__(self, domain, valid=None):
        self.domain = torch.tensor(domain)
        self.valid = torch.ones_like(self.domain, dtype=torch.bool) if valid is None else torch.tensor(valid)
        self.event = torch.where(self.valid, 1, -1)


def mass_of(attention, tokens, domains=3, **config):
    """The loss for weights (layers, B, H, S, S)."""
    objective = CrossDomainAttention(CrossDomainConfig(**config), tiny_context(n_domains=domains))
    groups = objective.groups(tokens).to(attention.dtype)
    masses = [torch.einsum("bhqk,bkg->bhqg", layer, groups) for layer in attention]
    output = Output(states=torch.zeros(0), scorer=None, tokens=tokens, masses=masses)
    return float(objective.losses(output, None, None)["mass"])


def uniform(length, causal=False):
    weights = torch.ones(length, length).tril() if causal else torch.ones(length, length)
    return (weights / weights.sum(-1, keepdim=True))[None, None, None]


def test_one_domain_is_nothing_and_two_halves_are_a_half():
    assert mass_of(uniform(6), Some([[1] * 6])) == 0
    assert mass_of(uniform(6), Some([[0, 1, 0, 1, 0, 1]])) == pytest.approx(0.5)
    assert mass_of(torch.eye(6)[None, None, None], Some([[0, 1, 0, 1, 0, 1]])) == 0


def test_four_tokens_in_the_order_of_time_by_hand():
    """Rows leave by 0, 1/2, 1/3 and 2/4 of their weight."""
    tokens = Some([[0, 1, 0, 1]])
    expected = (0 + 1 / 2 + 1 / 3 + 2 / 4) / 4
    assert mass_of(uniform(4, causal=True), tokens) == pytest.approx(expected)
    assert mass_of(uniform(4, causal=True), tokens, norm="sum") == pytest.approx(4 * expected)
    assert mass_of(uniform(4, causal=True), tokens, norm="pair") == pytest.approx(4 * expected / 8)


def test_what_is_hidden_padded_or_of_no_domain_is_neither_asked_nor_looked_at():
    plain = mass_of(uniform(4), Some([[0, 1, 0, 1]]))
    weights = torch.zeros(6, 6)
    weights[:4, :4] = 0.25
    weights[4:, :] = 1 / 6
    assert mass_of(weights[None, None, None], Some([[0, 1, 0, 1, 2, 2]], [[True] * 4 + [False] * 2])) == plain
    assert mass_of(weights[None, None, None], Some([[0, 1, 0, 1, -1, -1]])) == plain


def test_layers_count_together_or_the_last_alone():
    two = torch.cat([uniform(4), torch.eye(4)[None, None, None]])
    tokens = Some([[0, 1, 0, 1]])
    assert [mass_of(two, tokens, layers=layers) for layers in ("mean", "sum", "last")] == pytest.approx([0.25, 0.5, 0])


def model_of(backbone, *objectives):
    return make_model(backbone, objectives=[*objectives, tiny_softmax]).double()


def masked(backbone):
    return backbone.training == "masked"


@on_both
def test_names_of_domains_and_padding_tell_nothing(backbone):
    model = model_of(backbone, SPEC)
    batch, targets = tiny_batch(masked=masked(backbone), dtype=torch.float64)
    plain = forward(model, batch, targets).losses["cross_domain_attention.mass"]
    turned = replace(batch, domains=torch.where(batch.domains < 0, batch.domains, 1 - batch.domains))
    wider = padded(batch, 3)
    for other in (turned, wider):
        torch.testing.assert_close(forward(model, other, targets).losses["cross_domain_attention.mass"], plain,
                                   atol=1e-12, rtol=0)


@on_both
def test_the_mass_is_that_of_the_whole_of_attention(backbone):
    """Every event a group of its own gives the weights themselves."""
    model = model_of(backbone, SPEC)
    batch, targets = tiny_batch(masked=masked(backbone), dtype=torch.float64)
    step = forward(model, batch, targets, "score")
    weights = model.encode(batch, "score", lambda tokens: torch.eye(
        tokens.x.shape[1], dtype=tokens.x.dtype).expand(len(tokens.x), -1, -1)).masses
    domain, known = batch.domains, batch.valid & (batch.domains >= 0)
    differ = (domain[:, :, None] != domain[:, None, :]) & known[:, :, None] & known[:, None, :]
    slow = [(layer.mean(1) * differ).sum() / known.sum() for layer in weights]
    torch.testing.assert_close(step.losses["cross_domain_attention.mass"], torch.stack(slow).mean(), atol=1e-12, rtol=0)


@on_both
def test_scores_and_parameters_are_those_of_the_backbone(backbone):
    with_it, without = model_of(backbone, SPEC), model_of(backbone)
    assert list(with_it.state_dict()) == list(without.state_dict())
    with_it.load_state_dict(without.state_dict())
    batch, _ = tiny_batch(masked=masked(backbone), dtype=torch.float64)
    with torch.inference_mode():
        first, second = (model.eval().encode(batch, "score").states.after for model in (with_it, without))
    assert torch.equal(first, second)


def test_other_labels_of_domains_change_no_score():
    model = model_of(tiny_causal, SPEC).eval()
    batch, _ = tiny_batch(dtype=torch.float64)
    other = replace(batch, domains=torch.where(batch.domains < 0, -1, torch.zeros_like(batch.domains)))
    with torch.inference_mode():
        assert torch.equal(model.encode(batch, "score").states.after, model.encode(other, "score").states.after)


class TestMean(ObjectiveContract):
    spec = SPEC


class TestPairs(ObjectiveContract):
    spec = SPEC
    config = CrossDomainConfig(norm="pair", layers="last")


class TestSum(ObjectiveContract):
    spec = SPEC
    config = CrossDomainConfig(norm="sum", layers="sum")
