"""Each baseline against a slow computation of the same numbers, or another library, and the laws of all."""

import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from benchbase_baselines import benchbase_recommenders
from benchbase_baselines.counts import cooccurrences, transitions, user_items
from benchbase_baselines.itemknn import largest
from implicit.nearest_neighbours import CosineRecommender
from pydantic import ValidationError
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from benchbase import BuildContext
from benchbase.data.sequences import Events

SPECS = {spec.name: spec for spec in benchbase_recommenders()}
N_ITEMS = 15
NEVER_SEEN = 15
every = pytest.mark.parametrize("name", list(SPECS))


def events(rows: list[list[int]], times: list[int] | None = None) -> Events:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    item = np.array([item for row in rows for item in row], dtype=np.int32)
    time = np.zeros(len(item), np.int64) if times is None else np.array(times, dtype=np.int64)
    return Events(offsets, item, time, np.zeros((len(item), 0), np.float32))


def context(n_items: int = N_ITEMS, seed: int = 0) -> BuildContext:
    return BuildContext(n_items=n_items, n_users=40, window=10, max_tokens=10, seed=seed)


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
    return np.asarray(recommender.scores(events(histories), np.ones(len(histories), np.int64)))


class TestPopularity:
    @pytest.mark.parametrize(("count", "expected"), [("events", [3, 2, 1]), ("users", [2, 2, 1])])
    def test_by_hand(self, count: str, expected: list[int]) -> None:
        found = scores(fitted("popularity", [[1, 1, 2], [1], [3, 2], []], count=count), [[2], []])
        assert found.tolist() == 2 * [expected + [0] * (N_ITEMS - 3)]


DAY = 86_400


class TestRecentPopularity:
    def fitted(self, train: Events, days: float, n_items: int = N_ITEMS) -> Any:
        spec = SPECS["recent_popularity"]
        recommender = spec.build(spec.config(days=days), context(n_items))
        recommender.fit(train, context(n_items))
        return recommender

    def scores(self, recommender: Any, times: list[int]) -> np.ndarray:
        return np.asarray(recommender.scores(events([[] for _ in times]), np.array(times, np.int64)))

    @pytest.mark.parametrize("n_items", [3, N_ITEMS, 400])
    @pytest.mark.parametrize("days", [0.5, 2, 1000])
    def test_equals_counting_for_every_query(self, days: float, n_items: int) -> None:
        rng = np.random.default_rng(0)
        items = rng.integers(1, n_items, 100).tolist()  # the last item occurs nowhere
        times = rng.integers(0, 9 * DAY, 100).tolist()
        train = events([items[:40], [], items[40:]], times)
        asked = [0, 1, DAY, *(times[:9]), 7 * DAY, max(times), max(times) + 1, 99 * DAY]
        found = self.scores(self.fitted(train, days, n_items), asked)
        for row, time in zip(found, asked, strict=True):
            until = min(time, max(times) + 1)
            count = Counter(item for item, at in zip(items, times, strict=True) if until - days * DAY <= at < until)
            assert row.tolist() == [count[item] for item in range(1, n_items + 1)]

    def test_nothing_at_the_query_or_later_moves_a_score(self) -> None:
        rng = np.random.default_rng(1)
        items, times = rng.integers(1, N_ITEMS, 60), rng.integers(0, 5 * DAY, 60)
        query = int(times[7])
        later = times >= query
        other = np.where(later, rng.integers(1, N_ITEMS, 60), items)
        moved = np.where(later, times + rng.integers(0, DAY, 60), times)
        one, two = (self.scores(self.fitted(events([i.tolist()], t.tolist()), 2), [query])
                    for i, t in ((items, times), (other, moved)))
        assert one.any() and later.sum() > 5
        np.testing.assert_array_equal(one, two)

    def test_long_after_the_train_part_its_last_days_count(self) -> None:
        recommender = self.fitted(events([[1, 2, 2]], [0, 3 * DAY, 3 * DAY]), 1)
        assert self.scores(recommender, [50 * DAY])[0, :2].tolist() == [0, 2]

    def test_a_train_part_without_events(self) -> None:
        assert not self.scores(self.fitted(events([[], []]), 3), [0, 5]).any()

    def test_it_needs_times(self) -> None:
        assert SPECS["recent_popularity"].resolve("needs", SPECS["recent_popularity"].config()).time


