"""Encode: numbering, sorting and filtering, against slow plain code; and every message about a bad log."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbase.data import DatasetConfig, ItemTable, Log, encode
from benchbase.errors import DataError

EVENTS = st.lists(st.tuples(st.integers(1, 5), st.integers(-3, 4), st.integers(0, 3)), min_size=1, max_size=40)


def make_log(events, **more):
    user, item, time = (np.array(column) for column in zip(*events, strict=True))
    return Log(user, item, time, {"row": np.arange(len(events), dtype=np.float32)}, **more)


def triples(interactions, catalogue):
    """(user id, item id, time) of every row, in stored order."""
    return list(
        zip(
            interactions.user_ids[interactions.user].tolist(),
            catalogue.item_ids[interactions.item].tolist(),
            interactions.timestamp.tolist(),
            strict=True,
        )
    )


@settings(deadline=None)
@given(EVENTS)
def test_every_event_is_kept_sorted_by_user_then_time_then_file_order(events):
    interactions, catalogue, _ = encode(make_log(events), DatasetConfig())
    assert triples(interactions, catalogue) == sorted(events, key=lambda event: (event[0], event[2]))
    assert interactions.item.min() == 1
    assert interactions.item.max() == catalogue.n_items
    assert interactions.n_users == len({event[0] for event in events})


def slow_filter(events, config):
    """The filters in plain words."""
    events = sorted(events, key=lambda event: (event[0], event[2]))
    if config.repeats != "keep":
        walk = events if config.repeats == "first" else events[::-1]
        seen, kept = set(), []
        for event in walk:
            if event[:2] not in seen:
                seen.add(event[:2])
                kept.append(event)
        events = kept if config.repeats == "first" else kept[::-1]
    while True:
        users, items = Counter(event[0] for event in events), Counter(event[1] for event in events)
        kept = [
            event
            for event in events
            if users[event[0]] >= config.min_user_events and items[event[1]] >= config.min_item_events
        ]
        if len(kept) == len(events):
            return kept
        events = kept


@settings(deadline=None)
@given(EVENTS, st.integers(1, 4), st.integers(1, 4), st.sampled_from(["keep", "first", "last"]))
def test_filters_leave_the_core_of_the_unrepeated_events(events, min_user, min_item, repeats):
    config = DatasetConfig(min_user_events=min_user, min_item_events=min_item, repeats=repeats)
    expected = slow_filter(events, config)
    if not expected:
        with pytest.raises(
            DataError,
            match=r"^log: the filters leave no event\. Expected at least one user with "
            rf"min_user_events = {min_user}.*Lower the minima\.",
        ):
            encode(make_log(events), config)
        return
    interactions, catalogue, facts = encode(make_log(events), config)
    assert triples(interactions, catalogue) == expected
    assert sum(facts["removed"].values()) == facts["source_events"] - len(expected)


@settings(deadline=None)
@given(EVENTS, st.randoms(use_true_random=False))
def test_without_file_order_the_order_of_rows_means_nothing(events, random):
    events = list(dict.fromkeys(events))
    shuffled = random.sample(events, len(events))
    first, second = (
        triples(*encode(make_log(each, file_order=False), DatasetConfig(), 7)[:2]) for each in (events, shuffled)
    )
    assert first == second


def test_the_hash_of_ties_depends_on_the_data_seed_and_is_not_the_order_of_items():
    events = [(1, item, 0) for item in range(30)]
    orders = [triples(*encode(make_log(events, file_order=False), DatasetConfig(), seed)[:2]) for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) not in orders


def test_ids_may_be_integers_far_apart_strings_or_categoricals():
    pd = pytest.importorskip("pandas")
    names = ["b", "a", "b", "c"]
    for ids in (np.array(names, object), np.array(names), pd.Categorical(names, ["z", "c", "b", "a"])):
        interactions, catalogue, _ = encode(Log(ids, ids), DatasetConfig())
        assert interactions.user_ids.tolist() == ["a", "b", "c"]
        assert catalogue.item_ids.tolist() == ["", "a", "b", "c"]
        assert interactions.item.tolist() == [1, 2, 2, 3]
    far = np.array([2**62, -5, 2**62])
    interactions, catalogue, _ = encode(Log(far, far), DatasetConfig())
    assert catalogue.item_ids.tolist() == [0, -5, 2**62]
    assert interactions.item.tolist() == [1, 2, 2]


def test_integer_ids_beyond_the_signed_range_stay_whole_and_apart():
    close = np.array([2**63 + 1, 2**63, 2**63 + 1], np.uint64)
    interactions, catalogue, _ = encode(Log(close, close), DatasetConfig())
    assert interactions.user_ids.tolist() == catalogue.item_ids[1:].tolist() == [2**63, 2**63 + 1]
    big = np.array([2**64 - 1, 2**63, 2**64 - 1, 5], np.uint64)
    table = ItemTable(np.array([2**63, 5, 2**63 + 1], np.uint64), columns={"year": np.array([1, 2, 3])})
    interactions, catalogue, _ = encode(Log(big, big, items=table), DatasetConfig())
    assert catalogue.item_ids.tolist() == [0, 5, 2**63, 2**64 - 1]
    assert interactions.user_ids.tolist() == [5, 2**63, 2**64 - 1]
    assert catalogue.columns["year"].tolist() == [-1, 2, 1, -1]
    signed = ItemTable(np.array([5, 7]), columns={"year": np.array([1, 2])})
    assert encode(Log(big, big, items=signed), DatasetConfig())[1].columns["year"].tolist() == [-1, 1, -1, -1]


def test_unsigned_ids_that_signed_ones_hold_are_the_same_ids():
    for ids in ([3, 1], [2**62, 1]):
        one, other = (encode(Log(np.array(ids, kind), np.array(ids)), DatasetConfig())[0] for kind in ("u8", "i8"))
        assert one.user_ids.dtype == other.user_ids.dtype == np.int64


@pytest.mark.parametrize("n", [2**15 - 1, 2**15])
def test_more_domains_than_their_codes_can_number_are_refused(n):
    ids = np.arange(n)
    log = Log(ids, ids, items=ItemTable(ids, domain=ids.astype(str).astype(object)))
    if n < 2**15:
        assert encode(log, DatasetConfig())[1].domain.max() == n - 1
    else:
        with pytest.raises(DataError, match=r"^log: 32768 domains\. Expected at most 32767\. Check which column"):
            encode(log, DatasetConfig())


def test_actions_and_features_follow_their_events():
    log = Log(
        np.array([2, 1, 2]),
        np.array([7, 7, 8]),
        np.array([5, 0, 1]),
        {"click": np.array([True, False, True]), "stars": np.array([1, 2, 3])},
        {"x": np.array([0.5, 1.5, 2.5])},
    )
    interactions, _, _ = encode(log, DatasetConfig())
    assert interactions.actions.tolist() == [[0, 2], [1, 3], [1, 1]]
    assert interactions.features.tolist() == [[1.5], [2.5], [0.5]]
    assert (interactions.action_names, interactions.feature_names) == (("click", "stars"), ("x",))
    assert interactions.actions.dtype == np.float32


def test_finer_ticks_sort_within_a_second_and_are_kept_as_seconds():
    log = Log(np.ones(3, int), np.array([1, 2, 3]), np.array([5900, 5100, 7000]), ticks=1000)
    interactions, catalogue, _ = encode(log, DatasetConfig())
    assert catalogue.item_ids[interactions.item].tolist() == [2, 1, 3]
    assert interactions.timestamp.tolist() == [5, 5, 7]


def test_without_timestamps_the_file_order_is_the_order():
    interactions, catalogue, facts = encode(Log(np.array([1, 2, 1]), np.array([9, 9, 3])), DatasetConfig())
    assert interactions.timestamp is None
    assert not catalogue.has_time
    assert catalogue.item_ids[interactions.item].tolist() == [9, 3, 9]
    assert facts["tie_share"] is None


def test_facts_count_repeats_ties_and_what_the_reader_removed():
    events = [(1, 5, 0), (1, 5, 0), (1, 6, 0), (2, 5, 0)]
    _, _, facts = encode(make_log(events, removed={"low": 3}, facts={"note": "text"}), DatasetConfig(repeats="first"))
    assert facts["repeated_pairs"] == 1
    assert facts["removed"] == {"low": 3, "repeated pairs": 1}
    assert facts["source_events"] == 7
    assert facts["tie_share"] == 1 / 3
    assert facts["facts"] == {"note": "text"}


def test_item_features_are_aligned_and_missing_ones_marked():
    table = ItemTable(
        np.array([30, 10, 99]),
        {"genre": [("b", "a"), (), ("z",)]},
        {
            "year": np.array([1990, 2000, 1]),
            "score": np.array([0.5, 1.5, 2.5]),
            "title": np.array(["é" * 70, "x", "y"]),
        },
        np.array(["film", "", "song"], object),
    )
    log = Log(np.ones(3, int), np.array([30, 20, 10]), items=table)
    _, catalogue, facts = encode(log, DatasetConfig())
    assert catalogue.item_ids.tolist() == [0, 10, 20, 30]
    assert catalogue.columns["year"].tolist() == [-1, 2000, -1, 1990]
    assert np.isnan(catalogue.columns["score"][[0, 2]]).all()
    assert catalogue.columns["score"][[1, 3]].tolist() == [1.5, 0.5]
    assert catalogue.columns["title"].tolist() == ["", "x", "", "é" * 70]
    assert (catalogue.domain.tolist(), catalogue.domain_names) == ([-1, -1, -1, 0], ("film",))
    genre = catalogue.categories["genre"]
    assert genre.labels == ("a", "b")
    assert [genre.of(item).tolist() for item in range(4)] == [[], [], [], [0, 1]]
    assert facts["listed_items_without_events"] == 1
    assert facts["items_not_listed"] == 1


ONE = np.ones(1, int)
BAD_LOGS = {
    r"^log: the log has no events\. Expected at least one\. Check the file": Log(np.array([]), np.array([])),
    r"^log: column 'item' has 2 values\. Expected 1, one for each event\.": Log(ONE, np.ones(2, int)),
    r"^log: timestamps are of type float64\. Expected whole Unix time\.": Log(ONE, ONE, np.array([0.5])),
    r"^log: event 1 has timestamp -5\. Expected seconds since 1970, not before\. Leave": Log(ONE, ONE, np.array([-5])),
    r"^log: event 1 has timestamp 1574327074000\. Expected Unix time in 1 ticks a second.*1000 ticks": Log(
        ONE, ONE, np.array([1574327074000])
    ),
    r"^log: event 2 has stars nan\. Expected finite numbers\. Leave such rows out\.": Log(
        np.ones(2, int), np.ones(2, int), actions={"stars": np.array([1, np.nan])}
    ),
    r"^log: event 1 has speed inf\. Expected finite": Log(ONE, ONE, features={"speed": np.array([np.inf])}),
    r"^log: column 'stars' is of type <U4\. Expected numbers\.": Log(ONE, ONE, actions={"stars": np.array(["good"])}),
    r"^log: user ids are of type float64\. Expected integers or strings\. Convert": Log(np.array([0.5]), ONE),
    r"^log: event 2 has no item\. Expected an id in every event\. Leave": Log(
        np.ones(2, int), np.array(["a", None], object)
    ),
    r"^log: item id 3 is a int\. Expected integers only or strings only\. Convert": Log(
        np.ones(2, int), np.array(["a", 3], object)
    ),
    r"^log: item 4 is listed more than once in the item table\. Expected one row an item\. Remove": Log(
        ONE, np.array([4]), items=ItemTable(np.array([4, 4]))
    ),
    r"^log: item column 'year' has 2 values\. Expected 1, one for each item id\.": Log(
        ONE, ONE, items=ItemTable(ONE, columns={"year": np.ones(2)})
    ),
    r"^log: no id of the item table occurs in the log: the log has 1; the table has 1\.5, 2\.0\. Expected ids of": Log(
        ONE, ONE, items=ItemTable(np.array(["1.5", "2.0"]).astype(float))
    ),
    r"^log: no id of the item table occurs in the log: the log has 1; the table has nothing\. ": Log(
        ONE, ONE, items=ItemTable(np.array([], int))
    ),
}


@pytest.mark.parametrize("message", BAD_LOGS)
def test_a_bad_log_is_refused_with_its_first_bad_event(message):
    with pytest.raises(DataError, match=message):
        encode(BAD_LOGS[message], DatasetConfig())


def test_large_finite_numbers_are_not_mistaken_for_infinite_ones():
    log = Log(np.ones(2, int), np.ones(2, int), actions={"big": np.full(2, 3e38)})  # their sum is no float32
    assert encode(log, DatasetConfig())[0].actions.tolist() == [[float(np.float32(3e38))]] * 2
