"""Streams: each period is predicted before it is learned from, by the protocol's own steps; nothing else changes."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from benchbase import evaluate
from benchbase.data import TRAIN, UNUSED
from benchbase.data.sequences import item_counts
from benchbase.errors import RunError
from benchbase.nn import Objective
from benchbase.specs import Config, Needs, ObjectiveSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_recent
from benchbase.testing.tiny import tiny_bce, tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_world
from benchbase.train import fit, predict_then_learn
from benchbase.train import stream as streams
from benchbase.train.losses import LossMaker

PERIODS = 4
STREAM = {"name": "prequential", "test": 0.6, "valid": 0.1, "retained": 0.1, "periods": PERIODS, "lr": 0.1, "batch": 4}
ACTIONS = {"tasks": ["action"], "metrics": ["ne"], "targets": "each"}


def streaming(backbone=tiny_causal, objectives=(tiny_softmax,), protocol=(), train=(), split=(), **parts):
    """An experiment whose stream begins early, so that users are new in it and live in several periods."""
    rules = {"split": STREAM | dict(split), "targets": "each", "window": 5, "filter_seen": "none", **dict(protocol)}
    return make_experiment(backbone, objectives=list(objectives), world=parts.pop("world", crowded()), protocol=rules,
                           train={"batch": 4, **dict(train)}, **parts)


def crowded():
    """The tiny world with all users at once, in a time of which none is told twice."""
    plain = tiny_world()
    random = np.random.default_rng(3)
    n, offsets = plain.interactions.n_events, plain.interactions.offsets
    time = random.permutation(n) + 1_600_000_000
    for start, stop in pairwise(offsets):
        time[start:stop].sort()
    return replace(plain, interactions=replace(plain.interactions, timestamp=time))


def parameters(experiment):
    return {name: each.detach().clone() for name, each in experiment.model.named_parameters()}


def figures(streamed):
    return {(period, name): value for period, name, value in streamed.curve}


KINDS = {
    "next": {}, "masked": {"backbone": tiny_bidirectional}, "last": {"train": {"supervise": "last"}},
    "actions": {"objectives": [tiny_bce], "protocol": ACTIONS},
    "stacked actions": {"objectives": [tiny_bce], "protocol": ACTIONS | {"action_candidates": 2}, "layout": "stacked",
                        "train": {"supervise": "candidates"}},
    "own domain": {"sequence": {"events": "own_domain"}}, "compressed": {"compressor": probe_recent},
    "narrow": {"protocol": {"window": 1}},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def made(kind, **more):
    chosen = dict(KINDS[kind])
    if "sequence" in chosen:
        from benchbase.specs import SequenceConfig

        chosen["sequence"] = SequenceConfig(**chosen["sequence"])
    for key, value in more.items():
        chosen[key] = {**chosen.get(key, {}), **value} if isinstance(value, dict) else value
    return streaming(**chosen)


def learned_positions(experiment, feed):
    """The event that every target of one pass is, by its place in the data, and how often."""
    data = experiment.data.prepared.interactions
    whole = getattr(feed, "whole", feed).interactions
    found = []
    for groups in feed.train_batches(1, 4, 2):
        for group in groups:
            batch, targets = group.batch, group.targets
            for row, event, item in zip(targets.row, targets.event, targets.item, strict=True):
                user = int(batch.users[row])
                start, stop = data.offsets[user], data.offsets[user + 1]
                if int(event) < batch.items.shape[1] and int(event) < int(batch.lengths[row]):
                    time = int(batch.timestamps[row, event])
                else:
                    time = int(batch.query_times[row, batch.lengths[row] - 1])
                place, = np.flatnonzero(whole.timestamp[start:stop] == time) + start
                assert whole.item[place] == int(item)
                found.append(int(place))
    return found


@kinds
@pytest.mark.parametrize("period", range(PERIODS))
def test_every_event_of_a_period_is_learned_from_once_and_nothing_else(kind, period):
    experiment = made(kind)
    split, interactions = experiment.data.split, experiment.data.prepared.interactions
    feed = experiment.feed.learning(split.at(period + 1), split.stream.period == period, 0)
    found = learned_positions(experiment, feed)
    wanted = np.flatnonzero(split.stream.period == period)
    assert len(wanted) > 10
    if kind in ("next", "narrow", "compressed"):
        assert sorted(found) == wanted[~np.isin(wanted, interactions.offsets)].tolist()
    elif kind == "actions":
        assert sorted(found) == wanted.tolist()
    else:  # some of them are left out: hidden by chance, or the last of a row alone
        assert len(found) and set(found) <= set(wanted.tolist()) and len(set(found)) == len(found)


def test_what_stands_hidden_of_a_period_is_another_share_in_each_pass():
    feed = made("masked").feed
    split = made("masked").data.split
    feed = feed.learning(split.at(1), split.stream.period == 0, 0)
    passes = [tuple(int(item) for groups in feed.train_batches(epoch, 4, 2) for g in groups for item in g.targets.item)
              for epoch in (1, 2)]
    assert passes[0] != passes[1]


@kinds
def test_what_is_asked_and_learned_is_the_same_another_time(kind):
    first, second = made(kind), made(kind)
    for experiment in (first, second):
        fit(experiment)
    torch.manual_seed(99)  # what was drawn before has no say
    one = predict_then_learn(first, 5)
    torch.manual_seed(7)
    for generator in second.model.generators.values():
        generator.manual_seed(7)
    other = predict_then_learn(second, 5)
    assert one.curve == other.curve and one.figures == other.figures
    for name, value in parameters(first).items():
        assert torch.equal(value, parameters(second)[name]), name


@kinds
def test_predictions_of_a_period_know_nothing_of_it_or_later(kind):
    """All that happens from a period on is made another: no score before, and none of its parameters, moves."""
    period = 2
    plain = made(kind)
    begin = plain.data.split.facts["period_from"][period]
    world = crowded()
    interactions = world.interactions
    late = interactions.timestamp >= begin
    # what is asked is still the same, so that only inputs and what is learned could tell
    item = np.where(late, (interactions.item + 7) % 30 + 1, interactions.item).astype(np.int32)
    actions = np.where(late[:, None], 1 - interactions.actions, interactions.actions)
    changed = made(kind, world=replace(world, interactions=replace(interactions, item=item, actions=actions)))
    seen = []
    for experiment in (plain, changed):
        fit(experiment)
        streamed = predict_then_learn(experiment)
        seen.append({key: value for key, value in figures(streamed).items() if key[0] <= period})
    assert seen[0].keys() == seen[1].keys() and len(seen[0]) > 6
    assert seen[0] == seen[1]


def test_what_a_period_taught_shows_in_the_next_and_not_before():
    quick, slow = streaming(), streaming(split={"lr": 1e-12})
    for experiment in (quick, slow):
        fit(experiment)
    one, other = figures(predict_then_learn(quick)), figures(predict_then_learn(slow))
    assert one[1, "stream.ndcg@10"] == other[1, "stream.ndcg@10"]
    assert one[2, "stream.ndcg@10"] != other[2, "stream.ndcg@10"]
    assert one[0, "retained.ndcg@10"] == other[0, "retained.ndcg@10"] != one[1, "retained.ndcg@10"]
    assert other[0, "retained.ndcg@10"] == other[PERIODS, "retained.ndcg@10"]


def test_steps_are_those_of_momentum_by_hand():
    ours, other = streaming(split={"lr": 0.05, "epochs": 2}), streaming()
    for experiment in (ours, other):
        fit(experiment)
    predict_then_learn(ours)
    model, loss, split = other.model, LossMaker(other, other.model), other.data.split
    velocity = {name: torch.zeros_like(each) for name, each in model.named_parameters()}
    for period in range(PERIODS):
        feed = other.feed.learning(split.at(period + 1), split.stream.period == period, streams._seed(other))
        for epoch in (1, 2):
            for groups in feed.train_batches(2 * period + epoch, 4, 2):
                total = sum(len(group.targets) for group in groups)
                model.zero_grad()
                for group in groups:
                    (loss.total(loss(group)) * len(group.targets) / total).backward()
                with torch.no_grad():
                    for name, each in model.named_parameters():
                        velocity[name] = 0.9 * velocity[name] + 0.05 * each.grad
                        each -= velocity[name]
    for name, value in parameters(ours).items():
        torch.testing.assert_close(value, parameters(other)[name], atol=1e-6, rtol=1e-5)


def test_the_whole_stream_is_one_ranking_of_the_periods_rankings():
    experiment, apart = streaming(), streaming()
    for each in (experiment, apart):
        fit(each)
    streamed = predict_then_learn(experiment, 5)
    learner = streams._Learner(apart, apart.model)
    learner.begin(lambda now: None)
    found = {}
    for period in range(PERIODS):
        ranking = evaluate.rank(evaluate.when(apart, period), "test", 5)
        found |= {(int(u), int(e)): (int(a), int(t), items.tolist()) for u, e, a, t, items in zip(
            ranking.user, ranking.event, ranking.above, ranking.tied, ranking.top_items, strict=True)}
        learner.learn(period, lambda now: None)
    whole = streamed.tested
    first = experiment.data.prepared.interactions.offsets[whole.user]
    assert (first + whole.event).tolist() == experiment.data.split.test_events.tolist()
    assert whole.facts["evaluated"] == len(whole) == len(found)
    for at in range(len(whole)):
        wanted = found[int(whole.user[at]), int(whole.event[at])]
        assert (int(whole.above[at]), int(whole.tied[at]), whole.top_items[at].tolist()) == wanted


def test_a_watch_sees_every_event_at_its_place():
    experiment = streaming()
    fit(experiment)
    seen = {}
    streamed = predict_then_learn(experiment, 1, lambda index, scores, states: seen.update(
        zip(index.tolist(), (scores.argmax(1) + 1).tolist(), strict=True)))
    assert [seen[at] for at in range(len(streamed.tested))] == streamed.tested.top_items[:, 0].tolist()


def test_items_that_earlier_periods_hold_are_candidates_and_no_longer_cold():
    experiment = streaming(protocol={"candidates": "train_items"}, split={"test": 0.75})
    fit(experiment)
    split, item = experiment.data.split, experiment.data.prepared.interactions.item
    events = evaluate.ranked_events(experiment, "test")
    whole = predict_then_learn(experiment).tested
    known = [set(item[split.at(period).part == TRAIN].tolist()) for period in range(PERIODS)]
    assert known[0] < known[-1], "or nothing is tested"
    for event, candidates in zip(events, whole.candidates, strict=True):
        assert candidates == len(known[split.stream.period[event]])
    cold = np.mean([item[event] not in known[split.stream.period[event]] for event in events])
    assert whole.facts["cold_share"] == pytest.approx(cold)


def test_a_split_when_a_period_begins_trains_on_what_was_before():
    split = streaming().data.split
    for period in range(PERIODS + 1):
        then = split.at(period)
        assert ((then.part == TRAIN) == ((split.part == TRAIN) | (split.stream.period >= 0) & (
            split.stream.period < period))).all()
        assert (split.stream.period[then.test_events] == period).all() and then.stream is None
        assert (then.part[split.stream.period > period] == UNUSED).all()
        assert (then.valid_events == split.valid_events).all()
    assert np.concatenate([split.at(p).test_events for p in range(PERIODS)]).size == len(split.test_events)


def test_nothing_of_the_stream_reaches_the_parts_before_it():
    experiment = streaming()
    split, interactions = experiment.data.split, experiment.data.prepared.interactions
    trained = interactions.item[split.part == TRAIN]
    assert experiment.context.item_counts.tolist() == np.bincount(trained, minlength=31).tolist()
    assert experiment.context.train().item.tolist() == trained.tolist()
    assert not np.isin(split.stream.retained_events, np.flatnonzero(split.part == TRAIN)).any()


class Counts:
    def fit(self, train, context):
        self.n, self.told = len(train.item), int(context.item_counts.sum())
        self.again = len(context.train().item)
        self.counts = np.bincount(train.item - 1, minlength=30).astype(float)

    def scores(self, histories, times):
        assert self.n == self.told == self.again
        return np.tile(self.counts, (histories.n_rows, 1))


def test_a_recommender_is_fitted_anew_after_each_period():
    experiment = replace(streaming(), model=None, feed=None, recommender=Counts())
    fit(experiment)
    split, interactions = experiment.data.split, experiment.data.prepared.interactions
    streamed = predict_then_learn(experiment, 3)
    whole, events = streamed.tested, split.test_events
    for period in range(PERIODS):
        counts = item_counts(interactions, split.at(period), 30)[1:]
        target = interactions.item[events] - 1
        above = (counts[None, :] > counts[target][:, None]).sum(1)
        here = split.stream.period[events] == period
        assert (whole.above[here] == above[here]).all() and here.any()
    assert experiment.recommender.n == (split.at(PERIODS).part == TRAIN).sum()


class Ends(Objective):
    """Notes the ends of periods, and what it is shown of them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def period_ended(self, batches, loss):
        assert not self.training
        some = list(islice(batches, 200))
        assert all(each.batch.n_rows == len(each.targets) == 1 for each in some)
        value = loss(some[0])
        assert value.requires_grad and value.shape == ()
        self.seen.append([(int(each.batch.users[0]), int(each.targets.item[0])) for each in some])