class TestMarkov:
    @pytest.mark.parametrize("backoff", [0.0, 1.0, 7.5])
    def test_equals_a_loop_over_pairs(self, backoff: float) -> None:
        follow: dict[int, Counter[int]] = defaultdict(Counter)
        share = Counter(item for row in TRAIN for item in row)
        for row in TRAIN:
            for before, after in pairwise(row):
                follow[before][after] += 1
        histories = [*HISTORIES, *([item] for item in range(1, N_ITEMS))]
        found = scores(fitted("markov", backoff=backoff), histories)
        for row, history in zip(found, histories, strict=True):
            after = follow[history[-1]] if history else Counter[int]()
            mu = backoff if after else 1.0
            expected = [(after[j] + mu * share[j] / share.total()) / (after.total() + mu)
                        for j in range(1, N_ITEMS + 1)]
            np.testing.assert_allclose(row, expected, rtol=1e-14)

    def test_scores_are_a_law(self) -> None:
        found = scores(fitted("markov"))
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1.0)

    def test_only_the_last_item_counts(self) -> None:
        found = scores(fitted("markov"), [[3, 5, 7], [7], [7, 3]])
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.array_equal(found[1], found[2])

    def test_a_train_part_without_events(self) -> None:
        assert not scores(fitted("markov", [[], []])).any()

    def test_what_follows_across_users_is_no_transition(self) -> None:
        counts = transitions(events([[], [1, 2], [], [3], [2, 1, 2], []]), 3).toarray()
        assert counts.tolist() == [[0, 0, 0], [0, 2, 0], [1, 0, 0], [0, 0, 0]]


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

    @pytest.mark.filterwarnings("ignore:Method expects CSR input")  # the library hands itself another format
    @pytest.mark.parametrize("k", [1, 4, N_ITEMS - 1])
    def test_equals_the_nearest_neighbours_of_two_libraries_by_cosine(self, k: int) -> None:
        matrix = user_items(events(TRAIN), N_ITEMS)
        found = fitted("itemknn", neighbours=k, normalise=False).similarity.toarray()
        search = NearestNeighbors(n_neighbors=k, metric="cosine").fit(matrix.T.toarray())
        near = 1 - search.kneighbors()[0]  # (n_items, k), without the item itself, the nearest first
        other = CosineRecommender(K=k + 1, num_threads=1)  # the item itself stands among them
        other.fit(sparse.csr_matrix(matrix), show_progress=False)
        theirs = other.similarity.toarray()
        np.fill_diagonal(theirs, 0.0)
        for item in range(N_ITEMS):
            ours = np.sort(found[item])[::-1][:k]  # of those tied with the last, we keep all
            np.testing.assert_allclose(ours, near[item], atol=1e-12)
            np.testing.assert_allclose(ours, np.sort(theirs[item])[::-1][:k], atol=1e-12)
            kept = theirs[item] > ours[-1] + 1e-12
            np.testing.assert_allclose(found[item, kept], theirs[item, kept], atol=1e-12)

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

    @pytest.mark.parametrize("l2", [0.5, 20.0])
    def test_equals_the_ridge_regressions_of_a_library(self, l2: float) -> None:
        matrix = user_items(events(TRAIN), N_ITEMS).toarray()
        weights = fitted("ease", l2=l2).weights
        for item in range(N_ITEMS):
            others = np.delete(np.arange(N_ITEMS), item)
            ridge = Ridge(alpha=l2, fit_intercept=False, solver="cholesky").fit(matrix[:, others], matrix[:, item])
            np.testing.assert_allclose(weights[others, item], ridge.coef_, atol=1e-10)

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


def objective(users: np.ndarray, items: np.ndarray, has: np.ndarray, alpha: float, l2: float) -> float:
    """What alternating least squares minimise, from full matrices."""
    error = (1 + alpha * has) * (has - users @ items.T) ** 2
    return float(error.sum() + l2 * ((users**2).sum() + (items**2).sum()))


def slow_step(fixed: np.ndarray, has: np.ndarray, alpha: float, l2: float) -> np.ndarray:
    """The vectors of all rows of `has`, given those of its columns, one dense solve after the other."""
    found = []
    for row in has:
        weight = np.diag(1 + alpha * row)
        found.append(np.linalg.solve(fixed.T @ weight @ fixed + l2 * np.eye(fixed.shape[1]), fixed.T @ weight @ row))
    return np.array(found)


