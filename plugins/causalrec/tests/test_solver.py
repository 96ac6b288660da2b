"""Planted linear models: found where noise is equal, lost where data is standardised; the trace survives a stop."""

import functools

import numpy as np
import torch
from benchbase_causalrec.solver import LinearSEM

from benchbase.metrics import structural_hamming

DOUBLE, SEEDS, NODES = torch.float64, range(5), 10


def planted(seed, n=1_000):
    """Samples (n, 10) of a random graph with 10 edges of weight 0.5 to 2 either way, noise of variance 1; the graph."""
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(NODES, generator=draw)
    pairs = torch.combinations(torch.arange(NODES))
    chosen = order[pairs[torch.randperm(len(pairs), generator=draw)[:NODES]]]
    size = 0.5 + 1.5 * torch.rand(NODES, generator=draw, dtype=DOUBLE)
    sign = 1 - 2 * torch.randint(2, (NODES,), generator=draw)
    weights = torch.zeros(NODES, NODES, dtype=DOUBLE)
    weights[chosen[:, 0], chosen[:, 1]] = size * sign
    noise = torch.randn(n, NODES, generator=draw, dtype=DOUBLE)
    return noise @ torch.linalg.inv(torch.eye(NODES, dtype=DOUBLE) - weights), weights != 0


@functools.cache
def solved(standardise):
    data, truth = (torch.stack(each) for each in zip(*map(planted, SEEDS), strict=True))
    solver = LinearSEM((data - data.mean(1, keepdim=True)) / data.std(1, keepdim=True) if standardise else data)
    solver.run(12)
    pairs = zip(solver.graph().numpy(), truth.numpy(), strict=True)
    return solver, np.array([structural_hamming(*pair) for pair in pairs])


def test_planted_graphs_are_found():
    _, distance = solved(False)
    assert (distance <= 2).sum() >= 4, distance


def test_standardised_they_are_not():
    """Equal noise is what tells cause from effect: data of unit variance has lost it, as a layer norm's output has."""
    _, distance = solved(True)
    assert (distance >= 4).all(), distance


def test_h_falls_a_hundredfold_and_the_graph_has_no_cycle():
    solver, _ = solved(False)
    for trace in solver.trace:
        rho, beta, h = zip(*trace, strict=True)
        assert h[0] / h[-1] >= 100 and h[-1] < 1e-4 and len(h) == 12
        assert list(rho) == sorted(rho) and list(beta) == sorted(beta)
    for graph in solver.graph().double():
        assert torch.linalg.matrix_power(graph, NODES).abs().sum() == 0


def test_a_solver_that_is_stopped_goes_on_with_the_same_trace():
    data = torch.stack([planted(seed, n=200)[0] for seed in (0, 1)])
    whole, first = (LinearSEM(data, steps=40) for _ in range(2))
    whole.run(6)
    first.run(3)
    saved = first.state_dict()
    first.run(1)  # what was saved stays as it was
    second = LinearSEM(data, steps=40)
    second.load_state_dict(saved)
    second.run(3)
    assert second.trace == whole.trace and torch.equal(second.relation, whole.relation)
