"""Ranking metrics equal an independent library's without ties, and the mean over all orders with them."""

from itertools import permutations

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.errors import BenchbaseError
from benchbase.metrics import Metric, chance, gains, mean_over_users, parse, user_mean, user_values, values

NAMES = ["recall@1", "recall@10", "hr@5", "ndcg@1", "ndcg@10", "mrr@1", "mrr@3", "mrr@10"]


def counts(scores: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    own = np.take_along_axis(scores, target[:, None], 1)
    return (scores > own).sum(1), (scores == own).sum(1) - 1, np.full(len(scores), scores.shape[1])


def oracle(name: str, scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The metric by trec_eval, whose reciprocal rank knows no cutoff: it gets the top k only."""
    metric = parse(name)
    measure = {"recall": ir_measures.R @ metric.cutoff, "hr": ir_measures.R @ metric.cutoff}.get(
        metric.name, ir_measures.nDCG @ metric.cutoff if metric.name == "ndcg" else ir_measures.RR
    )
    qrels = {str(q): {str(t): 1} for q, t in enumerate(target)}
    run = {}
    for q, row in enumerate(scores):
        top = np.argsort(-row)[: metric.cutoff]
        run[str(q)] = {str(i): float(row[i]) for i in top}
    found = {m.query_id: m.value for m in ir_measures.pytrec_eval.iter_calc([measure], qrels, run)}
    return np.array([found.get(str(q), 0.0) for q in range(len(target))])


@pytest.mark.parametrize("name", NAMES)
def test_without_ties_equals_ir_measures(name):
    rng = np.random.default_rng(1)
    scores = np.stack([rng.permutation(40) for _ in range(60)]).astype(np.float32)
    target = rng.integers(0, 40, 60)
    np.testing.assert_allclose(values(parse(name), *counts(scores, target)), oracle(name, scores, target), atol=1e-9)


def by_all_orders(metric: Metric, row: np.ndarray, target: int) -> float:
    """The mean of the metric over every order of the whole list that sorts it by score."""
    better = int((row > row[target]).sum())
    block = [i for i in range(len(row)) if row[i] == row[target]]
    gain = np.append(gains(metric, len(row)), np.zeros(len(row)))
    return float(np.mean([gain[better + order.index(target)] for order in permutations(block)]))


@settings(max_examples=60, deadline=None)
@given(
    row=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    where=st.integers(0, 5),
    name=st.sampled_from(["recall", "ndcg", "mrr", "hr"]),
    cutoff=st.integers(1, 8),
)
def test_with_ties_equals_the_mean_over_all_orders(row, where, name, cutoff):
    scores, target = np.array([row]), np.array([where % len(row)])
    metric = Metric(name, cutoff)
    mine = values(metric, *counts(scores, target))[0]
    assert mine == pytest.approx(by_all_orders(metric, scores[0], target[0]), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_expectation_is_of_the_metric_not_of_the_rank(name):
    metric = parse(name)
    rng = np.random.default_rng(2)
    scores, target = rng.integers(0, 4, (30, 12)).astype(float), rng.integers(0, 12, 30)
    ranks = [[above + 1 + i for i in range(tied + 1)] for above, tied, _ in zip(*counts(scores, target), strict=True)]
    gain = {
        "recall": lambda r: 1.0,
        "hr": lambda r: 1.0,
        "ndcg": lambda r: 1 / np.log2(1 + r),
        "mrr": lambda r: 1 / r,
    }
    expected = [np.mean([gain[metric.name](r) * (r <= metric.cutoff) for r in block]) for block in ranks]
    np.testing.assert_allclose(values(metric, *counts(scores, target)), expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_scorer_is_at_chance_exactly(name):
    sizes = np.array([1, 2, 7, 50, 1000])
    flat = [counts(np.zeros((1, n)), np.array([n // 2])) for n in sizes]
    got = [values(parse(name), *one)[0] for one in flat]
    assert got == chance(parse(name), sizes).tolist()


def test_chance_of_recall_is_cutoff_over_candidates():
    np.testing.assert_allclose(chance(parse("recall@10"), [5, 10, 40]), [1, 1, 0.25])


def test_a_gain_without_ties_is_exact():
    got = values(parse("ndcg@10"), [0, 1, 2, 10], [0] * 4, [20] * 4)
    assert got.tolist() == [1.0, 1 / np.log2(3), 0.5, 0.0]


def test_a_miss_is_zero_even_within_the_cutoff():
    got = values(parse("recall@10"), [5, 4, 9, 5], [0, 0, 3, 0], [5, 5, 5, 50])
    assert got.tolist() == [0, 1, 0, 1]


def test_int32_counts_do_not_overflow():
    n = np.array([2**31 - 1], dtype=np.int32)
    assert values(parse("recall@10"), np.zeros(1, np.int32), n - 1, n)[0] == pytest.approx(10 / n[0])


def test_no_events_give_no_values():
    assert values(parse("mrr@3"), [], [], []).shape == (0,)


def test_hr_is_an_alias_that_keeps_its_name():
    hr = parse("hr@10")
    assert (str(hr), hr.canonical) == ("hr@10", "recall@10")
    assert parse("recall@10").canonical == "recall@10"
    assert hr != parse("recall@10") and hr == parse("hr@10") and hash(hr) == hash(parse("hr@10"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ndgc@10",
            r"metrics: no ranking metric named 'ndgc'\. Did you mean 'ndcg'\? Known: hr, mrr, ndcg, recall\.",
        ),
        ("Recall@5", r"Did you mean 'recall'\?"),
        ("zebra@5", r"no ranking metric named 'zebra'\. Known: hr"),
        ("ndcg", r"metrics: 'ndcg' has no cutoff\. Expected name@k\. Nearest: 'ndcg@10'\."),
        ("mrr@ten", r"'mrr@ten' has the cutoff 'ten'\. Expected a whole number from 1\. Nearest: 'mrr@10'\."),
        ("hr@0", r"has the cutoff '0'"),
        ("hr@05", r"has the cutoff '05'"),
        ("hr@", r"has the cutoff ''"),
    ],
)
def test_a_wrong_name_is_explained(name, message):
    with pytest.raises(BenchbaseError, match=message):
        parse(name)


@pytest.mark.parametrize(
    ("above", "tied", "candidates", "message"),
    [
        (
            [0, 1],
            [0],
            [5],
            r"metrics\.values: the shapes are above \(2,\), tied \(1,\), candidates \(1,\)\. Expected",
        ),
        ([[0]], [[0]], [[5]], r"above \(1, 1\)"),
        ([-1], [0], [5], r"a count is too small\. Expected above and tied from 0, and candidates from 1"),
        ([0], [-1], [5], r"a count is too small"),
        ([0], [0], [0], r"a count is too small"),
        (
            [0, 2],
            [0, 3],
            [5, 5],
            r"above \+ tied reaches candidates in 1 of 2 events\. Expected at most candidates - 1",
        ),
    ],
)
def test_impossible_counts_are_explained(above, tied, candidates, message):
    with pytest.raises(BenchbaseError, match=message):
        values(parse("ndcg@10"), above, tied, candidates)


def test_a_user_is_the_mean_over_their_events():
    users, means = user_mean([7, 3, 7, 7, 3], [1.0, 0.5, 0.0, 0.5, 1.0])
    assert users.tolist() == [3, 7]
    assert means.tolist() == [0.75, 0.5]


def test_the_mean_over_users_weighs_users_alike_however_many_events_they_have():
    columns = ([7, 3, 7, 7], [0, 0, 4, 1], [0, 0, 0, 0], [9, 9, 9, 9])
    users, means = user_values(parse("mrr@2"), *columns)
    assert users.tolist() == [3, 7] and means.tolist() == [1.0, 0.5]
    assert mean_over_users(parse("mrr@2"), *columns) == 0.75
    assert np.isnan(mean_over_users(parse("mrr@2"), [], [], [], []))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 64)), max_size=20), st.randoms())
def test_user_means_do_not_move_with_the_order_of_users(events, random):
    shuffled = list(events)
    random.shuffle(shuffled)
    first, second = (user_mean([u for u, _ in e], [v / 64 for _, v in e]) for e in (events, shuffled))
    assert first[0].tolist() == second[0].tolist()
    assert first[1].tolist() == second[1].tolist()  # sixty-fourths: their sums are exact in any order


def test_user_mean_refuses_a_value_without_user():
    with pytest.raises(BenchbaseError, match=r"metrics\.user_mean: the shapes are user \(1,\), values \(2,\)"):
        user_mean([1], [0.0, 1.0])
