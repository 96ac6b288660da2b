"""Each baseline against a slow, independent computation of the same numbers, and the laws of all three."""

import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from benchbase_baselines import benchbase_recommenders
from benchbase_baselines.counts import cooccurrences, user_items
from benchbase_baselines.itemknn import largest
from pydantic import ValidationError

from benchbase import BuildContext
from benchbase.data.sequences import Events

SPECS = {spec.name: spec for spec in benchbase_recommenders()}
N_ITEMS = 15
NEVER_SEEN = 15
every = pytest.mark.parametrize("name", list(SPECS))


def events(rows: list[list[int]]) -> Events:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    item = np.array([item for row in rows for item in row], dtype=np.int32)
    return Events(offsets, item, np.zeros(len(item), np.int64), np.zeros((len(item), 0), np.float32))


def context(n_items: int = N_ITEMS) -> BuildContext:
    return BuildContext(n_items=n_items, n_users=40, window=10, max_tokens=10)


def some_users(seed: int = 0) -> list[list[int]]:
    """Forty users with repeats; one has nothing, and the last item occurs nowhere."""
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.ones(N_ITEMS - 1))
    return [[], *(list(rng.choice(N_ITEMS - 1, rng.integers(1, 9), p=law) + 1) for _ in range(39))]


TRAIN = some_users()
HISTORIES = [[3, 5, 3], [], [NEVER_SEEN], [1, 2, NEVER_SEEN], [7]]


def fitted(name: str, train: list[list[int]] = TRAIN, **parameters: Any) -> Any:
    spec = SPECS[name]
    recommender = spec.build(spec.config(**parameters), context())
    recommender.fit(events(train), context())
    return recommender


def scores(recommender: Any, histories: list[list[int]] = HISTORIES) -> np.ndarray:
    return np.asarray(recommender.scores(events(histories), np.zeros(len(histories), np.int64)))


class TestPopularity:
    @pytest.mark.parametrize(("count", "expected"), [("events", [3, 2, 1]), ("users", [2, 2, 1])])
    def test_by_hand(self, count: str, expected: list[int]) -> None:
        found = scores(fitted("popularity", [[1, 1, 2], [1], [3, 2], []], count=count), [[2], []])
        assert found.tolist() == 2 * [expected + [0] * (N_ITEMS - 3)]


def slow_neighbours(train: list[list[int]], k: int, shrinkage: float, normalise: bool) -> dict[int, dict[int, float]]:
    """Similar items by item, from sets and dictionaries."""
    users: dict[int, set[int]] = defaultdict(set)
    for user, row in enumerate(train):
        for item in row:
            users[item].add(user)
    kept = {}
    for i in users:
        near = {j: len(users[i] & users[j]) / ((len(users[i]) * len(users[j])) ** 0.5 + shrinkage)
                for j in users if j != i and users[i] & users[j]}
        least = sorted(near.values(), reverse=True)[min(k, len(near)) - 1] if near else 0.0
        best = [j for j in near if near[j] > least - 1e-12]
        total = sum(near[j] for j in best) if normalise else 1.0
        kept[i] = {j: near[j] / total for j in best}
    return kept


