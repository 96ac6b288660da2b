"""The objective's terms as sums written out, and the multipliers' schedule."""

from dataclasses import replace

import pytest
import torch
from benchbase_causalrec import benchbase_modifiers, benchbase_objectives
from benchbase_causalrec.acyclicity import acyclicity
from benchbase_causalrec.dual import Dual
from pydantic import ValidationError

from benchbase.testing.build import forward, make_model, train_step
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch

boost, = benchbase_modifiers()
dag, = benchbase_objectives()


def made(weights=None, **parameters):
    batch, targets = tiny_batch(dtype=torch.float64, n_rows=4)
    if weights is not None:
        targets = replace(targets, weights=weights(targets))
    model = make_model(tiny_causal, modifiers=[boost], objectives=[tiny_softmax, (dag, parameters)]).double()
    step = forward(model, batch, targets)
    relation = model.encode(batch, "train").traces["relation"]
    return batch, targets, relation.detach(), step.losses


def test_terms_are_means_over_sequences_by_the_weight_of_their_targets():
    draw = torch.Generator().manual_seed(0)
    batch, targets, relation, losses = made(
        lambda t: torch.rand(len(t), generator=draw, dtype=torch.float64), rho=3.0, beta=0.7, sparsity=0.2)
    h = acyclicity(relation)
    total, penalty, edges = 0.0, 0.0, 0.0
    for row in range(batch.n_rows):
        weight = float(targets.weights[targets.row == row].sum())
        n = int(batch.lengths[row])
        penalty += weight * float(0.7 * h[row] + 1.5 * h[row] ** 2)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        edges += weight * sum(abs(float(relation[row, i, j])) for i, j in pairs) / max(len(pairs), 1)
        total += weight
    assert float(losses["causal_dag.acyclicity"].detach()) == pytest.approx(penalty / total, rel=1e-10)
    assert float(losses["causal_dag.sparsity"].detach()) == pytest.approx(0.2 * edges / total, rel=1e-10)


def test_terms_of_no_weight_are_left_out():
    assert set(made(rho=0.0, sparsity=0.5)[-1]) == {"tiny_softmax.softmax", "causal_dag.sparsity"}
    assert set(made(sparsity=0.0)[-1]) == {"tiny_softmax.softmax", "causal_dag.acyclicity"}


def test_the_schedule():
    dual = Dual(1.0, 0.0, growth=10, fall=0.25, rho_max=50)
    expected = {8.0: (1, 8), 1.9: (1, 9.9), 1.8: (10, 11.7), 1.0: (50, 21.7), 0.1: (50, 26.7)}
    # the first has nothing to fall from, 1.9 fell below a quarter of 8, 1.8 and 1.0 did not fall enough, 0.1 did
    for h, (rho, beta) in expected.items():
        dual.update(h)
        assert float(dual.rho) == pytest.approx(rho) and float(dual.beta) == pytest.approx(beta)


def test_the_largest_settings_stay_finite_in_single_precision():
    h = acyclicity(torch.ones(1, 200, 200) - torch.eye(200), bound=30.0).requires_grad_()
    dual = Dual(1e10, 1e10, rho_max=1e10)
    loss = dual.penalty(h, torch.ones(1))
    assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, h)[0]).all()


def test_rho_starts_below_its_maximum():
    with pytest.raises(ValidationError, match=r"rho: 5.0 is above rho_max 2.0. Expected a start that may grow to it. "
                                              r"Take rho_max=5.0."):
        dag.config(rho=5.0, rho_max=2.0)


def test_more_sparsity_leaves_fewer_edges():
    """The mean of |R| after so many steps on one batch does not grow with lambda."""
    batch, targets = tiny_batch(n_rows=6)
    left = []
    for sparsity in (0.0, 1.0, 30.0):
        model = make_model(tiny_causal, modifiers=[boost],
                           objectives=[tiny_softmax, (dag, {"sparsity": sparsity, "rho": 0.0})])
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(60):
            train_step(model, batch, targets)
            optimizer.step()
        left.append(float(model.encode(batch, "train").traces["sparsity"].detach().mean()))
    assert left == sorted(left, reverse=True) and left[2] < 0.7 * left[0], left


def test_multipliers_of_0_stay_0():
    dual = Dual(0.0, 0.0)
    for h in (1.0, 2.0):
        dual.update(h)
    assert not dual.active and float(dual.rho) == float(dual.beta) == 0


def test_the_state_dict_holds_all_of_it():
    one, other = Dual(1.0, 0.0), Dual(5.0, 2.0)
    one.update(3.0)
    other.load_state_dict(one.state_dict())
    for dual in (one, other):
        dual.update(2.9)
    assert one.state_dict() == other.state_dict() and float(other.rho) == 10
