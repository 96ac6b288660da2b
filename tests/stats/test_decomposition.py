"""The analysis of variance of a grid's means: sums of squares as elsewhere, luck taken off, intervals that hold."""

from itertools import product

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.stats import spread

USERS = np.random.default_rng(0).random((1, 50))


def table(gain, sizes, noise=0.0, seed=0, seeds=3, luck=0.0, users=50):
    """Rows of a complete grid of factors a, b, ...; `gain` tells the mean of each cell."""
    rng = np.random.default_rng(seed)
    shared = rng.random((1, users))
    return [(dict(zip("abcd", map(str, place), strict=False)),
             gain(*place) + shared + noise * rng.normal(size=(seeds, users)) + luck * rng.normal(size=(seeds, 1)))
            for place in product(*map(range, sizes))]


def shares(found):
    return {source.factors: source.share for source in found.sources}


def test_additive_effects_leave_nothing_to_the_interaction():
    found = spread(table(lambda a, b: 0.1 * a + 0.3 * b, (3, 2)), resamples=50)
    assert found.levels == {"a": ("0", "1", "2"), "b": ("0", "1")} and found.cells == 6
    assert [source.df for source in found.sources] == [2, 1, 2]
    squares = {source.factors: source.sum_sq for source in found.sources}
    assert squares["a",] == pytest.approx(2 * 2 * 0.1**2) and squares["b",] == pytest.approx(6 * 0.15**2)
    assert squares["a", "b"] == pytest.approx(0, abs=1e-20)
    assert shares(found)["b",] == pytest.approx(0.135 / 0.175)
    assert found.luck == pytest.approx(0, abs=1e-9)


def test_a_planted_interaction_has_its_share():
    found = spread(table(lambda a, b: (-1) ** (a + b), (2, 2)), resamples=50)
    assert shares(found) == pytest.approx({("a",): 0, ("b",): 0, ("a", "b"): 1}, abs=1e-9)


@pytest.mark.parametrize("sizes", [(3, 2), (2, 2, 3)])
def test_the_sums_of_squares_are_those_of_an_analysis_of_variance(sizes):
    pandas = pytest.importorskip("pandas")
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rows = table(lambda *place: 0.1 * sum(place) + 0.2 * (max(place) == min(place)), sizes, noise=1, seeds=2, users=4)
    found = spread(rows, resamples=20)
    frame = pandas.DataFrame([{**factors, "y": value} for factors, values in rows for value in values.ravel()])
    names = "abc"[: len(sizes)]
    expected = anova_lm(ols("y ~ " + " * ".join(f"C({name})" for name in names), frame).fit())
    per_cell = 2 * 4
    for source in found.sources:
        factors = source.factors or tuple(names)
        line = expected.loc[":".join(f"C({name})" for name in factors)]
        assert source.sum_sq * per_cell == pytest.approx(line["sum_sq"]) and source.df == line["df"]
    assert len(found.sources) == len(expected) - 1


def test_the_shares_add_up_and_their_ends_hold_them():
    found = spread(table(lambda a, b, c: 0.2 * a + 0.1 * b * c, (2, 2, 3), noise=1))
    assert sum(source.share for source in found.sources) == pytest.approx(1)
    assert all(0 <= source.low <= source.share <= source.high <= 1 for source in found.sources)
    assert [source.factors for source in found.sources][-1] == () and 0 < found.luck < 1


def test_where_nothing_but_luck_spreads_the_interactions_reach_zero():
    """What a share says without a correction: all of the squares belong to something."""
    reached, luck = [], []
    for seed in range(40):
        found = spread(table(lambda a, b: 0, (3, 3), noise=1, seed=seed), resamples=200)
        reached.append([source.low == 0 for source in found.sources])
        luck.append(found.luck)
    assert np.mean(reached) > 0.93 and np.mean(luck) > 0.8


