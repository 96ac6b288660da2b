"""Effects and interactions come from matched configurations only, and their intervals hold the truth."""

from itertools import product

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.stats import contrast_test, interactions, main_effects

USERS = np.random.default_rng(0).random((1, 80))
LIFT = {"plain": 0.0, "boost": 0.3, "softmax": 0.0, "bpr": -0.2}


def row(modifier: str, objective: str, extra: float = 0.0) -> tuple[dict[str, str], np.ndarray]:
    return {"modifier": modifier, "objective": objective}, USERS + LIFT[modifier] + LIFT[objective] + extra


GRID = [row(m, o) for m in ("plain", "boost") for o in ("softmax", "bpr")]


def noisy(seed: int, seeds: int = 3) -> list[tuple[dict[str, str], np.ndarray]]:
    """The same grid, each run with noise of its own."""
    rng = np.random.default_rng(seed)
    return [(factors, values + rng.normal(size=(seeds, values.shape[1]))) for factors, values in GRID]


def test_a_full_additive_grid_gives_back_its_effects():
    objective, modifier = sorted(main_effects(GRID), key=lambda e: e.difference)[0], main_effects(GRID)[0]
    assert (modifier.factor, modifier.base, modifier.level, modifier.pairs) == ("modifier", "boost", "plain", 2)
    assert modifier.difference == pytest.approx(-0.3)
    effects = {e.factor: e for e in main_effects(GRID)}
    assert (effects["objective"].base, effects["objective"].level) == ("bpr", "softmax")
    assert effects["objective"].difference == pytest.approx(0.2)
    assert objective.factor == "modifier"


def test_an_additive_grid_has_no_interaction():
    (found,) = interactions(GRID)
    assert (found.factors, found.bases, found.levels, found.fours) == (
        ("modifier", "objective"), ("boost", "bpr"), ("plain", "softmax"), 1
    )
    assert found.difference == pytest.approx(0, abs=1e-12)


def test_a_planted_interaction_is_found():
    table = [*GRID[:3], row("boost", "bpr", extra=0.4)]
    (found,) = interactions(table, references={"modifier": "plain", "objective": "softmax"})
    assert (found.bases, found.levels) == (("plain", "softmax"), ("boost", "bpr"))
    assert found.difference == pytest.approx(0.4)
    assert [found.low, found.high] == pytest.approx([0.4, 0.4])


def test_an_interaction_is_the_mean_over_every_setting_of_the_other_factors():
    rows = [({"a": a, "b": b, "c": c}, USERS + {"11": 0.2, "11x": 0.6}.get(a + b + c.strip("o"), 0))
            for a, b, c in product("01", "01", "ox")]
    found = {each.factors: each for each in interactions(rows)}
    assert found["a", "b"].difference == pytest.approx(0.4) and found["a", "b"].fours == 2
    assert found["a", "c"].difference == pytest.approx(0.2)  # (0 + 0.4) / 2
    lone = {each.factors: each for each in interactions(rows[:-1])}  # without 1 1 x: one four is left
    assert (lone["a", "b"].difference, lone["a", "b"].fours) == (pytest.approx(0.2), 1)


def test_a_partial_grid_uses_matched_pairs_only():
    """Without the match, the levels' plain means would mix the two factors: -0.3 + 0.1 here."""
    effects = {e.factor: e for e in main_effects(GRID[:3])}
    assert effects["modifier"].difference == pytest.approx(-0.3)
    assert effects["modifier"].pairs == effects["objective"].pairs == 1
    assert interactions(GRID[:3]) == []


def test_levels_that_never_meet_have_no_effect():
    assert main_effects([GRID[0], GRID[3]]) == []


def test_interactions_are_averaged():
    table = [*GRID[:3], row("boost", "bpr", extra=0.4)]
    effects = {e.factor: e for e in main_effects(table)}
    assert effects["modifier"].difference == pytest.approx(-(0.3 + 0.7) / 2)


