"""Counting equals a slow sort, whatever the filter and the candidates; nothing but scores can move a rank."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchbase import metrics
from benchbase.config import Protocol
from benchbase.data import TRAIN
from benchbase.errors import RunError
from benchbase.evaluate import Ranking, Seen, count, metric_values, rank
from benchbase.nn import ItemBias, Objective
from benchbase.specs import Config, ObjectiveSpec
from benchbase.testing import world as worlds
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.train import fit

NOTHING = Seen(np.zeros(0, np.int64), np.zeros(0, np.int64))


def sorted_counts(scores, target, seen, allowed):
    """One row at a time: sort the candidates and look where the target's score stands."""
    found = []
    for row, goal in enumerate(target):
        gone = set(seen.item[seen.row == row])
        column = [] if allowed is None else np.broadcast_to(allowed, scores.shape)[row]
        inside = [i for i in range(1, scores.shape[1] + 1) if i not in gone and (allowed is None or column[i - 1])]
        if goal not in inside:
            found.append((len(inside), 0, len(inside)))
            continue
        order = sorted(-scores[row, i - 1] for i in inside)
        mine = -scores[row, goal - 1]
        found.append((order.index(mine), order.count(mine) - 1, len(inside)))
    return found


@st.composite
def rankings(draw):
    """Scores out of few values, so that ties abound, with items seen and items that are no candidates."""
    seed, rows, items = draw(st.integers(0, 10**6)), draw(st.integers(1, 6)), draw(st.integers(1, 15))
    random = np.random.default_rng(seed)
    scores = random.integers(-2, 3, (rows, items)).astype(draw(st.sampled_from([np.float32, np.float64])))
    target = random.integers(1, items + 1, rows)
    seen = (random.random((rows, items)) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    seen[np.arange(rows), target - 1] = False
    row, column = np.nonzero(seen)
    allowed = {"all": None, "items": random.random(items) < 0.6, "pairs": random.random((rows, items)) < 0.6}
    return scores, target, Seen(row, column + 1), allowed[draw(st.sampled_from(sorted(allowed)))]


@settings(max_examples=200, deadline=None)
@given(rankings())
def test_counts_equal_a_sort(ranking):
    scores, target, seen, allowed = ranking
    got = count(torch.from_numpy(scores), torch.from_numpy(target), seen,
                None if allowed is None else torch.from_numpy(allowed))
    rows = zip(got.above.tolist(), got.tied.tolist(), got.candidates.tolist(), strict=True)
    assert list(rows) == sorted_counts(scores, target, seen, allowed)


@settings(max_examples=100, deadline=None)
@given(rankings(), st.integers(1, 20))
def test_the_top_holds_the_best_candidates_in_order(ranking, k):
    scores, target, seen, allowed = ranking
    got = count(torch.from_numpy(scores), torch.from_numpy(target), seen,
                None if allowed is None else torch.from_numpy(allowed), k)
    k = min(k, scores.shape[1])
    assert got.top_items.shape == got.top_scores.shape == (len(scores), k)
    for row in range(len(scores)):
        gone = set(seen.item[seen.row == row])
        inside = [i for i in range(1, scores.shape[1] + 1)
                  if i not in gone and (allowed is None or np.broadcast_to(allowed, scores.shape)[row, i - 1])]
        best = sorted((float(scores[row, i - 1]) for i in inside), reverse=True)[:k]
        items = got.top_items[row].tolist()
        assert items[len(best):] == [0] * (k - len(best))
        assert got.top_scores[row, : len(best)].tolist() == best
        assert len(set(items[: len(best)])) == len(best) and set(items[: len(best)]) <= set(inside)
        assert [float(scores[row, i - 1]) for i in items[: len(best)]] == best


def test_counting_leaves_the_scores_as_they_were():
    scores = torch.randn(3, 9)
    before = scores.clone()
    count(scores, torch.tensor([1, 2, 3]), Seen(np.array([0, 2]), np.array([5, 9])), torch.arange(9) > 1, 4)
    assert torch.equal(scores, before)


def test_the_route_of_other_devices_counts_the_same():
    from benchbase.evaluate import ranking

    scores, allowed = torch.randint(-2, 3, (7, 11)).float(), torch.rand(7, 11) < 0.7
    goal = scores[:, 3:4]
    for each in (None, allowed):
        ours = ranking._above_and_tied(scores, goal, each)
        elsewhere = SimpleNamespace(device=torch.device("cuda"), shape=scores.shape)
        plain = ranking._above_and_tied(_Elsewhere(scores, elsewhere.device), goal, each)
        assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


class _Elsewhere:
    """A tensor that says it is on another device, and compares as it is."""

    def __init__(self, tensor, device):
        self.tensor, self.device = tensor, device

    def __gt__(self, other):
        return self.tensor > other

    def __eq__(self, other):
        return self.tensor == other

    __hash__ = None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_fails_the_run(wrong):
    scores = torch.zeros(2, 5)
    scores[1, 4] = wrong
    with pytest.raises(RunError, match=r"ranking: a score is not finite .* Expected finite scores for every item"):
        count(scores, torch.tensor([1, 1]), NOTHING)


class Given:
    """A recommender that gives scores by the item its user saw last, the same whoever sits beside it."""

    def __init__(self, make):
        self.make, self.times = make, []

    def fit(self, train, context):
        self.train = train

    def scores(self, histories, times):
        self.times += times.tolist()
        return self.make(histories.item[histories.offsets[1:] - 1])


def fixed(n_items=30, seed=0, values=5):
    """Scores by last item, out of few values."""
    table = np.random.default_rng(seed).integers(0, values, (n_items + 1, n_items)).astype(np.float64)
    return Given(lambda last: table[last])


def experiment_of(recommender, world=None, train=None, **protocol):
    """An experiment whose model has been taken out for a recommender."""
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], world=world, train=train,
                           protocol={"targets": "each"} | protocol)
    return replace(made, model=None, feed=None, recommender=recommender)


