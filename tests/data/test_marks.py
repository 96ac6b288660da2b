"""Marks of events: kept with them, read by no model, shown to objectives with targets, and what a split goes by."""

from dataclasses import replace

import numpy as np
import pytest

from benchbase.data import TEST, TRAIN, UNUSED, VALID, DatasetConfig, Log, encode, prepare, split
from benchbase.data.batches import Feed, FeedConfig
from benchbase.errors import DataError, Refusal
from benchbase.specs import DataContext, DatasetSpec, Negatives


def log(**changes):
    """Users 0 to 3, ten events each, out of order; the mark of an event is its time, and every third is at random."""
    random = np.random.default_rng(0)
    user, time = np.divmod(random.permutation(40), 10)
    marks = {"serial": time.astype(np.float32), "random": (time % 3 == 0).astype(np.float32)}
    return Log(**{"user": user, "item": random.integers(0, 6, 40), "timestamp": time, "marks": marks} | changes)


def test_marks_stay_with_their_events(tmp_path):
    spec = DatasetSpec(name="marked", config=DatasetConfig, build=lambda config, context: log(), source="tests")
    for _ in range(2):  # made, and opened
        made = prepare(spec, DatasetConfig(), DataContext(cache=tmp_path))
        found = made.interactions
        assert found.mark_names == ("serial", "random") and made.card["marks"] == ["serial", "random"]
        assert found.mark("serial").tolist() == found.timestamp.tolist() == [*range(10)] * 4
        assert found.mark("random").tolist() == [time % 3 == 0 for time in found.timestamp]
    bare = encode(log(marks={}), DatasetConfig())[0]
    assert bare.marks is None and bare.mark_names == ()


def test_a_mark_that_is_no_number_is_refused():
    serial = np.where(np.arange(40) == 7, np.nan, 1.0)
    with pytest.raises(DataError, match=r"event 8 has serial nan\. Expected finite numbers"):
        encode(log(marks={"serial": serial}), DatasetConfig())
    with pytest.raises(DataError, match=r"column 'serial' has 3 values\. Expected 40, one for each event"):
        encode(log(marks={"serial": serial[:3]}), DatasetConfig())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("negatives", [{}, {"x": Negatives(count=2)}])
def test_targets_have_the_marks_of_their_events_and_the_batch_has_none(masked, negatives):
    interactions, catalogue, _ = encode(log(), DatasetConfig())
    feed = Feed(interactions, catalogue, split(interactions, catalogue, "leave_one_out"),
                FeedConfig(window=6, masked=masked, negatives=negatives))
    met = 0
    for groups in feed.train_batches(1, 2, 2):
        for group in groups:
            targets, batch = group.targets_for("x"), group.batch
            late = batch.timestamps if masked else batch.query_times
            place = (targets.row, targets.event - (0 if masked else 1))
            assert targets.marks[:, 0].tolist() == late[place].tolist()
            assert batch.actions.shape[-1] == batch.features.shape[-1] == 0
            met += len(targets)
    assert met


def test_only_what_was_shown_at_random_is_evaluated():
    interactions, catalogue, _ = encode(log(), DatasetConfig())
    how = {"name": "random_exposure", "valid_from": 4, "test_from": 7}
    divided = split(interactions, catalogue, how, "each")
    assert divided.facts["shown_at_random"] == 8  # 6 and 9 of each user
    expected = [TRAIN] * 4 + [UNUSED, UNUSED, VALID] + [UNUSED, UNUSED, TEST]
    assert divided.part.tolist() == expected * 4
    assert divided.test_events.tolist() == [9, 19, 29, 39] and divided.valid_events.tolist() == [6, 16, 26, 36]
    feature = encode(log(marks={}, features={"shown": log().marks["random"]}), DatasetConfig())[0]
    assert split(feature, catalogue, {**how, "column": "shown"}).part.tolist() == expected * 4


def test_data_that_does_not_say_what_was_shown_at_random_is_refused():
    interactions, catalogue, _ = encode(log(marks={}), DatasetConfig())
    message = r"split random_exposure: events have no column 'random'\. Expected one that says so\. Use global_time"
    with pytest.raises(Refusal, match=message):
        split(interactions, catalogue, "random_exposure")
    interactions, catalogue, _ = encode(log(), DatasetConfig())
    with pytest.raises(Refusal, match=r"no column 'randum'\. Did you mean 'random'\? Columns: random, serial\."):
        split(interactions, catalogue, {"name": "random_exposure", "column": "randum"})
    interactions, catalogue, _ = encode(log(timestamp=None), DatasetConfig())
    with pytest.raises(Refusal, match=r"the data set has no timestamps"):
        split(interactions, catalogue, "random_exposure")


def test_a_name_of_two_columns_is_refused():
    """Each is checked under its own name: none may stand for the other."""
    values = np.ones(40)
    with pytest.raises(DataError, match=r"serial names two columns of actions, features and marks\. Expected each"):
        encode(log(features={"serial": np.full(40, np.nan)}), DatasetConfig())
    with pytest.raises(DataError, match=r"x names two columns"):
        encode(log(actions={"x": values}, features={"x": values}), DatasetConfig())


@pytest.mark.parametrize(("part", "fix"), [("test", r"column\."), ("valid", r"column, or choose valid: 0")])
def test_a_part_in_which_nothing_was_shown_at_random_is_told(part, fix):
    interactions, catalogue, _ = encode(log(), DatasetConfig())
    how = {"name": "random_exposure", "valid_from": 3 if part == "test" else 4, "test_from": 7 if part == "test" else 6}
    random = interactions.mark("random").copy()
    later = interactions.timestamp >= how["test_from"] if part == "test" else (
        (interactions.timestamp >= 4) & (interactions.timestamp < 6))
    random[later] = 0
    marked = replace(interactions, marks=np.stack([interactions.mark("serial"), random], axis=1))
    with pytest.raises(DataError, match=rf"random is 1 in no event of the {part} part, in \d+ events in all\. .*{fix}"):
        split(marked, catalogue, how)
