"""Splits: what each promises on any data, and every message."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchbase.data import TEST, TRAIN, UNUSED, VALID, DatasetConfig, Log, encode, resolve_split, split
from benchbase.data.sequences import train_events, train_lengths
from benchbase.errors import ConfigError, DataError, Refusal

EVENTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(0, 30)), min_size=3, max_size=60)
TARGETS = st.sampled_from(["next", "each"])
SPLITS = st.sampled_from([
    "global_time", "leave_one_out", {"name": "temporal_ratio", "valid": 0.2, "test": 0.3},
    {"name": "user_holdout", "valid": 0.3, "test": 0.3, "context": 0.5}, {"name": "leave_last", "valid": 2, "test": 3},
])


def data(events, times=True):
    user, item, time = (np.array(column) for column in zip(*events, strict=True))
    interactions, catalogue, _ = encode(Log(user, item, time if times else None), DatasetConfig())
    return interactions, catalogue


def divide(events, how, targets="next", times=True):
    """The split, or a discarded example where a part is rightly refused as empty."""
    interactions, catalogue = data(events, times)
    try:
        return interactions, split(interactions, catalogue, how, targets)
    except DataError as error:
        assume("empty" not in str(error) and "no test event" not in str(error))
        raise


@given(EVENTS, SPLITS, TARGETS)
def test_evaluated_events_are_in_their_part_and_have_a_past(events, how, targets):
    interactions, found = divide(events, how, targets)
    starts = set(interactions.offsets[:-1].tolist())
    for rows, part in ((found.valid_events, VALID), (found.test_events, TEST)):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        assert (found.part[rows] == part).all()
        assert not starts & set(rows.tolist())


@given(EVENTS, SPLITS)
def test_a_users_training_precedes_valid_precedes_test(events, how):
    interactions, found = divide(events, how)
    for user in range(interactions.n_users):
        part = found.part[interactions.offsets[user] : interactions.offsets[user + 1]].tolist()
        order = [(TRAIN, UNUSED, VALID, TEST).index(each) for each in part]
        assert order == sorted(order)


@given(EVENTS, SPLITS)
def test_next_is_the_first_evaluated_event_of_each_user_and_part(events, how):
    interactions, found = divide(events, how, "next")
    _, each = divide(events, how, "each")
    user = interactions.user
    for name, part in (("valid_events", VALID), ("test_events", TEST)):
        first = {}
        for row in np.flatnonzero(found.part == part):
            first.setdefault(user[row], row)
        kept = [row for row in first.values() if row not in interactions.offsets]
        assert getattr(found, name).tolist() == kept
        rows = [row for row in np.flatnonzero(found.part == part) if row not in interactions.offsets]
        assert getattr(each, name).tolist() == rows


@given(EVENTS, st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_global_time_trains_on_nothing_at_or_after_the_cut(events, valid, test):
    interactions, found = divide(events, {"name": "global_time", "valid": valid, "test": test})
    time, facts = interactions.timestamp, found.facts
    assert time[found.part == TRAIN].max() < facts["valid_from"]
    assert facts["valid_from"] <= time[found.part == VALID].min()
    assert time[found.part == VALID].max() < facts["test_from"] <= time[found.part == TEST].min()
    assert facts["leak_share"] == 0
    assert facts["warnings"] == []
    assert np.count_nonzero(found.part == TEST) >= round(len(events) * test)


STREAMS = st.builds(
    lambda test, valid, retained, periods: {"name": "prequential", "test": test, "valid": valid, "retained": retained,
                                            "periods": periods},
    st.floats(0.2, 0.6), st.sampled_from([0, 0.1, 0.15]), st.sampled_from([0, 0.1, 0.15]), st.integers(1, 4))


def follow(events, how, targets):
    """The split, or a discarded example where data of so few times is rightly refused."""
    try:
        return divide(events, how, targets)
    except DataError as error:
        assume("periods of" not in str(error) and "no event is retained" not in str(error))
        raise


@given(EVENTS, STREAMS, TARGETS)
def test_a_stream_comes_after_all_else_in_periods_that_follow_each_other(events, how, targets):
    interactions, found = follow(events, how, targets)
    time, stream, facts = interactions.timestamp, found.stream, found.facts
    period = stream.period
    assert ((period >= 0) == (found.part == TEST)).all() and stream.n_periods == how["periods"]
    assert set(period.tolist()) - {-1} == set(range(how["periods"]))
    order = np.argsort(time, kind="stable")
    stage = np.where(period >= 0, 3 + period, np.array([0, 1, 9, 2])[found.part])  # train, valid, retained, periods
    assert (np.diff(stage[order]) >= 0).all()
    for one in range(how["periods"]):
        assert time[period == one].min() >= facts["period_from"][one]
    assert facts["leak_share"] == 0 and facts["warnings"] == []
    assert np.count_nonzero(period >= 0) >= max(how["periods"], round(len(events) * how["test"]))


@given(EVENTS, STREAMS)
def test_next_is_the_first_event_of_each_user_and_period(events, how):
    interactions, found = follow(events, how, "next")
    _, each = follow(events, how, "each")
    user, period, firsts = interactions.user, found.stream.period, set(interactions.offsets.tolist())
    seen, kept = set(), []
    for row in np.flatnonzero(period >= 0).tolist():
        if (user[row], period[row]) not in seen:
            kept += [row] if row not in firsts else []
        seen.add((user[row], period[row]))
    assert found.test_events.tolist() == kept
    assert each.test_events.tolist() == [row for row in np.flatnonzero(period >= 0).tolist() if row not in firsts]
    retained = np.flatnonzero(found.part == UNUSED).tolist()
    assert each.stream.retained_events.tolist() == [row for row in retained if row not in firsts]
    assert len(set(user[found.stream.retained_events].tolist())) == len(found.stream.retained_events)


@pytest.mark.parametrize(("how", "message"), [
    ({"periods": 9}, r"split prequential: 9 periods of 9 events would begin at 3 different times\. Expected as many\. "
                     "Ask for fewer periods"),
    ({"periods": 1, "test": 0.4, "retained": 0.05},
     r"split prequential: no event is retained before the stream begins\. .* retained: 0"),
])
def test_streams_that_times_do_not_allow(how, message):
    events = [(u, u + t, t // 2) for u in (1, 2) for t in range(9)]
    with pytest.raises(DataError, match=message):
        split(*data(events), {"name": "prequential", **how})


def test_a_stream_needs_times_and_something_before_it():
    events = [(1, item, item) for item in range(1, 9)]
    with pytest.raises(Refusal, match=r"split prequential: the data set has no timestamps\. Expected a time for every"):
        split(*data(events, times=False), "prequential")
    message = r"valid 0\.3, retained 0\.2 and test 0\.5 leave nothing to train on\. Expected a sum below 1"
    with pytest.raises(ConfigError, match=message):
        resolve_split({"name": "prequential", "valid": 0.3, "retained": 0.2})


@given(EVENTS, TARGETS)
def test_leave_one_out_gives_each_long_user_one_event_of_each_part(events, targets):
    interactions, found = divide(events, "leave_one_out", targets)
    for user in range(interactions.n_users):
        part = found.part[interactions.offsets[user] : interactions.offsets[user + 1]].tolist()
        assert part == ([TRAIN] * (len(part) - 2) + [VALID, TEST] if len(part) >= 3 else [TRAIN] * len(part))
    n_long = int((np.diff(interactions.offsets) >= 3).sum())
    assert len(found.test_events) == len(found.valid_events) == n_long
    assert found.facts["users_too_short"] == interactions.n_users - n_long


@given(EVENTS, st.integers(0, 5), st.integers(1, 5), TARGETS)
def test_leave_last_gives_each_long_user_so_many_events_of_each_part(events, valid, test, targets):
    how = {"name": "leave_last", "valid": valid, "test": test}
    interactions, found = divide(events, how, targets)
    sizes = np.diff(interactions.offsets)
    for user, size in enumerate(sizes.tolist()):
        part = found.part[interactions.offsets[user] : interactions.offsets[user + 1]].tolist()
        n = size - valid - test
        assert part == ([TRAIN] * n + [VALID] * valid + [TEST] * test if n >= 1 else [TRAIN] * size)
    n_long = int((sizes > valid + test).sum())
    assert len(found.test_events) == n_long * (test if targets == "each" else 1)
    assert found.facts["users_too_short"] == interactions.n_users - n_long


@given(EVENTS)
def test_leave_last_leaves_one_by_default(events):
    _, found = divide(events, "leave_last")
    assert found.part.tolist() == split(*data(events), "leave_one_out").part.tolist()


@given(EVENTS, st.floats(0, 0.98), st.floats(0.01, 0.39))
def test_temporal_ratio_gives_each_long_user_shares_and_something_to_train_on(events, valid, test):
    assume(valid + test < 1)
    interactions, found = divide(events, {"name": "temporal_ratio", "valid": valid, "test": test})
    for user in range(interactions.n_users):
        sizes = np.bincount(found.part[interactions.offsets[user] : interactions.offsets[user + 1]], minlength=3)
        n = sizes.sum()
        if n < 3:
            assert sizes[TRAIN] == n
            continue
        assert sizes[TRAIN] >= 1 and sizes[TEST] >= 1
        assert sizes[VALID] == (min(max(1, int(n * valid)), n - 2) if valid else 0)
        assert sizes[TEST] == min(max(1, int(n * test)), n - sizes[VALID] - 1)


@given(EVENTS, st.floats(0, 0.49), st.floats(0.01, 0.49), st.floats(0.01, 0.99), st.integers(0, 99))
def test_user_holdout_trains_on_whole_users_and_holds_out_the_others(events, valid, test, context, seed):
    interactions, _ = data(events)
    rule, config = resolve_split({"name": "user_holdout", "valid": valid, "test": test, "context": context})
    part, facts = rule.divide(interactions, config, seed)
    held = {"valid": 0, "test": 0}
    sizes = np.diff(interactions.offsets)
    for user, size in enumerate(sizes.tolist()):
        own = part[interactions.offsets[user] : interactions.offsets[user + 1]].tolist()
        if TRAIN in own:
            assert own == [TRAIN] * size
            continue
        n = min(max(1, int(size * context)), size - 1)
        assert own in ([UNUSED] * n + [VALID] * (size - n), [UNUSED] * n + [TEST] * (size - n))
        held["valid" if VALID in own else "test"] += 1
    able = int((sizes >= 2).sum())
    n_test = min(max(1, round(able * test)), max(able - 1, 0))
    assert held == facts["held_out"]
    assert held["test"] == n_test
    assert held["valid"] == (min(max(1, round(able * valid)), max(able - n_test - 1, 0)) if valid else 0)
    assert facts["users_too_short"] == int((sizes < 2).sum())


def many_users(n=200):
    return [(user, event % 7 + 1, user + event) for user in range(1, n + 1) for event in range(4)]


def held_out(interactions, seed, ids=None):
    """The original ids of the test users."""
    rule, config = resolve_split("user_holdout")
    part, _ = rule.divide(replace(interactions, user_ids=ids) if ids is not None else interactions, config, seed)
    users = np.unique(interactions.user[part == TEST])
    return set((interactions.user_ids if ids is None else ids)[users].tolist())


def test_the_seed_and_the_users_id_alone_decide_who_is_held_out():
    interactions, _ = data(many_users())
    once = held_out(interactions, 3)
    assert len(once) == 20 and once == held_out(interactions, 3)
    assert len(once & held_out(interactions, 4)) < 10
    turned = interactions.user_ids[::-1].copy()  # all users have as many events: only their names change places
    assert held_out(interactions, 3, turned) == once
    assert held_out(interactions, 3, turned.astype(str).astype(object)) != {str(user) for user in once}
    nameless = replace(interactions, user_ids=None)
    rule, config = resolve_split("user_holdout")
    assert (rule.divide(nameless, config, 3)[0] == TEST).sum() == 20


def test_a_split_is_given_the_seed_and_other_rules_draw_nothing():
    interactions, catalogue = data(many_users())

    def parts(how, seed):
        return split(interactions, catalogue, how, seed=seed).part.tolist()

    assert parts("user_holdout", 0) == split(interactions, catalogue, "user_holdout").part.tolist()
    assert parts("user_holdout", 0) != parts("user_holdout", 1)
    for how in ("leave_one_out", "leave_last", "temporal_ratio", "global_time"):
        assert parts(how, 0) == parts(how, 1)


def test_context_is_what_a_held_out_user_starts_with():
    """Of ten events eight are read; the ninth is evaluated, or both that are left."""
    events = [(user, event + 1, event) for user in range(10) for event in range(10)]
    for targets, places in (("next", {8}), ("each", {8, 9})):
        _, found = divide(events, "user_holdout", targets)
        assert {int(event) % 10 for event in found.test_events} == places
        assert found.facts["events"] == {"train": 80, "valid": 2, "test": 2, "unused": 16}
        assert found.facts["users"] == {"valid": 1, "test": 1} == found.facts["held_out"]
    assert found.facts["leak_share"] > 0 and found.facts["warnings"]


@given(EVENTS, SPLITS)
def test_a_users_train_events_are_the_oldest(events, how):
    """What the windows for training and the counts of recommenders rely on."""
    interactions, found = divide(events, how)
    lengths = train_lengths(interactions, found)
    learned = train_events(interactions, found)
    assert learned.lengths.tolist() == lengths.tolist()
    wanted = np.concatenate([interactions.item[a : a + n] for a, n in zip(interactions.offsets, lengths, strict=False)])
    assert learned.item.tolist() == wanted.tolist() == interactions.item[found.part == TRAIN].tolist()


@given(EVENTS, SPLITS)
def test_leak_and_cold_shares_are_what_they_say(events, how):
    interactions, found = divide(events, how)
    train = np.flatnonzero(found.part == TRAIN)
    times = interactions.timestamp
    later = [row for row in train if any(times[row] > times[test] for test in found.test_events)]
    assert found.facts["leak_share"] == pytest.approx(len(later) / len(train))
    assert len(found.facts["warnings"]) == bool(later)
    known = set(interactions.item[train].tolist())
    cold = [item for item in interactions.item[found.test_events].tolist() if item not in known]
    assert found.facts["cold_share"]["test"] == pytest.approx(len(cold) / len(found.test_events))


LATE = [(1, 1, 0), (1, 2, 1), (1, 3, 8), (2, 4, 9), (2, 5, 9), (3, 1, 2), (3, 2, 3)]
CUTS = {"name": "global_time", "valid_from": 3, "test_from": 8}


def test_users_that_begin_after_the_cut_are_left_out_and_counted():
    _, found = divide(LATE, CUTS, "next")
    assert found.test_events.tolist() == [2]
    assert found.facts["without_history"] == {"valid": 0, "test": 1}
    assert found.facts["events"] == {"train": 3, "valid": 1, "test": 3, "unused": 0}
    assert found.facts["evaluated"] == {"valid": 1, "test": 1}
    _, found = divide(LATE, CUTS, "each")
    assert found.test_events.tolist() == [2, 4]
    assert found.facts["users"] == {"valid": 1, "test": 2}
    assert UNUSED not in found.part


@pytest.mark.parametrize(
    "moment",
    ["2020-01-01", date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), 1577836800, "2020-01-01T01:00:00+01:00"],
)
def test_cut_off_dates_are_iso_dates_or_unix_seconds(moment):
    config = resolve_split({"name": "global_time", "valid_from": moment, "test_from": "2020-02-01"})[1]
    assert (config.valid_from, config.test_from) == (1577836800, 1580515200)


def test_events_at_a_cut_fall_after_it():
    events = [(1, 1, time) for time in (0, 1, 2, 3)]
    _, found = divide(events, {"name": "global_time", "valid_from": 1, "test_from": 3})
    assert found.part.tolist() == [TRAIN, VALID, VALID, TEST]


def test_without_timestamps_time_splits_are_refused_and_order_splits_work():
    interactions, catalogue = data(LATE, times=False)
    with pytest.raises(
        Refusal,
        match=r"^split global_time: the data set has no timestamps\. Expected a time for every "
        r"event\. Use leave_one_out, temporal_ratio or user_holdout, which need only an order\.",
    ):
        split(interactions, catalogue)
    for how in ("leave_one_out", "temporal_ratio", {"name": "user_holdout", "valid": 0}):
        assert split(interactions, catalogue, how).facts["leak_share"] == "not known"


BAD = {
    r"^split: no split named 'leave_one'\. Did you mean 'leave_one_out'\?": "leave_one",
    r"^split: no split named None\. Known: global_time": {},
    r"^split leave_one_out\.k: Extra inputs": {"name": "leave_one_out", "k": 2},
    r"^split global_time\.test: .*greater than 0": {"name": "global_time", "test": 0},
    r"^split global_time: valid 0\.6 and test 0\.5 leave nothing to train on\. Expected a sum below 1\.": {
        "name": "global_time",
        "valid": 0.6,
        "test": 0.5,
    },
    r"^split user_holdout: valid 0\.6 and test 0\.4 leave nothing to train on\. Expected a sum below 1\.": {
        "name": "user_holdout",
        "valid": 0.6,
        "test": 0.4,
    },
    r"^split user_holdout\.context: .*less than 1": {"name": "user_holdout", "context": 1},
    r"^split user_holdout\.context: .*greater than 0": {"name": "user_holdout", "context": 0.0},
    r"^split global_time: only one of valid_from and test_from is given\. Expected both or neither\.": {
        "name": "global_time",
        "test_from": 3,
    },
    r"^split global_time: valid_from is later than test_from\. Expected the valid part before": {
        "name": "global_time",
        "valid_from": 9,
        "test_from": 3,
    },
    r"^split global_time\.valid_from: 'June' is no ISO date\. Expected for example 2019-06-30": {
        "name": "global_time",
        "valid_from": "June",
        "test_from": 3,
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_parameters_are_named(message):
    with pytest.raises(ConfigError, match=message):
        resolve_split(BAD[message])


def test_unknown_targets_are_named():
    with pytest.raises(ConfigError, match=r"^targets: no such choice 'nxt'\. Did you mean 'next'\?"):
        split(*data(LATE), "leave_one_out", "nxt")


EMPTY = {
    r"^split global_time: the test part is empty\. Expected events in train, valid and test\. Choose other": (
        LATE,
        {"name": "global_time", "valid_from": 3, "test_from": 10},
    ),
    r"^split global_time: the train part is empty": (LATE, {"name": "global_time", "valid_from": 0, "test_from": 3}),
    r"^split leave_one_out: the valid part is empty": ([(1, 1, 0), (1, 2, 0), (2, 1, 0)], "leave_one_out"),
    r"^split user_holdout: the valid part is empty\. Expected events in train, valid and test\.": (
        [(user, 1, time) for user in (1, 2) for time in range(4)],
        "user_holdout",
    ),
    r"^split user_holdout: the test part is empty\.": (
        [(user, 1, 0) for user in (1, 2, 3)],
        {"name": "user_holdout", "valid": 0},
    ),
    r"^split global_time: no test event has an earlier event of its user\. Expected at least one\. Keep users": (
        [(1, 1, 0), (1, 1, 1), (2, 1, 2)],
        {"name": "global_time", "valid_from": 1, "test_from": 2},
    ),
}


@pytest.mark.parametrize("message", EMPTY)
def test_empty_parts_are_refused(message):
    events, how = EMPTY[message]
    with pytest.raises(DataError, match=message):
        split(*data(events), how)


def test_without_a_valid_share_the_valid_part_may_be_empty():
    _, found = divide([(1, 1, time) for time in range(10)], {"name": "global_time", "valid": 0, "test": 0.2})
    assert np.bincount(found.part).tolist() == [8, 0, 2]
    assert found.facts["cold_share"]["valid"] is None