def slow_rank(experiment, table):
    """Every evaluated event on its own, from the interactions."""
    data, protocol = experiment.data, experiment.suite.protocol
    interactions, catalogue = data.prepared.interactions, data.prepared.catalogue
    known = set(interactions.item[data.split.part == TRAIN].tolist())
    found, left_out = [], 0
    for event in data.split.test_events:
        user = int(np.searchsorted(interactions.offsets, event, side="right")) - 1
        first = interactions.offsets[user]
        past = interactions.item[first:event]
        seen = {"history": past, "window": past[-protocol.window:], "none": past[:0]}[protocol.filter_seen]
        target = int(interactions.item[event])
        if target in seen:
            left_out += 1
            continue
        inside = [i for i in range(1, catalogue.n_items + 1) if i not in seen]
        if protocol.candidates == "train_items":
            inside = [i for i in inside if i in known]
        if protocol.candidates == "domain":
            inside = [i for i in inside if catalogue.domain[i] == catalogue.domain[target]]
        scores = table(np.array([past[-1]]))[0]
        others = [scores[i - 1] for i in inside if i != target]
        goal = scores[target - 1]
        above, tied = sum(s > goal for s in others), sum(s == goal for s in others)
        if target not in inside:
            above, tied = len(inside), 0
        found.append((user, event - first, above, tied, len(inside), catalogue.domain[target]))
    return found, left_out


def rows_of(ranking):
    columns = (ranking.user, ranking.event, ranking.above, ranking.tied, ranking.candidates, ranking.domain)
    return list(zip(*(each.tolist() for each in columns), strict=True))


@pytest.mark.parametrize("filter_seen", ["history", "window", "none"])
@pytest.mark.parametrize("candidates", ["catalogue", "train_items", "domain"])
def test_ranking_equals_a_slow_reference(filter_seen, candidates):
    given_scores = fixed()
    experiment = experiment_of(given_scores, filter_seen=filter_seen, candidates=candidates, window=2,
                               split="temporal_ratio[test=0.4]")
    ranking = rank(experiment, "test")
    wanted, left_out = slow_rank(experiment, given_scores.make)
    assert rows_of(ranking) == wanted
    assert ranking.facts["left_out_target_seen"] == left_out
    assert (left_out > 0) == (filter_seen != "none")
    assert ranking.facts["evaluated"] == len(wanted) > 20
    columns = (ranking.user, ranking.event, ranking.above, ranking.domain)
    assert [column.dtype for column in columns] == [np.int32] * 3 + [np.int16]


