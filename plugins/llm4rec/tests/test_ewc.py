"""Elastic weights by hand: what is held is what mattered, as hard as it mattered."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_objectives

from benchbase.errors import RunError
from benchbase.nn import TaggedParameter
from benchbase.testing.world import tiny_context

SPEC = {spec.name: spec for spec in benchbase_objectives()}["ewc"]


def alone(table, strength=3.0, examples=4, unknown=(), name="embedding.table"):
    """The objective over one table, after a period of four targets whose losses are given sums of it."""
    counts = np.ones(len(table) + 1, np.int64)
    counts[[each + 1 for each in unknown]] = 0
    made = SPEC.build(SPEC.config(strength=strength, examples=examples), replace(tiny_context(), item_counts=counts))
    made.bind([TaggedParameter(name, "embedding", table), TaggedParameter("x", "objective", torch.nn.Parameter(table))])
    return made


def test_fisher_and_penalty_by_hand():
    table = torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    made = alone(table, unknown=[1])
    weights = torch.tensor([[[1.0, 0], [2, 0], [0, 0]], [[3, 0], [4, 0], [0, 2]]]).double().repeat(3, 1, 1)
    made.period_ended(iter(weights), lambda weight: (table * weight).sum())
    # the mean of 1, 9, 1, 9 and of 0, 4, 0, 4: four targets are asked for; the second row's item is not known
    assert made.fisher_0.tolist() == [[5, 0], [0, 0], [0, 2]]
    assert float(made.losses(None, None, None)["penalty"].detach()) == 0
    with torch.no_grad():
        table += torch.tensor([[1.0, 7], [9, 9], [4, 2]]).double()
    penalty = made.losses(None, None, None)["penalty"]
    assert float(penalty.detach()) == 3 / 2 * (5 * 1 + 2 * 4)
    gradient, = torch.autograd.grad(penalty, [table])
    assert gradient.tolist() == [[15, 0], [0, 0], [0, 12]]


def test_what_did_not_matter_is_free_and_what_did_is_frozen_as_the_strength_grows():
    """Steps of gradient descent on a loss that pulls both ways alike, each small enough for the penalty."""
    ends = []
    for strength in (0.0, 10.0, 1e4):
        table = torch.nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
        made = alone(table, strength=strength, examples=1)
        made.period_ended(iter([None]), lambda _, table=table: table[0].sum())
        for _ in range(2000):
            loss = (table - 1).square().sum() + sum(made.losses(None, None, None).values())
            gradient, = torch.autograd.grad(loss, [table])
            with torch.no_grad():
                table -= gradient / (2 + strength)
        ends.append(table.detach().ravel().tolist())
    assert ends[0] == pytest.approx([1, 1])
    assert ends[1] == pytest.approx([2 / 12, 1], abs=1e-6)
    assert abs(ends[2][0]) < 1e-3


def test_a_loss_that_is_not_finite_says_so():
    table = torch.nn.Parameter(torch.zeros(2, 1))
    with pytest.raises(RunError, match=r"ewc: the loss of a training target is not finite\. Expected a finite number"):
        alone(table).period_ended(iter([None]), lambda _: table.sum() / 0)


def test_a_loss_without_a_gradient_holds_nothing():
    table = torch.nn.Parameter(torch.ones(2, 1))
    made = alone(table, examples=1)
    made.period_ended(iter([None]), lambda _: torch.ones(()))
    assert made.fisher_0.tolist() == [[0], [0]]
