"""Scores of picked items: both routes equal the gathered vectors, gradients too, and hold no (P, k, D) tensor."""

import pytest
import torch

from benchbase.nn import BoundScorer, ItemEmbedding, Scorer, losses, picked
from benchbase.nn.picked import _FromAllScores, _FromVectors, picked_scores
from benchbase.specs import ScorerConfig

ROUTES = [_FromAllScores, _FromVectors]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def inputs(n, n_items, k, width=4):
    query = torch.randn(n, width, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(n_items, width, dtype=torch.float64, requires_grad=True)
    return query, vectors, torch.randint(n_items, (n, k)) if k else torch.zeros(n, 0, dtype=torch.int64)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("n", "n_items", "k"), [(0, 5, 3), (7, 5, 3), (300, 11, 6), (3, 40, 1), (5, 1, 2)])
def test_each_route_equals_the_gathered_vectors(route, n, n_items, k):
    assert n < 300 or n > losses.CPU_ROWS
    query, vectors, index = inputs(n, n_items, k)
    reference = torch.einsum("pd,pkd->pk", query, vectors[index])
    scores = route.apply(query, vectors, index)
    torch.testing.assert_close(scores, reference)
    weights = torch.randn_like(reference)
    for each in (weights, weights.t().contiguous().t()):  # however it lies in memory
        for a, b in zip(*(torch.autograd.grad(s, [query, vectors], each, retain_graph=True)
                          for s in (scores, reference)), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("route", ROUTES)
def test_numerical_gradients(route):
    query, vectors, index = inputs(5, 6, 3)
    assert torch.autograd.gradcheck(lambda q, v: route.apply(q, v, index), [query, vectors])


@pytest.mark.parametrize("route", ROUTES)
def test_a_picked_item_twice_counts_twice(route):
    query, vectors, _ = inputs(2, 3, 1)
    once, twice = (route.apply(query, vectors, torch.zeros(2, k, dtype=torch.int64)).sum() for k in (1, 2))
    torch.testing.assert_close(torch.autograd.grad(twice, vectors)[0], 2 * torch.autograd.grad(once, vectors)[0])


def test_the_route_follows_from_items_and_picks(monkeypatch):
    taken = []
    for route in ROUTES:
        monkeypatch.setattr(picked, route.__name__, type(route.__name__, (), {
            "apply": staticmethod(lambda q, v, i, name=route.__name__: taken.append(name) or q.new_zeros(i.shape))
        }))
    for n_items, k in ((picked.ITEMS_PER_PICK * 3, 3), (picked.ITEMS_PER_PICK * 3 + 1, 3), (5, 0)):
        picked_scores(*inputs(2, n_items, k))
    assert taken == ["_FromAllScores", "_FromVectors", "_FromAllScores"]


def test_no_pick_gives_no_score():
    query, vectors, index = inputs(4, 5, 0)
    scores = picked_scores(query, vectors, index)
    assert scores.shape == (4, 0)
    assert all((g == 0).all() for g in torch.autograd.grad(scores.sum(), [query, vectors]))


def test_queries_of_mixed_precision_are_taken():
    query, vectors, index = inputs(4, 50, 2)
    query, vectors = query.detach().bfloat16().requires_grad_(), vectors.float()
    scores = picked_scores(query, vectors, index)
    assert scores.dtype == torch.float32 and torch.autograd.grad(scores.sum(), query)[0].dtype == torch.bfloat16


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """The most elements of any tensor that comes out of an operation."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return found


@pytest.mark.parametrize(("n_items", "score"), [(30, "dot"), (30, "cosine"), (500, "dot"), (500, "cosine")])
def test_no_vector_is_copied_for_each_pick(n_items, score):
    """Of 200 positions with 20 picks and 8 numbers a vector there would be 32,000 numbers."""
    embedding = ItemEmbedding(n_items, 8, hidden=False)
    states = torch.randn(200, 8, requires_grad=True)
    bound = BoundScorer(Scorer(ScorerConfig(score=score), embedding), torch.arange(200))
    with Largest() as largest:
        scores = bound.score_items(states, torch.randint(1, n_items + 1, (200, 20)))
        torch.autograd.grad(scores.sum(), [states, embedding.table])
    assert largest.elements <= max(200 * 20, 500 * 8, losses.CPU_ROWS * 30) < 32_000


@pytest.mark.parametrize("shape", [(9,), (6, 1)])
def test_few_picks_of_a_large_catalogue_normalise_no_other_vector(shape):
    embedding = ItemEmbedding(1_000, 8, hidden=False)
    scorer = Scorer(ScorerConfig(score="cosine"), embedding)
    states, items = torch.randn(6, 8), torch.randint(1, 1_001, shape)
    with Largest() as largest:
        few = BoundScorer(scorer, torch.arange(6)).score_items(states, items)
    assert largest.elements <= 9 * 8
    gradients = torch.autograd.grad(few.sum(), embedding.table)[0]
    given = BoundScorer(scorer, torch.arange(6), (), scorer.vectors()).score_items(states, items)
    torch.testing.assert_close(few, given)
    torch.testing.assert_close(gradients, torch.autograd.grad(given.sum(), embedding.table)[0])


@pytest.mark.parametrize(("n_items", "k"), [(5, 3), (40, 1)])
def test_scores_are_picked_in_inference_mode_too(n_items, k):
    query, vectors, index = inputs(6, n_items, k)
    with torch.inference_mode():
        torch.testing.assert_close(picked_scores(query, vectors, index),
                                   torch.einsum("pd,pkd->pk", query, vectors[index]))