def test_an_item_without_training_events_is_a_miss_where_only_train_items_are_candidates():
    """Whoever scores it highest of all still misses."""
    experiment = experiment_of(None, candidates="train_items", filter_seen="none")
    data = experiment.data
    item = data.prepared.interactions.item.copy()
    cold = int(item[data.split.test_events[0]])
    item[(data.split.part == TRAIN) & (item == cold)] = cold % 30 + 1
    interactions = replace(data.prepared.interactions, item=item)
    experiment = replace(experiment, data=replace(data, prepared=replace(data.prepared, interactions=interactions)))
    favourite = np.zeros(30)
    favourite[cold - 1] = 1.0
    ranking = rank(replace(experiment, recommender=Given(lambda last: np.tile(favourite, (len(last), 1)))), "test")
    missed = item[data.split.test_events] == cold
    assert missed.any() and (ranking.above[missed] == ranking.candidates[missed]).all()
    assert (ranking.candidates <= 29).all()
    assert ranking.facts["cold_share"] == pytest.approx(missed.mean())
    hits = metrics.values(metrics.parse("recall@100"), ranking.above, ranking.tied, ranking.candidates)
    assert hits[missed].sum() == 0 and hits[~missed].all()


@pytest.mark.parametrize("filter_seen", ["history", "none"])
def test_a_cold_target_of_a_user_who_has_seen_every_train_item_is_left_out_and_counted(filter_seen):
    """No candidate is left for it, not even itself."""
    world = worlds.tiny_world()
    ends = world.interactions.offsets[1:]
    item = (np.arange(ends[-1]) % 2 + 1).astype(np.int32)  # train items: 1 and 2, and everybody has seen both
    item[ends[0] - 1] = 3  # the cold target
    world = worlds.World(replace(world.interactions, item=item), world.catalogue)
    experiment = experiment_of(None, world, candidates="train_items", filter_seen=filter_seen)
    data = experiment.data
    ranking = rank(replace(experiment, recommender=Given(lambda last: np.zeros((len(last), 30)))), "test")
    without = 1 if filter_seen == "history" else 0
    assert ranking.facts["left_out_without_candidates"] == without
    assert (ranking.candidates > 0).all()
    assert ranking.facts["evaluated"] + without + ranking.facts["left_out_target_seen"] == len(data.split.test_events)
    assert (0 in ranking.user) == (filter_seen == "none")


def test_a_constant_scorer_lands_at_chance_exactly():
    experiment = experiment_of(Given(lambda last: np.zeros((len(last), 30))), metrics=["ndcg@10", "recall@5", "mrr@7"])
    ranking = rank(experiment, "test")
    for name in experiment.suite.protocol.metrics:
        _, by_user = metrics.user_mean(ranking.user, metrics.chance(metrics.parse(name), ranking.candidates))
        assert metric_values(ranking, (name,))[name] == by_user.mean()


def test_users_weigh_alike_however_many_events_they_have():
    none = np.zeros(4, int)
    ranking = Ranking(user=np.array([3, 3, 3, 5]), event=none, above=np.array([0, 50, 50, 0]), tied=none,
                      candidates=np.full(4, 90), domain=none, top_items=none, top_scores=none, facts={}, seconds=0.0)
    assert metric_values(ranking, ("recall@10",)) == {"recall@10": pytest.approx((1 / 3 + 1) / 2)}


@pytest.mark.parametrize("rows", [1, 7, 256])
@pytest.mark.parametrize("threads", [1, 2])
def test_for_given_scores_nothing_moves_with_chunks_or_threads(monkeypatch, rows, threads):
    plain = rank(experiment_of(fixed()), "test", 5)
    monkeypatch.setattr("benchbase.evaluate.ranking.ROWS", rows)
    monkeypatch.setattr("benchbase.evaluate.ranking.PAST_EVENTS", 3)
    other = rank(experiment_of(fixed(), train={"threads": threads}), "test", 5)
    assert rows_of(plain) == rows_of(other)
    assert np.array_equal(plain.top_items, other.top_items) and np.array_equal(plain.top_scores, other.top_scores)
    assert plain.facts == other.facts


def test_for_given_scores_nothing_moves_with_the_order_of_users():
    world = worlds.tiny_world()
    order = np.random.default_rng(1).permutation(world.interactions.n_users)
    moved = permuted(world, order)
    plain, other = (rank(experiment_of(fixed(), world=w), "test") for w in (world, moved))
    by_user = sorted((order[user], *rest) for user, *rest in rows_of(other))
    assert by_user == sorted(rows_of(plain))
    names = ("ndcg@10", "mrr@10")
    assert metric_values(plain, names) == pytest.approx(metric_values(other, names), abs=1e-12)


