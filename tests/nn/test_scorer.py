"""The scorer: one number per item, the same for loss and ranking, however it is asked for."""

import pytest
import torch
import torch.nn.functional as F

from benchbase.nn import BoundScorer, ItemBias, ItemEmbedding, Scorer
from benchbase.specs import ScorerConfig

N, D, P = 9, 4, 5
ROW = torch.tensor([0, 0, 1, 2, 2])


def make(**config):
    torch.manual_seed(0)
    embedding = ItemEmbedding(N, D, hidden=False).double()
    scorer = Scorer(ScorerConfig(**config), embedding).double()
    if scorer.item_bias is not None:
        scorer.item_bias.data.normal_()
    return scorer, embedding, torch.randn(P, D, dtype=torch.float64)


MATRIX = torch.randn(3, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
VECTOR = torch.arange(N, dtype=torch.float64)
TERMS = {
    "none": [], "absent": [lambda items: None], "bias": [lambda items: ItemBias(VECTOR)],
    "matrix": [lambda items: MATRIX[:, items - 1]],
    "all": [lambda items: ItemBias(VECTOR), lambda items: None, lambda items: MATRIX[:, items - 1],
            lambda items: MATRIX[:, items - 1], lambda items: ItemBias(VECTOR)],
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.05])
@pytest.mark.parametrize("output", ["tied", "separate"])
@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_scores_are_what_the_configuration_says(score, output, temperature, bias, terms):
    scorer, embedding, states = make(score=score, output=output, temperature=temperature, bias=bias)
    bound = BoundScorer(scorer, ROW, TERMS[terms])
    table = embedding.table if output == "tied" else scorer.table
    expected = torch.empty(P, N, dtype=torch.float64)
    for p in range(P):
        for j in range(N):
            dot = states[p] @ table[j]
            expected[p, j] = F.cosine_similarity(states[p], table[j], dim=0) if score == "cosine" else dot
    expected = expected / temperature
    expected = expected + (0 if scorer.item_bias is None else scorer.item_bias)
    expected = expected + {"bias": VECTOR, "matrix": MATRIX[ROW], "all": 2 * VECTOR + 2 * MATRIX[ROW]}.get(terms, 0)
    torch.testing.assert_close(bound.scores(states), expected, atol=1e-10, rtol=0)
    query, vectors, vector, matrix = bound.linear(states)
    total = query @ vectors.T + (0 if vector is None else vector) + (0 if matrix is None else matrix)
    torch.testing.assert_close(total, expected, atol=1e-10, rtol=0)
    assert (matrix is None) == (terms not in ("matrix", "all"))
    own = torch.randint(1, N + 1, (P, 3), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(bound.score_items(states, own), expected.gather(1, own - 1), atol=1e-10, rtol=0)
    shared = torch.tensor([N, 1, 4])
    torch.testing.assert_close(bound.score_items(states, shared), expected[:, shared - 1], atol=1e-10, rtol=0)
    some = slice(1, 4)
    torch.testing.assert_close(bound.rows(some).scores(states[some]), expected[some], atol=1e-10, rtol=0)


def test_the_tied_table_belongs_to_the_model_alone():
    scorer, embedding, states = make()
    assert not list(scorer.parameters())
    BoundScorer(scorer, ROW).scores(states).sum().backward()
    assert embedding.table.grad is not None
    separate, embedding, states = make(output="separate", bias=True)
    assert {name for name, _ in separate.named_parameters()} == {"table", "item_bias"}
    BoundScorer(separate, ROW).scores(states).sum().backward()
    assert embedding.table.grad is None and (separate.item_bias.grad == P).all()


def test_vectors_made_once_can_be_handed_on_and_no_state_gives_no_score():
    scorer, _, states = make(score="cosine")
    vectors = scorer.vectors()
    assert BoundScorer(scorer, ROW, (), vectors).vectors is vectors
    empty = BoundScorer(scorer, ROW[:0], [lambda items: MATRIX[:, items - 1]])
    assert empty.scores(states[:0]).shape == (0, N)
    assert BoundScorer(scorer, ROW).score_items(states, torch.zeros(P, 0, dtype=torch.int64)).shape == (P, 0)


def test_a_state_of_zeros_scores_0_under_cosine_and_can_be_learned_from():
    scorer, embedding, _ = make(score="cosine")
    states = torch.zeros(P, D, dtype=torch.float64, requires_grad=True)
    scores = BoundScorer(scorer, ROW).scores(states)
    assert (scores == 0).all()
    scores.sum().backward()
    assert states.grad.isfinite().all() and embedding.table.grad.isfinite().all()
