"""The test over users and seeds: it is the paired t-test where seeds say nothing, and errs no oftener than it may."""

import numpy as np
import pytest

from benchbase import stats
from benchbase.errors import BenchbaseError

USERS = 40


def draw(rng: np.random.Generator, seeds: int, ratio: float, mean: float = 0.0) -> np.ndarray:
    """Differences (seeds, users); seeds vary by `ratio` times the standard error over seed-averaged users."""
    users, noise = rng.normal(size=USERS), 2 * rng.normal(size=(seeds, USERS))
    error = np.sqrt((1 + 4 / seeds) / USERS)
    return mean * error + users + noise + ratio * error * rng.normal(size=seeds)[:, None]


def test_one_seed_is_the_paired_t_test():
    d = draw(np.random.default_rng(0), 1, 0)
    found = stats.crossed_test(d, 0.9)
    assert found.p == pytest.approx(stats.paired_t(d[0]), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(stats.t_interval(d[0], 0.9), rel=1e-12)
    assert stats.crossed_test(d).detectable == pytest.approx(stats.minimal_detectable_difference(d[0]), rel=1e-12)
    assert (found.mean, found.df) == (pytest.approx(d.mean()), USERS - 1)


def test_seeds_that_do_not_differ_are_the_paired_t_test():
    d = draw(np.random.default_rng(1), 3, 0)
    d -= d.mean(1, keepdims=True) - 0.3
    assert stats.crossed_test(d).p == pytest.approx(stats.paired_t(d.mean(0)), rel=1e-12)
    assert stats.crossed_test(np.repeat(d[:1], 3, 0)).p == pytest.approx(stats.paired_t(d[0]), rel=1e-9)


def test_the_mean_squares_are_those_of_a_two_way_analysis_of_variance():
    pandas = pytest.importorskip("pandas")
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    d = draw(np.random.default_rng(2), 4, 5)
    seed, user = np.indices(d.shape)
    frame = pandas.DataFrame({"d": d.ravel(), "seed": seed.ravel(), "user": user.ravel()})
    table = anova_lm(ols("d ~ C(seed) + C(user)", frame).fit())
    squares = table["sum_sq"] / table["df"]
    total = squares["C(user)"] + squares["C(seed)"] - squares["Residual"]
    spread = (squares**2 / table["df"]).sum()
    found = stats.crossed_test(d)
    assert found.se**2 * d.size == pytest.approx(total)
    assert found.df == np.floor(total**2 / spread)


@pytest.mark.parametrize("ratio", [0, 1, 5])
def test_it_rarely_finds_a_difference_where_there_is_none(ratio):
    rng = np.random.default_rng(3)
    draws = [draw(rng, 3, ratio) for _ in range(2000)]
    wrong = np.mean([stats.crossed_test(d).p <= 0.05 for d in draws])
    assert wrong <= 0.065
    if ratio == 5:  # what seeds taken as fixed would announce
        assert np.mean([stats.paired_t(d.mean(0)) <= 0.05 for d in draws]) > 0.4


def test_it_finds_what_there_is():
    rng = np.random.default_rng(4)
    calm = np.mean([stats.crossed_test(draw(rng, 3, 0, 4)).p <= 0.05 for _ in range(300)])
    rough = np.mean([stats.crossed_test(draw(rng, 5, 1, 5)).p <= 0.05 for _ in range(300)])
    assert calm > 0.75 and rough > 0.85


def test_p_and_interval_agree():
    rng = np.random.default_rng(5)
    for ratio in (0, 1, 5):
        for _ in range(50):
            found = stats.crossed_test(draw(rng, 3, ratio, 2))
            assert (found.p <= 0.05) is not (found.low <= 0 <= found.high)


def test_turned_round_it_says_the_same():
    d = draw(np.random.default_rng(6), 3, 2, 1)
    one, other = stats.crossed_test(d), stats.crossed_test(-d[::-1, ::-1])
    assert (one.p, one.df, one.mean) == pytest.approx((other.p, other.df, -other.mean))


def test_no_spread_at_all():
    assert stats.crossed_test(np.zeros((3, 5))).p == 1
    assert stats.crossed_test(np.full((3, 5), 0.1)).p < 1e-300
    luck = np.zeros((3, 50))
    luck[0] = 1  # users agree, seeds do not
    assert stats.crossed_test(luck).p == pytest.approx(0.4226, abs=1e-4)


def test_seeds_are_paired_in_order_and_one_run_stands_for_all():
    first, second = np.arange(6.0).reshape(3, 2), np.ones((1, 2))
    assert stats.seed_differences(first, second).tolist() == (first - 1).tolist()
    assert stats.seed_differences(first, first[::-1]).mean(1).tolist() == [-4, 0, 4]


def test_with_unequal_seeds_the_mean_is_that_over_all_runs():
    rng = np.random.default_rng(7)
    first, second = rng.random((5, 9)), rng.random((3, 9))
    d = stats.seed_differences(first, second)
    assert d.shape == (3, 9)
    assert d.mean(0) == pytest.approx(first.mean(0) - second.mean(0))
    assert d.mean(1) - d.mean() == pytest.approx(
        (first[:3] - second).mean(1) - (first[:3] - second).mean()
    )


def test_a_contrast_of_one_system_is_the_test_of_its_mean():
    rng = np.random.default_rng(8)
    for seeds, ratio in ((1, 0), (3, 0), (3, 5), (5, 1)):
        d = draw(rng, seeds, ratio, 1)
        one, other = stats.contrast_test([(1, d)], 0.9), stats.crossed_test(d, 0.9)
        assert (one.mean, one.se, one.df, one.p, one.low, one.high, one.detectable) == pytest.approx(
            (other.mean, other.se, other.df, other.p, other.low, other.high, other.detectable)
        )


def test_a_contrast_of_single_runs_is_the_paired_t_test():
    rng = np.random.default_rng(9)
    first, second, third = (draw(rng, 1, 0) for _ in range(3))
    found = stats.contrast_test([(1, first), (-2, second), (1, third)])
    assert found.p == pytest.approx(stats.paired_t((first - 2 * second + third)[0]), rel=1e-12)
    assert stats.contrast_test([(1, first), (-1, first)]).p == 1


def test_every_system_of_a_contrast_counts_all_its_seeds():
    rng = np.random.default_rng(10)
    parts = [(1, draw(rng, 5, 1)), (-1, draw(rng, 3, 1)), (0.5, draw(rng, 1, 0))]
    found = stats.contrast_test(parts)
    assert found.mean == pytest.approx(sum(weight * values.mean() for weight, values in parts))
    turned = stats.contrast_test([(weight, values[::-1]) for weight, values in parts[::-1]])
    assert (turned.low, turned.high, turned.df) == pytest.approx((found.low, found.high, found.df))


@pytest.mark.parametrize("ratio", [0, 1, 5])
def test_a_contrast_rarely_differs_from_none_and_knows_more_of_seeds_than_their_pairing(ratio):
    """A difference of differences of four systems with three seeds each."""
    rng, wrong, widths = np.random.default_rng(11), [], []
    for _ in range(1000):
        parts = [(sign, draw(rng, 3, ratio)) for sign in (1, -1, -1, 1)]
        found = stats.contrast_test(parts)
        paired = stats.crossed_test(sum(sign * values for sign, values in parts))
        wrong.append(found.p <= 0.05)
        widths.append([found.high - found.low, paired.high - paired.low])
    assert np.mean(wrong) <= 0.065
    if ratio == 5:  # so few seeds each make Satterthwaite's degrees of freedom careful
        assert np.mean(wrong) >= 0.02
        mean = np.mean(widths, axis=0)
        assert mean[0] < 0.75 * mean[1]


def test_refusals():
    with pytest.raises(BenchbaseError, match=r"shape \(3, 1\). Expected \(seeds, users\), of two users or more."):
        stats.crossed_test(np.ones((3, 1)))
    with pytest.raises(BenchbaseError, match=r"a difference is nan or infinite. Expected a finite one for each user."):
        stats.crossed_test([[0, np.nan]])
    with pytest.raises(BenchbaseError, match=r"a level of 2. Expected a share between 0 and 1"):
        stats.crossed_test(np.ones((2, 2)), 2)
    with pytest.raises(BenchbaseError, match=r"stats.contrast_test: values of shapes \[\(1, 2\), \(1, 3\)\]. Expected"):
        stats.contrast_test([(1, np.ones((1, 2))), (-1, np.ones((1, 3)))])
    with pytest.raises(BenchbaseError, match=r"stats.contrast_test: values of shapes \[\]. Expected \(seeds, users\)"):
        stats.contrast_test([])