def permuted(world, order):
    interactions = world.interactions
    rows = [np.arange(interactions.offsets[u], interactions.offsets[u + 1]) for u in order]
    at = np.concatenate(rows)
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    moved = replace(interactions, offsets=offsets, item=interactions.item[at], timestamp=interactions.timestamp[at],
                    actions=interactions.actions[at], features=interactions.features[at], user_ids=None)
    return worlds.World(moved, world.catalogue)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.bool_])
def test_a_recommender_may_give_other_numbers_than_floats(dtype):
    plain = Given(lambda last: (np.arange(30) % 2 == last[:, None] % 2).astype(np.float64))
    other = Given(lambda last: plain.make(last).astype(dtype))
    one, two = (rank(experiment_of(r), "test", 3) for r in (plain, other))
    assert rows_of(one) == rows_of(two) and np.array_equal(one.top_scores, two.top_scores)


def test_a_recommender_may_give_the_same_read_only_row_to_all_and_finds_it_unchanged():
    table = np.arange(30, dtype=np.float32)
    table.flags.writeable = False
    ranking = rank(experiment_of(Given(lambda last: np.broadcast_to(table, (len(last), 30)))), "test", 4)
    assert len(ranking.user) and np.array_equal(table, np.arange(30))


@pytest.mark.parametrize("shape", [(1, 30), (-1, 29), (-1, 31)])
def test_scores_of_another_shape_are_an_error(shape):
    rows = shape[0]
    wrong = Given(lambda last: np.zeros((len(last) if rows < 0 else 1, shape[1])))
    with pytest.raises(RunError, match=r"ranking: scores have shape \(.*\)\. Expected \(\d+, 30\), one column"):
        rank(experiment_of(wrong), "test")


@pytest.mark.parametrize("query_time", ["next", "last"])
def test_a_recommender_is_told_when_it_is_asked(query_time):
    given_scores = fixed()
    experiment = experiment_of(given_scores, query_time=query_time, filter_seen="none")
    rank(experiment, "test")
    events = experiment.data.split.test_events - (query_time == "last")
    assert given_scores.times == experiment.data.prepared.interactions.timestamp[events].tolist()


class Nudge(Objective):
    """Adds to scores: by item alone, or by user and item."""

    def __init__(self, by_user):
        super().__init__()
        self.by_user = by_user

    def score_term(self, batch, items, phase):
        self.rows = max(getattr(self, "rows", 0), batch.n_rows)
        table = torch.linspace(-3, 3, 30 * 24).view(24, 30).sin() * 4
        if self.by_user:
            return table[batch.users][:, items - 1]
        return ItemBias(table[0])


def nudge(by_user):
    return ObjectiveSpec(name="nudge", config=Config, build=lambda config, context: Nudge(by_user), source="here")


def spy(monkeypatch):
    """Every score that is counted, by user and event, and how many rows came at a time."""
    from benchbase.evaluate import ranking

    seen, sizes, plain = {}, [], ranking.Judge.add

    def add(self, index, scores):
        sizes.append(len(index))
        for at, row in zip(index, scores, strict=True):
            seen[int(self.rows.user[at]), int(self.events[at])] = row.clone()
        plain(self, index, scores)

    monkeypatch.setattr(ranking.Judge, "add", add)
    return seen, sizes