ends = ObjectiveSpec(name="ends", config=Config, build=lambda config, context: Ends(), source="here",
                     needs=Needs(stream=True))


@pytest.mark.parametrize("kind", ["next", "masked", "own domain", "compressed"])
def test_the_ends_of_training_and_of_each_period_are_told_with_what_was_learned(kind):
    told, plain = made(kind, objectives=[tiny_softmax, ends]), made(kind, objectives=[tiny_softmax])
    for experiment in (told, plain):
        fit(experiment)
    assert predict_then_learn(told).curve == predict_then_learn(plain).curve, "to look changes nothing"
    seen, split = told.model.objectives["ends"].seen, told.data.split
    interactions = told.data.prepared.interactions
    user = interactions.user
    assert len(seen) == PERIODS + 1
    for number, some in enumerate(seen):
        learned = split.part == TRAIN if number == 0 else split.stream.period == number - 1
        pairs = {(int(user[row]), int(interactions.item[row])) for row in np.flatnonzero(learned)}
        assert set(some) <= pairs and len(set(some)) > 5


def test_few_events_of_long_windows_are_found_in_the_end():
    """An event among 200 draws of 64 is missed more often than not."""
    experiment = streaming(protocol={"window": 15})
    split, interactions = experiment.data.split, experiment.data.prepared.interactions
    learn = np.zeros(interactions.n_events, bool)
    learn[interactions.offsets[3] + 1] = True
    feed = experiment.feed.learning(split.at(1), learn, 0)
    feed.rows = experiment.feed.rows  # windows that mostly hold other events
    feed.rows = replace(feed.rows, stop=np.minimum(feed.rows.first + 3, feed.rows.stop))
    feed.rows = replace(feed.rows, start=feed.rows.first)
    found = list(islice(feed.examples(0), 3))
    assert {int(each.targets.item[0]) for each in found} == {int(interactions.item[learn][0])}