def test_the_reference_is_the_base_of_its_pairs_which_come_first():
    rows = [({"loss": name}, USERS + gain) for name, gain in (("b", 0.1), ("c", 0.3), ("a", 0.0))]
    found = main_effects(rows, references={"loss": "b"})
    assert [(e.base, e.level, round(e.difference, 6)) for e in found] == [
        ("b", "a", -0.1), ("b", "c", 0.2), ("a", "c", 0.3)
    ]
    assert [(e.base, e.level) for e in main_effects(rows)] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_the_interval_is_that_of_the_test_over_users_and_seeds_of_the_mean_over_pairs():
    table = noisy(1)
    modifier = main_effects(table, 0.9)[0]
    expected = contrast_test([(sign / 2, values) for sign, (_, values) in zip((1, 1, -1, -1), table, strict=True)], 0.9)
    assert (modifier.difference, modifier.low, modifier.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    (found,) = interactions(table, 0.9)
    expected = contrast_test([(sign, values) for sign, (_, values) in zip((1, -1, -1, 1), table, strict=True)], 0.9)
    assert (found.difference, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_with_one_pair_it_is_the_difference_of_two_entries():
    first, second = noisy(2, 5)[0], noisy(3, 3)[1]
    (effect,) = main_effects([first, second], references={"objective": "softmax"})
    expected = contrast_test([(1, second[1]), (-1, first[1])])
    assert expected.mean == pytest.approx(second[1].mean() - first[1].mean())
    assert (effect.difference, effect.low, effect.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_seeds_may_be_unequal_and_every_run_counts_in_the_means():
    table = [noisy(4, seeds)[place] for place, seeds in enumerate((5, 3, 1, 4))]
    effect = main_effects(table)[0]
    means = [values.mean() for _, values in table]
    assert effect.difference == pytest.approx((means[0] - means[2] + means[1] - means[3]) / 2)
    (found,) = interactions(table)
    assert found.difference == pytest.approx(means[3] - means[1] - means[2] + means[0])


def test_the_order_of_rows_and_of_names_in_them_moves_nothing():
    table = noisy(5)
    turned = [(dict(reversed(factors.items())), values) for factors, values in table[::-1]]
    assert main_effects(table) == main_effects(turned)
    assert interactions(table) == interactions(turned)


@pytest.mark.parametrize("luck", [0.0, 0.1])
def test_the_intervals_hold_the_truth_as_often_as_they_say(luck):
    """Nine configurations, three seeds; users differ in what they like, seeds in their luck."""
    rng, held = np.random.default_rng(6), {"effect": [], "interaction": []}
    lift = {"a0": 0, "a1": 0.1, "a2": 0.2, "b0": 0, "b1": -0.1, "b2": 0.1}
    for _ in range(150):
        table = []
        for a, b in product("012", "012"):
            taste, seeds = rng.normal(size=(1, 40)) / 5, luck * rng.normal(size=(3, 1))
            gain = lift["a" + a] + lift["b" + b] + 0.3 * (a + b == "22")
            table.append(({"a": a, "b": b}, gain + taste + seeds + rng.normal(size=(3, 40)) / 3))
        for effect in main_effects(table):
            truth = lift[effect.factor + effect.level] - lift[effect.factor + effect.base] + 0.1 * (effect.level == "2")
            held["effect"].append(effect.low <= truth <= effect.high)
        for found in interactions(table):
            held["interaction"].append(found.low <= 0.3 * (found.levels == ("2", "2")) <= found.high)
    assert all(0.93 <= np.mean(each) <= 0.98 for each in held.values()), {k: np.mean(v) for k, v in held.items()}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], r"stats\.attribution: rows name the factors \[\]\. Expected the same in each\."),
        (
            [GRID[0], ({"modifier": "plain"}, USERS)],
            r"rows name the factors \[\('modifier',\), \('modifier', 'objective'\)\]",
        ),
        ([GRID[0], GRID[0]], r"stats\.attribution: \{'modifier': 'plain', .*\} stands twice\. Expected one row per"),
        (
            [GRID[0], (GRID[1][0], USERS[:, 1:])],
            r"values over \[79, 80\] users\. Expected the same in each row",
        ),
        ([({"a": "b"}, [0.1])], r"\{'a': 'b'\}: values of shape \(1,\)\. Expected \(seeds, users\)"),
        ([({"a": "b"}, [[0.1]]), ({"a": "c"}, [[0.1]])], r"of shape \(1, 1\). Expected \(seeds, users\), of two users"),
        ([({"a": "b"}, [[np.nan]])], r"a value is nan or infinite"),
    ],
)
def test_a_table_that_does_not_match_is_explained(table, message):
    with pytest.raises(BenchbaseError, match=message):
        main_effects(table)


@pytest.mark.parametrize(("references", "message"), [
    ({"modifier": "boots"}, r"the reference of modifier is 'boots'. Expected one of its levels: boost, plain."),
    ({"layout": "items"}, r"the reference of layout is 'items'. Expected one of its levels: none."),
])  # fmt: skip
def test_a_reference_that_is_no_level_is_explained(references, message):
    for function in (main_effects, interactions):
        with pytest.raises(BenchbaseError, match=message):
            function(GRID, references=references)