class TestItemKNN:
    @pytest.mark.parametrize("normalise", [True, False])
    @pytest.mark.parametrize("shrinkage", [0.0, 3.0])
    @pytest.mark.parametrize("k", [1, 4, 100])
    def test_equals_sets_and_dictionaries(self, k: int, shrinkage: float, normalise: bool) -> None:
        near = slow_neighbours(TRAIN, k, shrinkage, normalise)
        expected = np.zeros((len(HISTORIES), N_ITEMS))
        for row, history in enumerate(HISTORIES):
            for item in set(history):
                for other, similarity in near.get(item, {}).items():
                    expected[row, other - 1] += similarity
        assert expected.any()
        found = scores(fitted("itemknn", neighbours=k, shrinkage=shrinkage, normalise=normalise))
        np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_neighbours_tied_with_the_last_all_stay(self) -> None:
        train = [[4, 9, 2, 6], [4, 9], [2], [6], [9]]
        recommender = fitted("itemknn", train, neighbours=2)  # 9 is nearest to 4; 2 and 6 are tied
        assert np.flatnonzero(scores(recommender, [[4]])[0]).tolist() == [1, 5, 8]

    def test_largest_against_a_sort(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(200):
            values, k = rng.integers(0, 4, rng.integers(0, 9)).astype(float), rng.integers(1, 6)
            expected = [i for i, value in enumerate(values) if (values > value).sum() < k]
            assert largest(values, k).tolist() == expected

    def test_a_train_part_without_events(self) -> None:
        assert not scores(fitted("itemknn", [[], []])).any()


class TestEASE:
    @pytest.mark.parametrize("l2", [0.5, 20.0])
    def test_equals_one_ridge_regression_per_item(self, l2: float) -> None:
        matrix = user_items(events(TRAIN), N_ITEMS).toarray()
        expected = np.zeros((N_ITEMS, N_ITEMS))
        for item in range(N_ITEMS):
            others = [j for j in range(N_ITEMS) if j != item]
            tall = np.vstack([matrix[:, others], np.sqrt(l2) * np.eye(N_ITEMS - 1)])
            goal = np.concatenate([matrix[:, item], np.zeros(N_ITEMS - 1)])
            expected[others, item] = np.linalg.lstsq(tall, goal, rcond=None)[0]
        recommender = fitted("ease", l2=l2)
        np.testing.assert_allclose(recommender.weights, expected, atol=1e-10)
        np.testing.assert_allclose(scores(recommender), user_items(events(HISTORIES), N_ITEMS).toarray() @ expected,
                                   atol=1e-10)

    def test_float32_is_near(self) -> None:
        exact, near = fitted("ease", l2=5.0), fitted("ease", l2=5.0, precision="float32")
        assert near.weights.dtype == np.float32 and scores(near).dtype == np.float32
        np.testing.assert_allclose(near.weights, exact.weights, atol=1e-5)

    def test_weights_lie_by_rows(self) -> None:
        assert fitted("ease").weights.flags.c_contiguous  # else every product with histories copies them

    def test_a_catalogue_beyond_the_memory_is_refused_before_anything_is_built(self) -> None:
        spec = SPECS["ease"]
        assert spec.refuse is not None
        assert spec.refuse(spec.config(memory_gib=2), context(100_000)) == (
            "ease: an item-item matrix of 100,000 items takes 82.0 GiB. Expected at most memory_gib: 2. "
            "Raise it or set precision: float32."
        )
        smaller = spec.refuse(spec.config(memory_gib=2, precision="float32"), context(100_000))
        assert smaller == ("ease: an item-item matrix of 100,000 items takes 41.0 GiB. "
                           "Expected at most memory_gib: 2. Raise it.")
        assert spec.refuse(spec.config(memory_gib=100), context(100_000)) is None


class TestCounts:
    @pytest.mark.parametrize("block_bytes", [1, 16 * N_ITEMS * 4, 10**6])
    def test_blocks_of_any_size_hold_the_same_counts(self, block_bytes: int) -> None:
        matrix = user_items(events(TRAIN), N_ITEMS)
        blocks = list(cooccurrences(matrix, block_bytes))
        assert [start for start, _ in blocks] == list(np.cumsum([0, *(b.shape[0] for _, b in blocks)])[:-1])
        dense = matrix.toarray()
        np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in blocks]), dense.T @ dense)

    def test_repeats_count_once(self) -> None:
        assert user_items(events([[2, 2, 1]]), 3).toarray().tolist() == [[1, 1, 0]]


class TestAllThree:
    @every
    def test_scores_are_finite_and_one_per_item(self, name: str) -> None:
        found = scores(fitted(name))
        assert found.shape == (len(HISTORIES), N_ITEMS)
        assert np.isfinite(found).all()

    @every
    def test_an_item_never_seen_scores_zero_and_teaches_nothing(self, name: str) -> None:
        found = scores(fitted(name))
        assert (found[:, NEVER_SEEN - 1] == 0).all()
        np.testing.assert_array_equal(found[2], found[1])

    @every
    def test_rows_do_not_depend_on_their_chunk(self, name: str) -> None:
        recommender = fitted(name)
        alone = np.vstack([scores(recommender, [history]) for history in HISTORIES])
        np.testing.assert_array_equal(scores(recommender), alone)
        assert scores(recommender, []).shape == (0, N_ITEMS)

    @every
    def test_fitting_twice_gives_the_same_numbers(self, name: str) -> None:
        np.testing.assert_array_equal(scores(fitted(name)), scores(fitted(name)))

    @every
    def test_the_order_of_users_does_not_matter(self, name: str) -> None:
        np.testing.assert_allclose(scores(fitted(name)), scores(fitted(name, TRAIN[::-1])), atol=1e-12)

    @every
    def test_scores_can_be_written_to(self, name: str) -> None:
        assert scores(fitted(name)).flags.writeable


class TestSpecs:
    def test_guards(self) -> None:
        assert {name: spec.guard for name, spec in SPECS.items()} == {
            "popularity": True, "itemknn": True, "ease": False,
        }

    def test_no_seed_changes_any_of_them(self) -> None:
        assert all(spec.deterministic for spec in SPECS.values())

    @pytest.mark.parametrize(("name", "wrong"), [("popularity", {"count": "likes"}), ("itemknn", {"neighbours": 0}),
                                                 ("itemknn", {"shrinkage": -1}), ("ease", {"l2": 0}),
                                                 ("ease", {"memory_gib": 0}), ("ease", {"k": 3})])
    def test_parameters_out_of_bounds_are_refused(self, name: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPECS[name].config(**wrong)

    def test_nothing_here_loads_torch_and_describing_loads_no_scipy(self) -> None:
        code = ("import sys, benchbase_baselines as p; p.benchbase_recommenders(); assert 'scipy' not in sys.modules;"
                "import benchbase_baselines.ease, benchbase_baselines.itemknn; assert 'torch' not in sys.modules")
        subprocess.run([sys.executable, "-c", code], check=True)
