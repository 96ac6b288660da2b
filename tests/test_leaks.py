"""Leaks: what must not be known cannot move a number, for every split, windowing, kind of training and of targets.

What is not known is made another, all of it at once, and nothing may follow. A split or a windowing that joins the
core's is tested by being there.
"""

import zlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from benchbase import evaluate, metrics
from benchbase.data import SPLITS, TRAIN, Prepared
from benchbase.data.batches import Feed
from benchbase.data.windows import WINDOWINGS
from benchbase.evaluate import ranking as ranks
from benchbase.nn import Objective
from benchbase.specs import Config, Needs, Negatives, ObjectiveSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import together
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import DAY, World, tiny_world
from benchbase.train import fit


class Sampled(Objective):
    """A loss on the negatives that the core draws, corrected by how probable they were."""

    def losses(self, output, targets, batch):
        per_row = targets.negatives.dim() == 2 and len(targets.negatives) != len(targets)
        drawn, log_q = (each[targets.row] if per_row else each for each in (targets.negatives, targets.log_q_negatives))
        scores = output.scorer.score_items(output.states, drawn) - log_q
        return {"nll": targets.mean(scores.logsumexp(1) - output.states.sum(1))}


def drawing(law, scope):
    """A loss whose negatives come from counts of the train part, or from the step's targets."""
    needs = Needs(tasks=frozenset({"next_item"}), negatives=Negatives(count=3, law=law, scope=scope))
    return ObjectiveSpec(name=f"sampled_{law}", config=Config, build=lambda config, context: Sampled(), source="here",
                         needs=needs)


SAMPLED = [drawing("mixed", "position"), drawing("popularity", "sequence"), drawing("in_batch", "batch")]

BACKBONES = {"next": tiny_causal, "masked": tiny_bidirectional}
PARAMETERS = {"slide": "slide[stride=2]"}
"""Windowings that have no defaults."""

splits = pytest.mark.parametrize("split", SPLITS)
windowings = pytest.mark.parametrize("windows", [PARAMETERS.get(name, name) for name in WINDOWINGS])
trainings = pytest.mark.parametrize("training", BACKBONES)
each_or_next = pytest.mark.parametrize("targets", ["next", "each"])
asked_at = pytest.mark.parametrize("query_time", ["next", "last"])