class TestIALS:
    ALPHA, L2 = 3.0, 0.5
    has = user_items(events(TRAIN), N_ITEMS).toarray()

    def fitted(self, **parameters: Any) -> Any:
        return fitted("ials", **{"factors": 4, "alpha": self.ALPHA, "l2": self.L2} | parameters)

    @pytest.mark.parametrize("iterations", [1, 6])
    def test_equals_dense_alternating_least_squares(self, iterations: int) -> None:
        items = np.random.default_rng(0).normal(size=(N_ITEMS, 4)) * 0.1 / 2
        for _ in range(iterations):
            users = slow_step(items, self.has, self.ALPHA, self.L2)
            items = slow_step(users, self.has.T, self.ALPHA, self.L2)
        np.testing.assert_allclose(self.fitted(iterations=iterations, solver="cholesky").items, items, atol=1e-9)

    def test_a_history_is_solved_for_exactly(self) -> None:
        recommender = self.fitted()
        has = user_items(events(HISTORIES), N_ITEMS).toarray()
        expected = slow_step(recommender.items, has, self.ALPHA, self.L2)
        np.testing.assert_allclose(recommender.users(events(HISTORIES)), expected, atol=1e-12)
        np.testing.assert_allclose(scores(recommender), expected @ recommender.items.T, atol=1e-12)

    @pytest.mark.parametrize("solver", ["cg", "cholesky"])
    def test_every_iteration_lowers_the_objective(self, solver: str) -> None:
        reached = []
        for iterations in range(1, 8):
            recommender = self.fitted(iterations=iterations, solver=solver)
            users = recommender.users(events(TRAIN))
            reached.append(objective(users, recommender.items, self.has, self.ALPHA, self.L2))
        assert (np.diff(reached) < 0).all()
        assert reached[-1] < 0.9 * objective(np.zeros((40, 4)), np.zeros((N_ITEMS, 4)), self.has, self.ALPHA, self.L2)

    def test_conjugate_gradients_come_to_the_exact_solution(self) -> None:
        quick, exact = (self.fitted(iterations=400, solver=solver) for solver in ("cg", "cholesky"))
        np.testing.assert_allclose(scores(quick), scores(exact), atol=1e-5)

    def test_the_seed_decides_the_start_and_nothing_else_does(self) -> None:
        made = [SPECS["ials"].build(SPECS["ials"].config(iterations=1), context(seed=seed)) for seed in (3, 3, 4)]
        for recommender, seed in zip(made, (3, 3, 4), strict=True):
            recommender.fit(events(TRAIN), context(seed=seed))
        np.testing.assert_array_equal(made[0].items, made[1].items)
        assert not np.array_equal(made[0].items, made[2].items)

    def test_threads_are_those_of_linear_algebra_and_change_no_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from benchbase_baselines import ials

        asked, factors = [], []
        library = ials.AlternatingLeastSquares

        def spy(*given: Any, **named: Any) -> Any:
            asked.append(named["num_threads"])
            return library(*given, **named)

        monkeypatch.setattr(ials, "AlternatingLeastSquares", spy)
        for threads in (1, 2):
            with threadpoolctl.threadpool_limits(threads, user_api="blas"):
                factors.append(self.fitted().items)
                assert ials.algebra_threads() == threads  # as it was before
        assert asked == [1, 2]
        np.testing.assert_array_equal(*factors)

    def test_without_the_library_it_is_refused_with_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = SPECS["ials"]
        assert spec.refuse is not None and spec.refuse(spec.config(), context()) is None
        monkeypatch.setitem(sys.modules, "implicit", None)
        assert spec.refuse(spec.config(), context()) == (
            "ials: the library implicit is not installed. Expected the extra `ials` of benchbase-baselines. "
            "Install the library: pip install 'implicit>=0.7.2'."
        )

    def test_rows_hardly_depend_on_their_chunk(self) -> None:
        recommender = self.fitted()
        alone = np.vstack([scores(recommender, [history]) for history in HISTORIES])
        np.testing.assert_allclose(scores(recommender), alone, atol=1e-14)


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


class TestAll:
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

    @pytest.mark.parametrize("name", [name for name in SPECS if name != "ials"])  # whose product is a dense one
    def test_rows_do_not_depend_on_their_chunk(self, name: str) -> None:
        recommender = fitted(name)
        alone = np.vstack([scores(recommender, [history]) for history in HISTORIES])
        np.testing.assert_array_equal(scores(recommender), alone)

    @every
    def test_no_row_is_no_score(self, name: str) -> None:
        assert scores(fitted(name), []).shape == (0, N_ITEMS)

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
            "popularity": True, "recent_popularity": False, "markov": False, "itemknn": True, "ease": False,
            "ials": False,
        }

    def test_no_seed_changes_any_but_one(self) -> None:
        assert [name for name, spec in SPECS.items() if not spec.deterministic] == ["ials"]

    @pytest.mark.parametrize(("name", "wrong"), [("popularity", {"count": "likes"}), ("itemknn", {"neighbours": 0}),
                                                 ("itemknn", {"shrinkage": -1}), ("ease", {"l2": 0}),
                                                 ("ease", {"memory_gib": 0}), ("ease", {"k": 3}),
                                                 ("recent_popularity", {"days": 0}), ("markov", {"backoff": -1}),
                                                 ("ials", {"l2": 0}), ("ials", {"alpha": 0}), ("ials", {"factors": 0}),
                                                 ("ials", {"iterations": 0}), ("ials", {"solver": "lu"})])
    def test_parameters_out_of_bounds_are_refused(self, name: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPECS[name].config(**wrong)

    def test_nothing_here_loads_torch_and_describing_loads_no_scipy(self) -> None:
        code = ("import sys, benchbase_baselines as p; p.benchbase_recommenders(); assert 'scipy' not in sys.modules;"
                "from benchbase_baselines import ease, ials, itemknn, markov, recent;"
                "assert 'torch' not in sys.modules")
        subprocess.run([sys.executable, "-c", code], check=True)