@pytest.mark.parametrize(("noise", "luck"), [(0.5, 0.0), (0.5, 0.05), (0.05, 0.05)])
def test_the_intervals_hold_the_truth_as_often_as_they_say_or_oftener(noise, luck):
    """Whether users with one seed or seeds as a whole are the greater luck."""
    def gain(a, b):
        return 0.1 * a + 0.05 * (b == 1) + 0.15 * (a == b == 1)

    truth = shares(spread(table(gain, (3, 3)), resamples=2))
    held = []
    for seed in range(120):
        found = spread(table(gain, (3, 3), noise=noise, seed=seed, luck=luck), resamples=200)
        held.append([source.low <= truth[source.factors] <= source.high for source in found.sources])
    assert np.mean(held, axis=0).min() >= 0.9


@pytest.mark.parametrize(("noise", "luck"), [(1, 0.0), (0.05, 0.3), (0.3, 0.05)])
def test_luck_is_told_as_large_as_it_is(noise, luck):
    """Without effects, all of the spread; between these worlds seeds and users change places."""
    told, spreads = [], []
    for seed in range(60):
        found = spread(table(lambda a, b: 0, (4, 4), noise=noise, seed=seed, luck=luck), resamples=200)
        told.append(sum(source.luck for source in found.sources))
        spreads.append(sum(source.sum_sq for source in found.sources))
    assert 0.85 < np.mean(told) / np.mean(spreads) < 1.2


def test_neither_order_nor_names_of_levels_move_a_sum():
    rows = table(lambda a, b: 0.1 * a * b, (3, 2), noise=1)
    first, turned = spread(rows), spread(rows[::-1])
    assert first == turned
    renamed = spread([({"a": "xyz"[int(each["a"])], "b": each["b"]}, values) for each, values in rows])
    for one, other in zip(first.sources, renamed.sources, strict=True):
        assert (one.sum_sq, one.share, one.low, one.high) == pytest.approx(
            (other.sum_sq, other.share, other.low, other.high)
        )


def test_of_a_partial_grid_a_complete_part_is_taken():
    rows = table(lambda a, b: 0.1 * a + b, (4, 3), noise=0.1)
    partial = [row for row in rows if row[0] != {"a": "3", "b": "1"}]
    found = spread(partial, references={"a": "2"})
    assert found.levels == {"a": ("2", "0", "1"), "b": ("0", "1", "2")} and found.cells == 9
    alone = spread([row for row in rows if row[0]["a"] != "3"], references={"a": "2"})
    assert found == alone


def test_a_configuration_beside_the_grid_does_not_break_it():
    rows = [({**factors, "scorer": "dot"}, values) for factors, values in table(lambda a, b: a + b, (2, 2))]
    beside = ({"a": "0", "b": "0", "scorer": "cosine"}, USERS)
    found = spread([*rows, beside], resamples=20)
    assert found.cells == 4 and found.levels["scorer"] == ("dot",)
    assert [source.factors for source in found.sources] == [("a",), ("b",), ("a", "b")]


def test_there_is_none_where_no_two_factors_cross_or_nothing_spreads():
    rows = table(lambda a, b: a + b, (2, 2))
    assert spread(rows[:3]) is None  # a corner is missing
    assert spread([rows[0], rows[3]]) is None
    assert spread(table(lambda a: a, (3,))) is None
    assert spread(table(lambda a, b: 0, (2, 2))) is None


def test_one_seed_and_one_user_are_enough_for_sums():
    found = spread(table(lambda a, b: a + b, (2, 2), seeds=1, users=1), resamples=20)
    assert shares(found) == pytest.approx({("a",): 0.5, ("b",): 0.5, ("a", "b"): 0}, abs=1e-9) and found.luck == 0


def test_refusals():
    rows = table(lambda a, b: a, (2, 2))
    with pytest.raises(BenchbaseError, match=r"the reference of a is '9'. Expected one of its levels: 0, 1."):
        spread(rows, references={"a": "9"})
    with pytest.raises(BenchbaseError, match=r"stats: 0 resamples. Expected at least 1"):
        spread(rows, resamples=0)
    with pytest.raises(BenchbaseError, match=r"a level of 2. Expected a share between 0 and 1"):
        spread(rows, level=2)
