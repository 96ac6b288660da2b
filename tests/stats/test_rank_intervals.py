"""Intervals over users and seeds: neither names nor order of entries move a rank, and coverage is what is said."""

from itertools import permutations

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.stats import Interval, bootstrap, mean_interval, rank_intervals


def entries(seed: int = 0, users: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"a": 3, "b": 3, "c": 2, "d": 1}
    return {name: rng.normal(0.1 * i, 1, (n, users)) for i, (name, n) in enumerate(sizes.items())}


def test_no_permutation_of_entries_moves_a_rank():
    pool = entries() | {"twin of a": entries()["a"]}
    expected = rank_intervals(pool, resamples=300)
    assert len(set(expected.values())) > 2
    for order in permutations(pool):
        assert rank_intervals({name: pool[name] for name in order}, resamples=300) == expected


def test_no_name_moves_a_rank():
    pool = entries()
    renamed = rank_intervals(dict(zip("zyxw", pool.values(), strict=True)), resamples=300)
    assert list(renamed.values()) == list(rank_intervals(pool, resamples=300).values())


def test_twins_share_the_average_rank_always():
    pool = entries() | {"best": np.full((1, 60), 9.0)}
    pool["twin"] = pool["best"].copy()
    got = rank_intervals(pool, resamples=200)
    assert got["best"] == got["twin"] == Interval(1.5, 1.5, 1.5)


def test_means_that_differ_by_rounding_are_tied():
    values = np.random.default_rng(0).random((1, 99))
    got = rank_intervals({"a": values, "b": values * (1 + 1e-15)}, resamples=50)
    assert got["a"] == got["b"] == Interval(1.5, 1.5, 1.5)


def test_a_clear_order_is_certain_and_turns_round_for_losses():
    base = np.random.default_rng(0).random((2, 50))
    pool = {"low": base, "mid": base + 1, "high": base + 2}
    assert [i.point for i in rank_intervals(pool).values()] == [3, 2, 1]
    assert rank_intervals(pool, higher_is_better=False)["low"] == Interval(1, 1, 1)


def test_equal_systems_could_stand_anywhere():
    rng = np.random.default_rng(1)
    got = rank_intervals({str(i): rng.random((1, 30)) for i in range(3)})
    assert min(i.low for i in got.values()) == 1 and max(i.high for i in got.values()) == 3
    assert all(i.low <= i.point <= i.high for i in got.values())


def test_users_are_drawn_together_for_all_entries():
    hard = np.random.default_rng(2).normal(0, 10, (1, 40))  # users differ far more than the systems do
    got = rank_intervals({"a": hard, "b": hard + 0.01})
    assert got["b"] == Interval(1, 1, 1)


def test_seeds_widen_a_rank_interval():
    users = np.random.default_rng(3).random(40)
    steady = {"a": np.stack([users, users]), "b": np.stack([users + 0.1, users + 0.1])}
    shaky = {"a": np.stack([users, users]), "b": np.stack([users - 0.3, users + 0.5])}
    assert rank_intervals(steady)["b"] == Interval(1, 1, 1)
    assert rank_intervals(shaky)["b"] == Interval(1, 1, 2)


def test_runs_of_users_and_seeds_are_ranked_like_arrays():
    pool = {name: values[:2] for name, values in entries().items()}
    runs = {name: {s: (range(60), row) for s, row in enumerate(values)} for name, values in pool.items()}
    assert rank_intervals(runs, resamples=100) == rank_intervals(pool, resamples=100)


def test_mean_interval_of_one_seed_is_the_users_own():
    values = np.random.default_rng(4).normal(3, 1, (1, 500))
    got = mean_interval(values, 0.9)
    half = 1.6449 * values.std() / np.sqrt(500)
    assert got.point == values.mean()
    assert (got.low, got.high) == pytest.approx((got.point - half, got.point + half), abs=0.15 * half)


def test_mean_interval_covers_the_truth_over_users_and_seeds():
    def sample(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.normal(0, 0.3, (12, 1)) + rng.normal(0, 1, (1, 80)) + rng.normal(0, 1, (12, 80))

    nested = [mean_interval(sample(seed), 0.8, 300) for seed in range(200)]
    users_only = [mean_interval(sample(seed).mean(0, keepdims=True), 0.8, 300) for seed in range(200)]
    covered = [np.mean([i.low <= 0 <= i.high for i in some]) for some in (nested, users_only)]
    assert 0.72 < covered[0] < 0.9
    assert covered[0] > covered[1]


def test_resampled_means_do_not_move_with_blocks(monkeypatch):
    pool = list(entries().values())
    whole = bootstrap.resampled_means(pool, 50, 0)
    monkeypatch.setattr(bootstrap, "BLOCK", 70)
    np.testing.assert_allclose(bootstrap.resampled_means(pool, 50, 0), whole, rtol=1e-12)


def test_resampled_means_are_means_over_drawn_users_and_seeds():
    values = np.array([[1.0, 10.0], [100.0, 1000.0]])
    means = bootstrap.resampled_means([values], 400, 0)[:, 0]
    pairs = [values[np.ix_(seeds, users)].mean() for seeds in np.ndindex(2, 2) for users in np.ndindex(2, 2)]
    assert set(np.round(means, 9)) == set(np.round(pairs, 9))


def test_entries_without_common_users_are_explained():
    with pytest.raises(
        BenchbaseError, match=r"stats\.rank_intervals: 'a' and 'b' have 3 and 4 users, 1 of them in one"
    ):
        rank_intervals({"a": np.ones((1, 3)), "b": np.ones((1, 4))})
    with pytest.raises(BenchbaseError, match=r"stats\.rank_intervals: no entries\. Expected at least one\."):
        rank_intervals({})
    with pytest.raises(BenchbaseError, match=r"stats\.rank_intervals: 'b': a value is nan"):
        rank_intervals({"a": np.ones((1, 2)), "b": np.array([[1, np.nan]])})
    with pytest.raises(BenchbaseError, match=r"stats: a level of 2\."):
        rank_intervals({"a": np.ones((1, 2))}, level=2)