def test_single_targets_are_drawn_evenly():
    experiment = streaming(protocol={"window": 4})
    feed = experiment.feed
    n = int((feed.rows.stop - feed.rows.start - 1).sum())
    drawn = [(int(each.batch.users[0]), int(each.batch.lengths[0]), int(each.targets.item[0]))
             for each in islice(feed.examples(0), 40 * n)]
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.sum() == 40 * n and len(counts) <= n
    assert (np.abs(counts - 40) < 5 * np.sqrt(40) + 40 * (counts > 60)).all()  # one pair may stand for two targets


def test_a_stream_that_blows_up_and_one_that_takes_too_long_say_so():
    fast = streaming(split={"lr": 1e6})
    fit(fast)
    with pytest.raises(RunError, match=r"not finite|is (nan|inf) in period \d. .* Lower protocol.split.lr") as caught:
        predict_then_learn(fast)
    assert caught.value.status == "diverged"
    slow = streaming(train={"minutes": 5.0})
    fit(slow)
    with pytest.raises(RunError, match=r"over 5\.0 minutes in period 1\. .* fewer periods") as caught:
        predict_then_learn(slow, minutes_left=0.0)
    assert caught.value.status == "timeout"
    looking = streaming(objectives=[tiny_softmax, ends])
    fit(looking)
    with pytest.raises(RunError, match=r"minutes in the end of period 0\."):
        predict_then_learn(looking, minutes_left=0.0)


def test_actions_of_a_stream_are_predicted_period_by_period():
    experiment = made("actions")
    fit(experiment)
    streamed = predict_then_learn(experiment)
    asked, interactions = streamed.tested.asked, experiment.data.prepared.interactions
    assert asked.events.tolist() == experiment.data.split.test_events.tolist()
    assert (asked.labels == (interactions.actions[asked.events] > 0)).all()
    rates = dict(zip(asked.names, asked.labels.mean(0), strict=True))
    assert streamed.tested.facts["base_rates"] == pytest.approx(rates)
    assert {"retained_before.ne", "retained_after.ne", "first_period.ne", "last_period.ne"} == set(streamed.figures)


def test_without_retained_events_there_is_nothing_to_say_of_them():
    experiment = streaming(split={"retained": 0})
    fit(experiment)
    assert set(predict_then_learn(experiment).figures) == {
        f"{period}_period.{metric}" for period in ("first", "last") for metric in ("ndcg@10", "recall@10", "mrr@10")}
