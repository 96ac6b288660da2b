"""Both losses by hand and against loops over rows and targets."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_c2dsr import CORRUPTED, MIXED, OWN, benchbase_backbones, benchbase_objectives
from benchbase_c2dsr.infomax import Infomax

from benchbase.nn import Output
from benchbase.specs import ScorerConfig
from benchbase.testing.build import forward, make_model
from benchbase.testing.probes import probe_popularity
from benchbase.testing.world import tiny_batch, tiny_context

(SPEC,) = benchbase_backbones()
SOFTMAX, INFOMAX = benchbase_objectives()


class Some:
    """Tokens as far as the objective reads them."""

    def __init__(self, domain):
        self.domain = torch.tensor(domain)
        self.valid = self.domain > -2
        self.event = torch.where(self.valid, 1, -1)


def bce_of(domain, own, mixed, corrupted, weight, bias=None):
    """The loss for states (B, S, w), corrupted ones (domains, B, S, w), and judges (domains, w, w)."""
    n = len(weight)
    made = Infomax(tiny_context(n_domains=n, width=n * weight.shape[-1])).double()
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(torch.zeros(n) if bias is None else torch.tensor(bias))
    traces = {OWN: own, MIXED: mixed, CORRUPTED: corrupted}
    output = Output(states=torch.zeros(0), scorer=None, tokens=Some(domain), traces=traces)
    return made.losses(output, None, None)["bce"]


def softplus(x):
    return math.log(1 + math.exp(x))


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def test_three_events_of_two_domains_by_hand():
    """Domain 0 has events 0 and 2, domain 1 has event 1; states are numbers."""
    own, mixed = double([[[1.0], [5.0], [3.0]]]), double([[[2.0], [4.0], [6.0]]])
    corrupted = double([[[[9.0], [-1.0], [9.0]]], [[[0.5], [9.0], [1.5]]]])
    weight = double([[[0.5]], [[-0.25]]])
    # of 0: own mean 2; others' event 1: mixed 4, corrupted -1. Of 1: own 5; others' events 0, 2: mixed 4, corrupted 1
    zero = softplus(-(2 * 0.5 * 4 + 0.1)) + softplus(2 * 0.5 * -1 + 0.1)
    one = softplus(-(5 * -0.25 * 4 - 0.2)) + softplus(5 * -0.25 * 1 - 0.2)
    found = bce_of([[0, 1, 0]], own, mixed, corrupted, weight, [0.1, -0.2])
    assert float(found.detach()) == pytest.approx(zero + one)


def test_many_domains_against_a_loop_over_rows_padding_and_strangers_left_out():
    draw = torch.Generator().manual_seed(0)
    domain = [[0, 1, 2, 0, -1, 1], [2, 2, 1, -2, -2, -2], [0, 0, 0, 0, -2, -2], [-1, -1, 1, -2, -2, -2]]
    own, mixed = (torch.randn(4, 6, 2, generator=draw, dtype=torch.float64) for _ in range(2))
    corrupted = torch.randn(3, 4, 6, 2, generator=draw, dtype=torch.float64)
    weight = torch.randn(3, 2, 2, generator=draw, dtype=torch.float64)
    expected = 0.0
    for d in range(3):
        each = []
        for row, domains in enumerate(domain):
            here = [n for n, other in enumerate(domains) if other == d]
            there = [n for n, other in enumerate(domains) if other >= 0 and other != d]
            if here and there:
                prototype = own[row, here].mean(0) @ weight[d]
                real, false = (float(prototype @ x[row, there].mean(0)) for x in (mixed, corrupted[d]))
                each.append(softplus(-real) + softplus(false))
        expected += sum(each) / len(each)
    assert float(bce_of(domain, own, mixed, corrupted, weight).detach()) == pytest.approx(expected)


def test_judges_that_know_nothing_lose_two_bits_for_each_domain():
    zeros = torch.zeros(1, 2, 1, dtype=torch.float64)
    found = bce_of([[0, 1]], zeros, zeros, zeros.expand(2, 1, 2, 1), torch.zeros(2, 1, 1, dtype=torch.float64))
    assert float(found.detach()) == pytest.approx(4 * math.log(2))


def model_of(scorer=None, objectives=(SOFTMAX, INFOMAX), width=4):
    return make_model(SPEC, {"width": width, "dropout": 0.0}, objectives=list(objectives), scorer=scorer,
                      context=tiny_context()).double()


def slow_softmax(targets, step):
    """`single` and `shared`, target by target, from the scores that the core would rank by."""
    domain = tiny_context().catalogue.domain
    mixed = step.output.traces[MIXED]
    found = []
    for states in (step.output.states, mixed[targets.row, targets.event - 1].repeat(1, 2)):
        scores = step.output.scorer.scores(states)
        each = []
        for at, item in enumerate(targets.item.tolist()):
            own = torch.from_numpy(np.flatnonzero(domain[1:] == domain[item]))
            each.append(scores[at, own].logsumexp(0) - scores[at, item - 1])
        found.append((torch.stack(each) * targets.weights).sum() / targets.weights.sum())
    return found


@pytest.mark.parametrize("scorer", [
    ScorerConfig(), ScorerConfig(output="separate", bias=True, temperature=0.5), ScorerConfig(score="cosine"),
], ids=["dot", "separate", "cosine"])
@pytest.mark.parametrize("others", [[], [(probe_popularity, {"matrix": True})]], ids=["alone", "score term"])
def test_the_softmax_is_that_of_the_scores_of_the_domain_gradients_too(scorer, others):
    model = model_of(scorer, [SOFTMAX, *others])
    batch, targets = tiny_batch(dtype=torch.float64)
    uneven = replace(targets, weights=torch.linspace(0.2, 2, len(targets), dtype=torch.float64))
    step = forward(model, batch, uneven)
    ours = [step.losses["domain_softmax.single"], step.losses["domain_softmax.shared"]]
    for name in (spec.name for spec, _ in others):
        uneven = replace(uneven, weights=uneven.weights * model.objectives[name].example_weights(uneven, batch))
    slow = slow_softmax(uneven, step)
    parameters = [p for name, p in model.named_parameters() if name.startswith("backbone")]
    for one, other in zip(ours, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
        pairs = [torch.autograd.grad(x, parameters, retain_graph=True, allow_unused=True) for x in (one, other)]
        for first, second in zip(*pairs, strict=True):
            assert (first is None) == (second is None)
            if first is not None:
                torch.testing.assert_close(first, second, atol=1e-9, rtol=0)


def test_the_shared_loss_reaches_no_encoder_of_one_domain():
    model, (batch, targets) = model_of(), tiny_batch(dtype=torch.float64)
    losses = forward(model, batch, targets).losses
    own = list(model.backbone.own.parameters())
    for term, reached in (("shared", False), ("single", True)):
        found = torch.autograd.grad(losses[f"domain_softmax.{term}"], own, retain_graph=True, allow_unused=True)
        assert any(grad is not None and bool((grad != 0).any()) for grad in found) == reached


def test_infomax_reaches_every_encoder():
    model, (batch, targets) = model_of(), tiny_batch(dtype=torch.float64)
    loss = forward(model, batch, targets).losses["cross_domain_infomax.bce"]
    for name, grad in zip(*zip(*model.backbone.named_parameters(), strict=True), strict=True):
        found, = torch.autograd.grad(loss, grad, retain_graph=True, allow_unused=True)
        assert found is not None and (found != 0).any(), name