@cache
def world():
    """The tiny world with users who live at the same time, a feature, and long enough for several windows."""
    random, plain = np.random.default_rng(1), tiny_world()
    lengths = random.integers(9, 16, plain.interactions.n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n = offsets[-1]
    time = np.concatenate([np.sort(random.integers(0, 90 * DAY, length)) for length in lengths]) + 1_600_000_000
    item = np.concatenate([random.permutation(30)[:length] + 1 for length in lengths])  # none twice: none is filtered
    interactions = replace(
        plain.interactions, offsets=offsets, timestamp=time, item=item.astype(np.int32),
        actions=(random.random((n, 2)) < 0.5).astype(np.float32), features=random.random((n, 1)).astype(np.float32),
        feature_names=("speed",), marks=(random.random((n, 1)) < 0.7).astype(np.float32), mark_names=("random",),
    )
    return World(interactions, plain.catalogue)


def experiment_of(training, split, targets="next", windows="last", query_time="next", epochs=1):
    """Parts that read items, times, actions, history and counts of items."""
    parts = together("history", "feedback", "popularity")
    return make_experiment(
        BACKBONES[training], objectives=[tiny_softmax, *SAMPLED, *parts.pop("objectives")], world=world(), **parts,
        protocol={"split": split, "targets": targets, "window": 4, "query_time": query_time, "filter_seen": "none"},
        train={"epochs": epochs, "eval_every": epochs, "windows": windows},
    )


def changed(interactions, events, times):
    """All that is known of some events made another; their time only where `times` says, and all then stay in order."""
    item, actions, features, marks = (getattr(interactions, name).copy()
                                      for name in ("item", "actions", "features", "marks"))
    item[events] = (item[events] + 7) % 30 + 1
    actions[events], features[events], marks[events] = 1 - actions[events], features[events] + 7, marks[events] + 7
    timestamp = interactions.timestamp.copy()
    timestamp[times] += 1000 * DAY
    return replace(interactions, item=item, actions=actions, features=features, marks=marks, timestamp=timestamp)


def with_events(experiment, interactions):
    """The experiment with its parts, and its split, over other events."""
    data = experiment.data
    prepared = Prepared(interactions, data.prepared.catalogue, {}, "changed")
    moved = replace(experiment, data=replace(data, prepared=prepared))
    if experiment.feed is not None:
        feed = experiment.feed
        moved.feed = Feed(interactions, feed.catalogue, data.split, feed.config, moved.model.compressor)
    return moved


def scores(experiment, part):
    """Every score of a part's evaluated events, by event."""
    judge, found = ranks.Judge(experiment, part, 0), {}
    route = ranks._recommender_scores if experiment.model is None else ranks._model_scores
    with torch.inference_mode():
        for index, rows, _ in route(experiment, judge):
            found |= {int(judge.events[at]): row.clone() for at, row in zip(index, rows, strict=True)}
    return found


class Witness:
    """A recommender whose scores tell apart any two histories, times of asking and sets of train events."""

    def fit(self, train, context):
        columns = (train.item, train.timestamp, train.actions)
        self.learned = sum(zlib.crc32(each.tobytes()) for each in columns)

    def scores(self, histories, times):
        rows = []
        for a, b, time in zip(histories.offsets, histories.offsets[1:], times, strict=False):
            columns = (histories.item, histories.timestamp, histories.actions)
            seen = [int(np.frombuffer(each[a:b].tobytes().ljust(8, b"\0"), np.uint8).astype(np.int64) @ np.arange(
                1, max(each[a:b].nbytes, 8) + 1)) for each in columns]
            rows.append(np.random.default_rng([self.learned, *seen, int(time)]).random(30))
        return np.array(rows)


def trained(training, split, targets, query_time):
    made = experiment_of("next" if training == "recommender" else training, split, targets, query_time=query_time)
    if training == "recommender":
        made = replace(made, model=None, feed=None, recommender=Witness())
    fit(made)
    return made


def futures(experiment, part):
    """Round by round one evaluated event of every user, with each one's next events up to the user's last."""
    events = getattr(experiment.data.split, f"{part}_events")
    ends = experiment.data.prepared.interactions.offsets[1:]
    user = np.searchsorted(ends, events, side="right")
    turn = np.arange(len(events)) - np.searchsorted(user, user)
    for number in range(int(turn.max()) + 1):
        yield [(int(event), np.arange(event, ends[u])) for event, u in
               zip(events[turn == number], user[turn == number], strict=True)]


@splits
@each_or_next
@asked_at
@pytest.mark.parametrize("training", [*BACKBONES, "recommender"])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_no_event_at_or_after_a_target_moves_its_scores(split, targets, training, part, query_time):
    """Only its own time may, where it is asked for. The event before it does: scores are no constants."""
    made = trained(training, split, targets, query_time)
    interactions = made.data.prepared.interactions
    plain, met, moved = scores(made, part), 0, 0
    for turn in futures(made, part):
        later = np.concatenate([events for _, events in turn])
        times = later if query_time == "last" else np.concatenate([events[1:] for _, events in turn])
        blind = scores(with_events(made, changed(interactions, later, times)), part)
        before = np.array([event - 1 for event, _ in turn])
        seeing = scores(with_events(made, changed(interactions, before, before[:0])), part)
        for event, _ in turn:
            assert torch.equal(blind[event], plain[event]), f"event {event} is scored otherwise"
            moved += not torch.equal(seeing[event], plain[event])
            met += 1
    assert met == len(plain) > 0 and moved > 0.9 * met


@splits
@each_or_next
@pytest.mark.parametrize("part", ["valid", "test"])
def test_an_evaluated_event_is_ranked_after_its_whole_true_past(split, targets, part):
    """Earlier test events among it, as candidates that are filtered; a user's value is the mean over their events."""
    made = experiment_of("next", split, targets)
    protocol = made.suite.protocol.model_copy(update={"filter_seen": "history"})
    made = replace(made, model=None, feed=None, recommender=Witness(),
                   suite=made.suite.model_copy(update={"protocol": protocol}))
    fit(made)
    ranking = evaluate.rank(made, part)
    interactions, events = made.data.prepared.interactions, getattr(made.data.split, f"{part}_events")
    first = interactions.offsets[ranking.user]
    assert (first + ranking.event).tolist() == events.tolist() and len(events) > 0
    assert (ranking.candidates == 30 - ranking.event).all(), "no item occurs twice, so that each event takes one away"
    if targets == "next":
        stream = made.data.split.stream
        period = np.zeros(len(events)) if stream is None else stream.period[events]
        assert len(np.unique([ranking.user, period], axis=1).T) == len(events)
    values = metrics.values(metrics.parse("ndcg@10"), ranking.above, ranking.tied, ranking.candidates)
    by_user = [np.mean(values[ranking.user == user]) for user in np.unique(ranking.user)]
    assert evaluate.metric_values(ranking, ("ndcg@10",))["ndcg@10"] == pytest.approx(np.mean(by_user), abs=1e-12)


def everything(feed):
    """Every tensor of two epochs, by name."""
    found = []
    for epoch in (1, 2):
        for step in feed.train_batches(epoch, 8, 2):
            for each in step:
                batch, targets = each.batch, each.targets
                negatives = {f"{name}.{key}": value for name, drawn in each.negatives.items()
                             for key, value in vars(drawn).items()}
                found.append({**negatives, **vars(batch), **vars(batch.history), **vars(targets), **batch.plan.arrays,
                              "latest": batch.plan.latest, "history": None, "plan": None})
    return found


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@splits
@windowings
@trainings
@asked_at
def test_no_event_outside_the_train_part_reaches_a_train_batch(split, windows, training, query_time):
    """Change all of them, their times too: no tensor moves, and so no query time either."""
    made = experiment_of(training, split, windows=windows, query_time=query_time)
    outside = np.flatnonzero(made.data.split.part != TRAIN)
    other = with_events(made, changed(made.data.prepared.interactions, outside, outside))
    batches = everything(made.feed)
    for one, two in zip(batches, everything(other.feed), strict=True):
        assert one.keys() == two.keys()
        assert not [name for name in one if not equal(one[name], two[name])]
    inside = np.flatnonzero(made.data.split.part == TRAIN)
    moved = everything(with_events(made, changed(made.data.prepared.interactions, inside, inside)).feed)
    for one, two in zip(batches, moved, strict=True):
        assert not len(one["item"]) or not torch.equal(one["item"], two["item"])


@splits
@windowings
@trainings
def test_a_train_batch_knows_nothing_of_what_it_must_predict_last(split, windows, training):
    """Per row, the newest target and what follows: only labels may move, and the time of asking for it."""
    made = experiment_of(training, split, windows=windows)
    rows, met = made.feed.rows, 0
    for at in range(0, len(rows), max(1, len(rows) // 40)):
        row, stop = rows[at : at + 1], int(rows.stop[at])
        later = np.arange(stop - 1, made.data.prepared.interactions.offsets[row.user[0] + 1])
        other = with_events(made, changed(made.data.prepared.interactions, later, later[1:])).feed
        one, two = (feed._train_batch(row, 1, 0) for feed in (made.feed, other))
        if training == "masked" and not one.batch.hide_item[0, -1]:
            continue  # its newest event is read
        for name in ("items", "timestamps", "query_times", "actions", "features", "domains", "hide_item"):
            assert torch.equal(getattr(one.batch, name), getattr(two.batch, name)), name
        assert torch.equal(one.batch.history.items, two.batch.history.items)
        assert not torch.equal(one.targets.item, two.targets.item)
        met += 1
    assert met > 0


@splits
@windowings
@trainings
def test_no_event_outside_the_train_part_moves_a_trained_parameter(split, windows, training):
    """The valid part selects among epochs; there is one evaluation here, so that it has nothing to select among."""
    made, again = (experiment_of(training, split, windows=windows, epochs=2) for _ in range(2))
    outside = np.flatnonzero(made.data.split.part != TRAIN)
    other = with_events(again, changed(made.data.prepared.interactions, outside, outside))
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    fit(made)
    fit(other)
    learned, same = made.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(learned[name], same[name]) for name in learned)
    assert not all(torch.equal(learned[name], before[name]) for name in learned)


@splits
def test_a_recommender_is_fitted_on_the_train_part_alone(split):
    made = trained("recommender", split, "next", "next")
    inside, outside = (np.flatnonzero((made.data.split.part == TRAIN) == known) for known in (True, False))
    fitted = []
    for events in (outside, inside):
        other = with_events(made, changed(made.data.prepared.interactions, events, events))
        fit(replace(other, recommender=(witness := Witness())))
        fitted.append(witness.learned)
    assert fitted[0] == made.recommender.learned != fitted[1]
    seen = made.data.prepared.interactions.item[inside]
    assert np.array_equal(made.context.item_counts[1:], np.bincount(seen, minlength=31)[1:])