def scored(monkeypatch, experiment) -> tuple[dict[tuple[int, int], Tensor], list[int]]:
    seen, sizes = spy(monkeypatch)
    rank(experiment, "test")
    monkeypatch.undo()
    return dict(seen), sizes


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional])
@pytest.mark.parametrize("objectives", [[tiny_softmax], [tiny_softmax, nudge(False)], [tiny_softmax, nudge(True)]])
def test_for_a_given_model_scores_agree_over_batch_sizes_and_threads(monkeypatch, backbone, objectives):
    experiment = make_experiment(backbone, objectives=objectives, protocol={"targets": "each"})
    with torch.no_grad():
        for parameter in experiment.model.parameters():
            parameter.mul_(20)  # scores of the size that training brings
    plain, sizes = scored(monkeypatch, experiment)
    assert max(sizes) > 5 and len(plain) == max(sizes)
    assert max(float(s.abs().max()) for s in plain.values()) > 0.5
    train = experiment.suite.train.model_copy(update={"threads": 2})
    threaded = replace(experiment, suite=experiment.suite.model_copy(update={"train": train}))
    for rows, each in ((1, experiment), (5, experiment), (256, threaded)):
        monkeypatch.setattr("benchbase.evaluate.ranking.ROWS", rows)
        other, sizes = scored(monkeypatch, each)
        assert max(sizes) <= rows and plain.keys() == other.keys()
        for key, row in plain.items():
            torch.testing.assert_close(row, other[key], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("by_user", [False, True])
def test_score_terms_count_in_ranking(monkeypatch, by_user):
    one, two = (make_experiment(tiny_causal, objectives=objectives)
                for objectives in ([tiny_softmax], [tiny_softmax, nudge(by_user)]))
    plain, nudged = scored(monkeypatch, one)[0], scored(monkeypatch, two)[0]
    table = torch.linspace(-3, 3, 30 * 24).view(24, 30).sin() * 4
    for (user, event), row in plain.items():
        torch.testing.assert_close(nudged[user, event], row + table[user if by_user else 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("objectives", [[tiny_softmax], [tiny_softmax, nudge(True)]])
def test_the_memory_budget_bounds_the_rows_scored_at_a_time(monkeypatch, objectives):
    from benchbase.evaluate import ranking

    experiment = make_experiment(tiny_causal, objectives=objectives)
    plain, sizes = scored(monkeypatch, experiment)
    assert max(sizes) > 3
    monkeypatch.setattr("benchbase.evaluate.ranking.RANK_BYTES", 3 * 30 * ranking.BYTES_PER_SCORE + 1)
    again = make_experiment(tiny_causal, objectives=objectives)
    few, sizes = scored(monkeypatch, again)
    assert max(sizes) == 3 and plain.keys() == few.keys()
    if "nudge" in again.model.objectives:
        assert again.model.objectives["nudge"].rows == 3, "its matrix would be for all rows encoded together"


def test_a_budget_smaller_than_a_row_still_ranks(monkeypatch):
    monkeypatch.setattr("benchbase.evaluate.ranking.RANK_BYTES", 1)
    assert len(rank(make_experiment(tiny_causal, objectives=[tiny_softmax]), "test").user)


def test_modules_that_look_at_their_mode_are_told():
    experiment = make_experiment(tiny_causal, objectives=[tiny_softmax])
    modes = []
    experiment.model.backbone.register_forward_pre_hook(lambda module, given: modes.append(module.blocks[0].training))
    fit(experiment)
    assert modes[0] and not modes[-1], "it trains, then ranks the valid part"
    modes.clear()
    experiment.model.train()
    rank(experiment, "test")
    assert modes and not any(modes)


def test_the_valid_part_is_ranked_on_its_own():
    experiment = experiment_of(fixed(), filter_seen="none")
    split = experiment.data.split
    for part, events in (("valid", split.valid_events), ("test", split.test_events)):
        ranking = rank(experiment, part)
        first = experiment.data.prepared.interactions.offsets[ranking.user]
        assert (first + ranking.event).tolist() == events.tolist()


def test_an_empty_part_gives_an_empty_ranking_without_a_value():
    experiment = experiment_of(fixed(), split="temporal_ratio[valid=0.0]")
    ranking = rank(experiment, "valid", 3)
    assert ranking.user.shape == (0,) and ranking.top_items.shape == (0, 3)
    assert ranking.facts["evaluated"] == 0 and ranking.facts["cold_share"] is None
    assert np.isnan(metric_values(ranking, ("ndcg@10",))["ndcg@10"])


def test_window_of_the_protocol_decides_what_is_filtered_even_for_a_masked_model():
    """A masked model reads one event less; its candidates are those of all others."""
    protocol = Protocol(split="leave_one_out", window=3, filter_seen="window")
    of = {b.name: rank(make_experiment(b, objectives=[tiny_softmax], protocol=protocol.model_dump(
        include={"window", "filter_seen"})), "test") for b in (tiny_causal, tiny_bidirectional)}
    assert np.array_equal(of["tiny_causal"].candidates, of["tiny_bidirectional"].candidates)


@pytest.mark.parametrize("kind", [complex, object, str])
def test_scores_that_are_no_real_numbers_fail_the_run(kind):
    with pytest.raises(RunError, match=r"ranking: scores are .*\. Expected real numbers, one for every item\."):
        rank(experiment_of(Given(lambda last: np.ones((len(last), 30)).astype(kind))), "test")
