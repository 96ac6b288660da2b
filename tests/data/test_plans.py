"""Plans of compressors: a row is planned once while there is room, and a plan that breaks the contract is refused."""

from dataclasses import replace

import numpy as np
import pytest

from benchbase.data import split
from benchbase.data.batches import Feed, FeedConfig, Plan
from benchbase.data.batches.plans import Plans
from benchbase.errors import PluginError
from benchbase.testing.world import tiny_world


class Newest:
    """Tokens for the newest history items, up to two; remembers which rows it was asked for."""

    max_tokens = 2

    def __init__(self, **changes):
        self.changes, self.asked = changes, []

    def plan(self, history, window, budget):
        self.asked.append(history.n_rows)
        tokens = np.minimum(history.lengths, 2)
        back = np.arange(2)
        at = np.where(back < history.lengths[:, None], history.offsets[1:, None] - 1 - back, len(history.item))
        items, latest = (np.append(column, 0)[at].astype(np.int64) for column in (history.item, history.timestamp))
        displaced = np.clip(tokens + window.lengths - budget, 0, window.lengths - 1)
        return replace(Plan(tokens, displaced, latest, {"items": items}), **self.changes)


def feed_of(compressor, masked=False, room=None):
    world = tiny_world()
    made = Feed(world.interactions, world.catalogue, split(world.interactions, world.catalogue, "leave_one_out"),
                FeedConfig(window=4, masked=masked), compressor)
    if room is not None:
        made.plans.room = room
    return made, split(world.interactions, world.catalogue, "leave_one_out")


def epochs(feed, *, divided=None, size=5):
    """Every batch of two epochs and two scorings, by epoch and user."""
    for epoch in (1, 2):
        for groups in feed.train_batches(epoch, size, 2):
            for group in groups:
                yield epoch, group.batch
        if divided is not None:
            for chunk in feed.score_batches(divided.test_events, size):
                yield epoch, chunk.batch


def facts(batches):
    """What each row's plan says, by epoch, user and last event."""
    found = {}
    for epoch, batch in batches:
        for row, user in enumerate(batch.users.tolist()):
            last = int(batch.query_times[row, batch.lengths[row] - 1]), int(batch.lengths[row])
            found[epoch, user, last] = tuple(column[row].tolist() for column in batch.plan.columns().values())
    return found


@pytest.mark.parametrize("room", [None, 0, 4000])
def test_a_plan_is_the_same_whether_it_is_kept_or_made_anew(room):
    """With no room every plan is made anew; with a little, batches are joined of kept and fresh ones."""
    kept, divided = feed_of(Newest(), room=room)
    fresh, _ = feed_of(Newest(), room=0)
    one, other = facts(epochs(kept, divided=divided)), facts(epochs(fresh, divided=divided))
    assert one == other and len(one) > 60
    assert {plan[0] for plan in one.values()} == {0, 1, 2}


def test_a_row_is_planned_once():
    compressor = Newest()
    feed, divided = feed_of(compressor)
    first = len(list(epochs(feed, divided=divided)))
    assert first > 10
    rows = len(feed.rows) + len(divided.test_events)
    assert sum(compressor.asked) == rows
    assert feed.plans.room < 256 * 2**20


def test_without_room_every_epoch_plans_anew():
    compressor = Newest()
    feed, divided = feed_of(compressor, room=0)
    list(epochs(feed, divided=divided))
    assert sum(compressor.asked) == 2 * (len(feed.rows) + len(divided.test_events))


def test_plans_that_see_hidden_events_are_not_kept():
    """Other events are hidden in each epoch, and a plan may depend on those that are left."""
    compressor = Newest()
    feed, _ = feed_of(compressor, masked=True)
    list(epochs(feed))
    assert sum(compressor.asked) == 2 * len(feed.rows)


def test_the_same_window_before_another_budget_is_another_row():
    compressor = Newest()
    plans = Plans(compressor)
    made = Plan(np.array([1]), np.array([0]), np.zeros((1, 2), np.int64))
    plans.of([(3, 7, 0, 4)], lambda some: made)
    plans.of([(3, 7, 0, 3)], lambda some: replace(made, displaced=np.array([1])))
    assert plans.of([(3, 7, 0, 3), (3, 7, 0, 4)], lambda some: pytest.fail("kept")).displaced.tolist() == [1, 0]


def test_no_rows_are_a_plan_of_no_rows():
    plans = Plans(Newest())
    empty = Plan(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    assert len(plans.of([], lambda some: empty)) == 0


def test_on_a_device_times_are_cut_to_the_most_tokens():
    plan = Plan(np.array([1, 0]), np.array([0, 0]), np.array([[5, 0], [0, 0]]), {"items": np.array([[3, 0], [0, 0]])})
    there = plan.to("cpu")
    assert there.latest.tolist() == [[5], [0]] and there.used.tolist() == [[True], [False]]
    assert there.arrays["items"].shape == (2, 2)


@pytest.mark.parametrize(("changes", "told"), [
    ({"tokens": np.array([1.0, 1.0])}, r"tokens of float64\. Expected integers"),
    ({"tokens": np.array([1])}, r"tokens of shape \(1,\)\. Expected \(2,\): an entry for each row\."),
    ({"displaced": np.array([[0, 0]])}, r"displaced of shape \(1, 2\)\. Expected \(2,\): an entry for each row\."),
    ({"latest": np.zeros((2, 3), int)}, r"latest of shape \(2, 3\)\. Expected \(2, 2\): an entry for each row, of max"),
    ({"arrays": {"items": np.zeros((3, 2), int)}}, r"items of shape \(3, 2\)\. Expected \(2, 2\): an entry for each"),
    ({"tokens": np.array([3, 0])}, r"3 tokens for a row\. Expected at most max_tokens: 2"),
    ({"tokens": np.array([-1, 0])}, r"-1 tokens for a row\. Expected 0 or more"),
    ({"displaced": np.array([0, -2])}, r"-2 displaced for a row\. Expected 0 or more"),
])
def test_a_plan_of_another_form_is_the_plugins_mistake(changes, told):
    plan = Plan(np.array([1, 0]), np.array([0, 0]), np.zeros((2, 2), np.int64), {"items": np.zeros((2, 2), np.int64)})
    with pytest.raises(PluginError, match=f"^Newest: its plan has {told}"):
        Plans(Newest()).of(["a", "b"], lambda some: replace(plan, **changes))


def test_what_is_no_plan_is_the_plugins_mistake():
    with pytest.raises(PluginError, match=r"^Newest: plan returned a dict\. Expected a benchbase\.nn\.Plan\."):
        Plans(Newest()).of(["a"], lambda some: {})
