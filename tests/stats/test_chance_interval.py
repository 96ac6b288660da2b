"""The interval of a scorer at chance is exact: binomial for equal candidates, enumerated for unequal ones."""

from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from benchbase.errors import BenchbaseError
from benchbase.metrics import chance, parse, values
from benchbase.stats import chance as chance_module
from benchbase.stats import exact_interval
from benchbase.stats.chance import SPARED


@pytest.mark.parametrize(("events", "candidates"), [(6040, 3416), (500, 20), (30, 11), (1, 12), (100_000, 101)])
@pytest.mark.parametrize(("level", "tests"), [(0.95, 1), (0.999, 1), (0.999, 60)])
def test_equal_candidates_are_binomial(events, candidates, level, tests):
    got = exact_interval("recall@10", events, candidates, level, tests)
    law, tail = scipy_stats.binom(events, 10 / candidates), (1 - level) / 2 / tests
    assert (got.low, got.high) == (law.ppf(tail), law.isf(tail))
    assert got.expected == pytest.approx(law.mean())


def test_unequal_candidates_are_poisson_binomial():
    candidates = np.random.default_rng(0).integers(5, 60, 300)
    law = np.ones(1)
    for p in np.minimum(10 / candidates, 1):
        law = np.convolve(law, [1 - p, p])
    got = exact_interval("hr@10", 300, candidates, 0.99)
    inside = np.arange(int(got.low), int(got.high) + 1)
    below, beyond = law[: inside[0]].sum(), law[inside[-1] + 1 :].sum()
    assert below <= 0.005 < below + law[inside[0]]
    assert beyond <= 0.005 < beyond + law[inside[-1]]
    assert got.expected == pytest.approx(np.arange(301) @ law)


def enumerated(name: str, candidates: list[int], tail: float) -> tuple[float, float]:
    """The ends from every combination of ranks."""
    metric = parse(name)
    gain = [values(metric, np.arange(n), np.zeros(n), np.full(n, n)) for n in candidates]
    totals = np.sort([sum(picked) for picked in product(*gain)])
    low = next(t for t in totals if (totals < t - 1e-9).mean() <= tail < (totals <= t + 1e-9).mean())
    high = next(t for t in totals if (totals > t + 1e-9).mean() <= tail)
    return float(low), float(high)


@pytest.mark.parametrize("name", ["ndcg@3", "mrr@2", "mrr@9", "ndcg@1"])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_other_metrics_are_enumerated_to_the_grid_and_never_too_narrow(name, level):
    candidates, tail = [4, 7, 7, 5, 2], (1 - level) / 2
    low, high = enumerated(name, candidates, tail)
    wider_low, wider_high = enumerated(name, candidates, tail * (1 - SPARED))
    got = exact_interval(name, 5, candidates, level)
    assert wider_low - 1e-4 < got.low <= low + 1e-12
    assert high - 1e-12 <= got.high < wider_high + 1e-4


@pytest.mark.parametrize("name", ["ndcg@10", "mrr@5"])
@pytest.mark.parametrize("points", [2_000, 5_000, 20_000])
def test_a_coarse_grid_widens_the_interval_a_little_at_both_ends(name, points, monkeypatch):
    fine = exact_interval(name, 500, 20, 0.99)
    monkeypatch.setattr(chance_module, "WORK", points * (1 + chance_module.FEW))
    coarse = exact_interval(name, 500, 20, 0.99)
    allowed = 30 * 500 / points
    assert fine.low - allowed < coarse.low < fine.low < fine.high < coarse.high < fine.high + allowed
    assert fine.low - coarse.low == pytest.approx(coarse.high - fine.high, abs=0.05 * allowed)


@pytest.mark.parametrize("name", ["recall@10", "ndcg@10", "mrr@10"])
def test_a_random_scorer_lands_outside_as_rarely_as_said(name):
    rng, candidates = np.random.default_rng(5), np.random.default_rng(6).integers(50, 400, 200)
    interval = exact_interval(name, 200, candidates, 0.8)
    ranks = rng.integers(0, candidates, (600, 200))
    totals = [values(parse(name), row, np.zeros(200), candidates).sum() for row in ranks]
    outside = np.mean([not interval.low <= total <= interval.high for total in totals])
    assert (0.02 if name == "recall@10" else 0.14) < outside < 0.25
    assert np.mean(totals) == pytest.approx(interval.expected, rel=0.03)


@pytest.mark.parametrize("name", ["recall@10", "ndcg@10"])
def test_a_constant_scorer_is_at_the_expected_total(name):
    candidates = np.arange(20, 70)
    got = exact_interval(name, 50, candidates)
    assert got.expected == pytest.approx(chance(parse(name), candidates).sum())
    assert got.low < got.expected < got.high


def test_more_tests_widen_the_interval():
    one, many = (exact_interval("recall@10", 1000, 100, 0.95, tests) for tests in (1, 50))
    assert many.low < one.low and one.high < many.high


def test_where_every_rank_counts_nothing_is_left_to_chance():
    got = exact_interval("recall@10", 40, 7)
    assert (got.low, got.expected, got.high) == (40, 40, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5), r"stats\.exact_interval: events, candidates and tests start at 1\. Expected whole numbers\."),
        ((5, 0), r"start at 1"),
        ((5, 5, 0.9, 0), r"start at 1"),
        ((5, [3, 4]), r"stats\.exact_interval: candidates of shape \(2,\) for 5 events\. Expected one number, or one"),
        ((5, 5, 1.0), r"stats: a level of 1\."),
    ],
)
def test_impossible_questions_are_explained(arguments, message):
    with pytest.raises(BenchbaseError, match=message):
        exact_interval("recall@10", *arguments)


def test_an_unknown_metric_is_explained():
    with pytest.raises(BenchbaseError, match=r"no ranking metric named 'recal'"):
        exact_interval("recal@10", 5, 5)
