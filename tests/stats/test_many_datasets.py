"""Friedman and Nemenyi agree with independent libraries and with the published table."""

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats as scipy_stats

from benchbase.errors import BenchbaseError
from benchbase.stats import critical_difference, friedman, nemenyi

SCORES = np.random.default_rng(0).integers(0, 6, (9, 4)) / 5 + np.array([0, 0.1, 0.3, 0.8])


def test_friedman_equals_scipy_and_ranks_from_one():
    got = friedman(SCORES)
    theirs = scipy_stats.friedmanchisquare(*SCORES.T)
    assert (got.statistic, got.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-12)
    assert got.mean_ranks == pytest.approx(scipy_stats.rankdata(-SCORES, axis=1).mean(0))
    assert np.argmin(got.mean_ranks) == 3  # the best system has the smallest rank
    assert np.argmax(friedman(SCORES, higher_is_better=False).mean_ranks) == 3


def test_nemenyi_equals_scikit_posthocs():
    theirs = scikit_posthocs.posthoc_nemenyi_friedman(SCORES).to_numpy()
    np.testing.assert_allclose(nemenyi(SCORES), theirs, atol=1e-8)


@pytest.mark.parametrize(("systems", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_published_quantile(systems, q):
    """Source: Demsar 2006, table 5 (a)."""
    assert critical_difference(systems, 14) == pytest.approx(q * np.sqrt(systems * (systems + 1) / 84), abs=1e-3)


def test_two_systems_as_far_apart_as_the_critical_difference_have_p_alpha():
    ranks = np.array(friedman(SCORES).mean_ranks)
    apart = abs(ranks[0] - ranks[3])
    alpha = nemenyi(SCORES)[0, 3]
    assert 0 < alpha < 0.5
    assert critical_difference(4, 9, alpha) == pytest.approx(apart, rel=1e-4)


def test_data_sets_that_are_all_ties_are_no_evidence():
    got = friedman(np.ones((5, 3)))
    assert (got.statistic, got.p, got.mean_ranks) == (0, 1, (2, 2, 2))
    np.testing.assert_allclose(nemenyi(np.ones((5, 3))), 1)


@pytest.mark.parametrize("test", [friedman, nemenyi, lambda scores: critical_difference(scores.shape[1], len(scores))])
@pytest.mark.parametrize("shape", [(4, 3), (5, 2)])
def test_too_few_data_sets_or_systems_are_refused(test, shape):
    message = (
        rf"stats\.many: {shape[1]} systems over {shape[0]} data sets\. Expected at least 3 over 5\. Nearest: paired"
    )
    with pytest.raises(BenchbaseError, match=message):
        test(np.random.default_rng(0).random(shape))


@pytest.mark.parametrize("scores", [np.ones(5), np.full((5, 3), np.nan)])
def test_a_table_with_holes_is_explained(scores):
    with pytest.raises(
        BenchbaseError, match=r"stats\.many: scores of shape .*Expected \(data sets, systems\), all finite"
    ):
        friedman(scores)


def test_critical_difference_wants_a_share():
    with pytest.raises(BenchbaseError, match=r"stats: a level of 5\."):
        critical_difference(3, 5, 5)
