"""The contracts of data sets and of whole recommenders."""

import copy
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np

from ..data import DatasetConfig, Log, Prepared, prepare
from ..data.sequences import Events
from ..specs import BuildContext, Config, DataContext, DatasetSpec, RecommenderSpec
from .build import part_config, same_written_down
from .checking import check
from .world import tiny_context, tiny_world


class DatasetContract:
    """Inherit it with `spec` and `config`; `folders` hold the files it reads."""

    spec: ClassVar[DatasetSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    folders: ClassVar[tuple[Any, ...]] = ()

    def log(self, seed: int = 0) -> Log:
        with TemporaryDirectory() as cache:
            log = self.spec.build(part_config(self.spec, self.config), self.context(cache, seed))
        check(isinstance(log, Log), f"build returned a {type(log).__name__}. Expected a benchbase.data.Log.")
        assert isinstance(log, Log)
        return log

    def context(self, cache: str, seed: int = 0) -> DataContext:
        return DataContext(folders=self.folders, cache=Path(cache), seed=seed)

    def prepared(self, cache: str, **arguments: Any) -> Prepared:
        config = part_config(self.spec, self.config)
        check(isinstance(config, DatasetConfig), f"{type(config).__name__} is no benchbase.data.DatasetConfig")
        assert isinstance(config, DatasetConfig)
        return prepare(self.spec, config, self.context(cache, arguments.pop("seed", 0)), fetch=False, **arguments)

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_the_log_is_whole(self) -> None:
        log = self.log()
        n = len(log.user)
        check(n > 0, "the log has no event")
        columns = {"item": log.item, "timestamp": log.timestamp, **log.actions, **log.features, **log.marks}
        for name, column in columns.items():
            check(column is None or len(column) == n, f"column {name} has {0 if column is None else len(column)} "
                  f"values. Expected {n}, one per event.")
        for name, numbers in {**log.actions, **log.features, **log.marks}.items():
            check(np.isfinite(np.asarray(numbers, dtype=float)).all(), f"column {name} is not finite")
        if log.timestamp is not None:
            check(np.asarray(log.timestamp).dtype.kind in "iu", "timestamps are no whole seconds")

    def test_it_prepares_to_sorted_interactions_of_known_items(self) -> None:
        with TemporaryDirectory() as cache:
            made = self.prepared(cache)
            events, catalogue = made.interactions, made.catalogue
            check(events.offsets[0] == 0 and events.offsets[-1] == events.n_events, "offsets do not span the events")
            check((np.diff(events.offsets) > 0).all(), "a user has no event")
            check(events.item.min() >= 1 and events.item.max() <= catalogue.n_items, "an item is not in the catalogue")
            check(len(np.unique(events.item)) == catalogue.n_items, "an item of the catalogue has no event")
            for name, groups in made.groups.items():
                check(groups.code.shape == (events.n_users,), f"groups by {name} are not one for each user")
            if events.timestamp is not None:
                step = np.diff(events.timestamp)
                step[events.offsets[1:-1] - 1] = 0
                check((step >= 0).all(), "a user's events are not in the order of time")
            check(catalogue.has_time == (events.timestamp is not None), "has_time does not say whether there are times")

    def test_prepared_again_it_is_the_same(self) -> None:
        with TemporaryDirectory() as cache, TemporaryDirectory() as elsewhere:
            first, cached, fresh = self.prepared(cache), self.prepared(cache), self.prepared(elsewhere)
            refreshed = self.prepared(cache, refresh=True)
            for name, other in (("from the cache", cached), ("elsewhere", fresh), ("refreshed", refreshed)):
                check(first.hash == other.hash, f"prepared {name}, its hash is another. Expected equal content.")
                for field in fields(first.interactions):
                    one, two = getattr(first.interactions, field.name), getattr(other.interactions, field.name)
                    check(np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two,
                          f"prepared {name}, its {field.name} is another")

    def test_what_it_reads_are_its_files(self) -> None:
        with TemporaryDirectory() as cache:
            files = self.spec.files(part_config(self.spec, self.config), self.context(cache))
            for path in files:
                check(Path(path).is_file(), f"files lists {path}, which is no file")


    def test_its_truth_does_not_depend_on_how_rows_are_taken_in(self) -> None:
        if self.spec.truth is None:
            raise SkipTest("it knows of no truth")
        config = part_config(self.spec, self.config)
        with TemporaryDirectory() as cache:
            made = self.prepared(cache)
            items, attention = _some_rows(made)
            whole, parts, nothing = (self.spec.truth(config, made.catalogue, 0) for _ in range(3))
            check(isinstance(whole.traces, frozenset), f"its traces are {whole.traces!r}. Expected a frozenset.")
            check(nothing.metrics() == {}, "it has figures before it has seen a row")
            whole.observe(items, {}, attention)
            for some in (slice(7, None), slice(7)):
                parts.observe(items[some], {}, attention[:, some])
            for figures, others in ((whole.metrics(), parts.metrics()), (whole.chance(), parts.chance())):
                check(figures.keys() == others.keys() and np.allclose(
                    list(figures.values()), [others[name] for name in figures], equal_nan=True),
                    f"rows in two parts give {others}. Expected {figures}, as all at once do.")


def _some_rows(made: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """The first events of every user, 0 after the last, and causal weights of attention on them in two layers."""
    offsets, length = made.interactions.offsets, 8
    items = np.zeros((len(offsets) - 1, length), np.int64)
    for row, (first, stop) in enumerate(pairwise(offsets)):
        some = made.interactions.item[first:stop][:length]
        items[row, : len(some)] = some
    weights = np.random.default_rng(0).random((2, len(items), length, length)) * np.tri(length) * (items > 0)[:, None]
    return items, (weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-9)).astype(np.float32)


class RecommenderContract:
    """Inherit it with `spec` and `config`; `tolerance` is for methods that solve numerically."""

    spec: ClassVar[RecommenderSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    tolerance: ClassVar[float] = 1e-6
    names_matter: ClassVar[bool] = False
    """Whether it knows items by id (features), so that other ids mean other scores."""

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def train(self) -> Events:
        """The tiny world's events by user."""
        log = tiny_world().interactions
        assert log.timestamp is not None
        return Events(log.offsets.copy(), log.item.copy(), log.timestamp.copy(), log.actions.copy())

    def histories(self) -> tuple[Events, np.ndarray]:
        """Some users' events and when they ask; the second has none, the third an item only others had."""
        items = [self.train().item[:6], np.zeros(0, np.int32), np.array([30], np.int32), self.train().item[20:23]]
        offsets = np.cumsum([0, *map(len, items)])
        item = np.concatenate(items).astype(np.int32)
        events = Events(offsets, item, 1_600_000_000 + np.arange(len(item)), np.zeros((len(item), 2), np.float32))
        return events, np.full(len(items), 1_700_000_000)

    def fitted(self, train: Events | None = None) -> Any:
        part = self.spec.build(part_config(self.spec, self.config), self.context())
        part.fit(self.train() if train is None else train, self.context())
        return part

    def scores(self, part: Any, histories: Events, times: np.ndarray) -> np.ndarray:
        return np.asarray(part.scores(histories, times))

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_scores_are_finite_and_one_per_item(self) -> None:
        scores = self.scores(self.fitted(), *self.histories())
        check(scores.shape == (4, 30), f"scores have shape {scores.shape}. Expected {(4, 30)}: rows, items.")
        check(np.isfinite(scores).all(), "a score is not finite, perhaps of a user without history")
        check(scores.std() > 0, "all scores are equal. Expected some order of items.")

    def test_fitted_again_it_scores_the_same(self) -> None:
        first, second = (self.scores(self.fitted(), *self.histories()) for _ in range(2))
        check(np.array_equal(first, second), "fitted twice on the same events, scores differ")
        part = self.fitted()
        for _ in range(2):
            again = self.scores(part, *self.histories())
            check(np.array_equal(first, again), "asked twice, scores differ")

    def test_fitted_on_more_it_forgets_what_it_was_fitted_on_before(self) -> None:
        """As after every period of a stream."""
        whole = self.train()
        ends = whole.offsets[:-1] + (whole.lengths + 1) // 2
        index = np.concatenate([np.arange(a, b) for a, b in zip(whole.offsets, ends, strict=False)])
        half = Events(np.concatenate([[0], np.cumsum(ends - whole.offsets[:-1])]), whole.item[index],
                      whole.timestamp[index], whole.actions[index])
        part = self.fitted(half)
        part.fit(self.train(), self.context())
        first, second = self.scores(self.fitted(), *self.histories()), self.scores(part, *self.histories())
        check(np.abs(first - second).max() <= self.tolerance, "fitted on half of the events before, scores differ")

    def test_it_changes_nothing_that_it_is_given(self) -> None:
        train, (histories, times) = self.train(), self.histories()
        copies = copy.deepcopy((train, histories, times))
        self.scores(self.fitted(train), histories, times)
        for given, kept in zip((train, histories), copies[:2], strict=True):
            for field in fields(given):
                equal = np.array_equal(getattr(given, field.name), getattr(kept, field.name))
                check(equal, f"{field.name} was changed")
        check(np.array_equal(times, copies[2]), "times were changed")

    def test_rows_do_not_see_each_other(self) -> None:
        part, (histories, times) = self.fitted(), self.histories()
        together = self.scores(part, histories, times)
        for row in range(histories.n_rows):
            cut = slice(histories.offsets[row], histories.offsets[row + 1])
            alone = Events(np.array([0, cut.stop - cut.start]), histories.item[cut], histories.timestamp[cut],
                           histories.actions[cut])
            scores = self.scores(part, alone, times[row : row + 1])[0]
            check(np.allclose(scores, together[row], atol=self.tolerance), f"row {row} scores otherwise when alone")

    def test_names_of_items_do_not_matter(self) -> None:
        if self.names_matter:
            raise SkipTest("it knows items by id")
        order = np.random.default_rng(0).permutation(30).astype(np.int32)

        def renamed(events: Events) -> Events:
            return Events(events.offsets, order[events.item - 1] + 1, events.timestamp, events.actions)

        histories, times = self.histories()
        plain = self.scores(self.fitted(), histories, times)
        other = self.scores(self.fitted(renamed(self.train())), renamed(histories), times)
        check(np.allclose(plain, other[:, order], atol=self.tolerance), "under other item ids, items have other scores")
