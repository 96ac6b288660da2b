"""Main effects come from matched pairs only."""

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.stats import bootstrap_interval, main_effects

USERS = np.random.default_rng(0).random(80)
LIFT = {"plain": 0.0, "boost": 0.3, "softmax": 0.0, "bpr": -0.2}


def row(modifier: str, objective: str, extra: float = 0.0) -> tuple[dict[str, str], np.ndarray]:
    return {"modifier": modifier, "objective": objective}, USERS + LIFT[modifier] + LIFT[objective] + extra


GRID = [row(m, o) for m in ("plain", "boost") for o in ("softmax", "bpr")]


def test_a_full_additive_grid_gives_back_its_effects():
    objective, modifier = sorted(main_effects(GRID), key=lambda e: e.difference)[0], main_effects(GRID)[0]
    assert (modifier.factor, modifier.base, modifier.level, modifier.pairs) == ("modifier", "boost", "plain", 2)
    assert modifier.difference == pytest.approx(-0.3)
    effects = {e.factor: e for e in main_effects(GRID)}
    assert (effects["objective"].base, effects["objective"].level) == ("bpr", "softmax")
    assert effects["objective"].difference == pytest.approx(0.2)
    assert objective.factor == "modifier"


def test_a_partial_grid_uses_matched_pairs_only():
    """Without the match, the levels' plain means would mix the two factors: -0.3 + 0.1 here."""
    effects = {e.factor: e for e in main_effects(GRID[:3])}
    assert effects["modifier"].difference == pytest.approx(-0.3)
    assert effects["modifier"].pairs == effects["objective"].pairs == 1


def test_levels_that_never_meet_have_no_effect():
    assert main_effects([GRID[0], GRID[3]]) == []


def test_interactions_are_averaged():
    table = [*GRID[:3], row("boost", "bpr", extra=0.4)]
    effects = {e.factor: e for e in main_effects(table)}
    assert effects["modifier"].difference == pytest.approx(-(0.3 + 0.7) / 2)


def test_the_interval_is_over_users_of_the_mean_over_pairs():
    noise = np.random.default_rng(1).normal(0, 1, (4, 80))
    table = [(factors, values + n) for (factors, values), n in zip(GRID, noise, strict=True)]
    modifier = main_effects(table, 0.9, 500, 3)[0]
    per_user = (table[0][1] - table[2][1] + table[1][1] - table[3][1]) / 2
    assert modifier.difference == pytest.approx(per_user.mean())
    assert (modifier.low, modifier.high) == pytest.approx(bootstrap_interval(per_user, 0.9, 500, 3), abs=0.08)
    assert modifier.low < modifier.difference < modifier.high


def test_the_order_of_rows_moves_nothing():
    backwards = main_effects(GRID[::-1])
    for mine, other in zip(main_effects(GRID), backwards, strict=True):
        assert (mine.factor, mine.base, mine.level, mine.pairs) == (other.factor, other.base, other.level, other.pairs)
        assert mine.difference == pytest.approx(other.difference, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], r"stats\.main_effects: rows name the factors \[\]\. Expected the same in each\."),
        (
            [GRID[0], ({"modifier": "plain"}, USERS)],
            r"rows name the factors \[\('modifier',\), \('modifier', 'objective'\)\]",
        ),
        ([GRID[0], GRID[0]], r"stats\.main_effects: \{'modifier': 'plain', .*\} stands twice\. Expected one row per"),
        (
            [GRID[0], (GRID[1][0], USERS[1:])],
            r"values of shapes \[\(79,\), \(80,\)\]\. Expected the same \(users,\) in each",
        ),
        ([({"a": "b"}, [[0.1]])], r"values of shapes \[\(1, 1\)\]"),
    ],
)
def test_a_table_that_does_not_match_is_explained(table, message):
    with pytest.raises(BenchbaseError, match=message):
        main_effects(table)
