"""Coat: what is read of small tables by hand, of the published ones by their sizes, and every message."""

import gzip
import re

import numpy as np
import pytest
from benchbase_coat import benchbase_datasets

from benchbase import DataContext
from benchbase.data import split
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract
from benchbase.testing.files import reader

SPEC, = benchbase_datasets()
FILES = {
    "train.ascii": "0 3 5\n4 0 0\n",
    "test.ascii": "1 2 0\n0 5 4\n",
    "propensities.ascii": "0.1 0.2 0.3\n0.3 0.4 0.5\n",
    "user_item_features/item_features.ascii": "1 0 1 0\n0 1 0 0\n1 0 1 1\n",
    "user_item_features/item_features_map.txt": "gender:men\ngender:women\ncolor:red\ncolor:of the sea: blue",
    "user_item_features/user_features.ascii": "1 0 1\n0 1 0\n",
    "user_item_features/user_features_map.txt": "gender:men\ngender:women\nage:over 60\n",
}


def put(folder, **changes):
    """The small tables, or changed ones, by the first word of a file's name."""
    for name, text in FILES.items():
        place = folder / "coat" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        short = place.stem
        text = changes.get(short, text)
        if text is not None:
            place.write_text(text)
    return folder


class TestCoat(DatasetContract):
    spec = SPEC

    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        type(self).folders = (put(tmp_path),)


def events(prepared, user):
    found = prepared.interactions
    at = slice(found.offsets[user], found.offsets[user + 1])
    return found.item[at].tolist(), found.actions[at].tolist()


def test_small_tables_by_hand(tmp_path, read):
    put(tmp_path)
    prepared = read("coat")
    assert prepared.interactions.action_names == ("like", "rating")
    items, actions = events(prepared, 0)
    assert items[0] == 3 and sorted(items[1:]) == [1, 2]  # the second coat was shown as well
    rating = {1: 1.0, 2: 2.0, 3: 5.0}
    assert actions == [[float(rating[item] >= 4), rating[item]] for item in items]
    items, actions = events(prepared, 1)
    assert items[0] == 1 and sorted(items[1:]) == [2, 3]
    catalogue = prepared.catalogue
    np.testing.assert_allclose(catalogue.columns["propensity"][1:], [0.2, 0.3, 0.4])
    told = {name: [[each.labels[label] for label in each.of(item)] for item in (1, 2, 3)]
            for name, each in catalogue.categories.items()}
    assert told == {"gender": [["men"], ["women"], ["men"]], "color": [["red"], [], ["of the sea: blue", "red"]]}
    assert prepared.card["removed"]["chosen, and shown at random as well"] == 1


def test_marks_say_how_likely_each_event_was(tmp_path, read):
    put(tmp_path)
    found = read("coat").interactions
    assert found.mark_names == ("random", "propensity")
    by_event = {(user, item): (random, round(float(e), 6)) for user, item, random, e in
                zip(found.user.tolist(), found.item.tolist(), found.mark("random"), found.mark("propensity"),
                    strict=True)}
    two_of_three = round(float(np.float32(2 / 3)), 6)
    assert by_event == {(0, 3): (0, 0.3), (0, 1): (1, two_of_three), (0, 2): (1, two_of_three),
                        (1, 1): (0, 0.3), (1, 2): (1, two_of_three), (1, 3): (1, two_of_three)}


def test_people_are_grouped_by_what_is_told_of_them(tmp_path, read):
    put(tmp_path, user_features="1 0 1\n0 1 1\n")
    with pytest.raises(DataError, match=r"user_groups: by 'age' its users are in 1 group\. Expected 2 to"):
        read("coat", user_groups="age")
    groups = read("coat", user_groups="gender").groups["gender"]
    assert groups.labels == ("men", "women") and groups.code.tolist() == [0, 1]


@pytest.mark.parametrize(("text", "message"), [
    ("1 0 1\n", r"user_features\.ascii: 1\. Expected 2, a line for each person\."),
    ("1 1 1\n0 1 0\n", r"user_features\.ascii: line 1 has more than one gender\. Expected one at most\. Copy"),
])
def test_people_who_do_not_fit_are_told(tmp_path, read, text, message):
    put(tmp_path, user_features=text)
    with pytest.raises(DataError, match=message):
        read("coat", user_groups="gender")
    assert read("coat").groups == {}  # nobody asks


def test_what_counts_as_liked(tmp_path, read):
    put(tmp_path)
    for like, wanted in ((2, 5), (5, 2)):
        actions = read("coat", like=like).interactions.actions
        assert actions[:, 0].sum() == wanted and ((actions[:, 1] >= like) == (actions[:, 0] > 0)).all()


def test_packed_files_are_read(tmp_path, read):
    put(tmp_path)
    plain = read("coat")
    path = tmp_path / "coat" / "propensities.ascii"
    (tmp_path / "coat" / "propensities.ascii.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    np.testing.assert_array_equal(read("coat").catalogue.columns["propensity"], plain.catalogue.columns["propensity"])


def test_the_published_tables(real_data, tmp_path):
    """290 people, 16 random ratings of each behind those that were chosen; 366 were both."""
    folder = real_data("coat")
    prepared = reader(benchbase_datasets(), tmp_path)("coat", path=str(folder))
    found = prepared.interactions
    assert (found.n_users, prepared.catalogue.n_items, found.n_events) == (290, 300, 6_960 + 4_640 - 366)
    assert found.labels == (0,)
    divided = split(found, prepared.catalogue, {"name": "leave_last", "valid": 4, "test": 16}, "each")
    assert len(divided.test_events) == 4_640
    shown = np.loadtxt(folder / "test.ascii")
    user = found.user[divided.test_events]
    item = prepared.catalogue.item_ids[found.item[divided.test_events]]
    np.testing.assert_array_equal(found.actions[divided.test_events, 1], shown[user, item - 1])
    chosen = np.loadtxt(folder / "train.ascii")
    rest = np.setdiff1d(np.arange(found.n_events), divided.test_events)
    np.testing.assert_array_equal(found.actions[rest, 1],
                                  chosen[found.user[rest], prepared.catalogue.item_ids[found.item[rest]] - 1])
    assert {name: len(each.labels) for name, each in prepared.catalogue.categories.items()} == {
        "gender": 2, "jackettype": 16, "color": 13, "onfrontpage": 2}


def test_the_order_within_a_kind_is_drawn_from_the_data_seed(tmp_path):
    draw = np.random.default_rng(0)
    table = draw.integers(1, 6, (3, 40))
    chosen = np.where(np.arange(40) < 20, table, 0)
    put(tmp_path, train="\n".join(" ".join(map(str, row)) for row in chosen),
        test="\n".join(" ".join(map(str, row)) for row in table - chosen),
        propensities="\n".join(["0.5 " * 40] * 3), item_features="\n".join(["1 0 1 0"] * 40))
    logs = [SPEC.build(SPEC.config(), DataContext(folders=(tmp_path,), seed=seed)) for seed in (0, 0, 1)]
    assert (logs[0].item == logs[1].item).all() and (logs[0].item != logs[2].item).any()
    for log in logs:
        for user in (1, 2, 3):
            items = log.item[log.user == user]
            assert set(items[:20]) == set(range(1, 21)) and set(items[20:]) == set(range(21, 41))
            assert (np.diff(items[:20]) < 0).any()


@pytest.mark.parametrize(("changes", "message"), [
    ({"train": "0 3 x\n4 0 0\n"}, "train.ascii: no table of numbers (could not convert string 'x' to float64 at row 0, "
     "column 3.). Expected as many numbers in every line. Copy it again."),
    ({"train": "0 3\n4 0 0\n"}, "Expected as many numbers in every line. Copy it again."),
    ({"train": "0 3 6\n4 0 0\n"}, "train.ascii: line 1, number 3 is 6. Expected a rating from 1 to 5, or 0 for none. "
     "Take the file as it is published."),
    ({"test": "0 1 1\n0 0 2.5\n"}, "test.ascii: line 2, number 3 is 2.5. Expected a rating from 1 to 5, or 0 for "
     "none."),
    ({"test": "0 1\n0 1\n"}, "test.ascii: 2 x 2. Expected 2 x 3, as many as train.ascii. "
     "Take all files from one place."),
    ({"test": "nan 1 1\n0 0 2\n"}, "test.ascii: numbers that are not finite. Expected a table of "
     "numbers. Copy it again."),
    ({"propensities": "0.1 0.2 0\n0.3 0.4 0.5\n"}, "propensities.ascii: numbers that are no propensities. Expected "
     "shares above 0 and up to 1. Copy it again."),
    ({"item_features": "1 0 1 0\n"}, "item_features.ascii: 1. Expected 3, a line for each coat of train.ascii. "
     "Take all files from one place."),
    ({"item_features_map": "gender:men\n"}, "item_features.ascii: 4. Expected 1, a number in each line for every "
     "line of item_features_map.txt. Take all files from one place."),
    ({"item_features_map": "gender:men\ngender:women\ncolor\nb:c\n"}, "item_features_map.txt: no name of a feature in "
     "'color'. Expected column:label. Copy it again."),
    ({"test": None}, "coat lacks test.ascii. Expected train.ascii, test.ascii, propensities.ascii"),
])
def test_files_that_do_not_fit(tmp_path, read, changes, message):
    put(tmp_path, **changes)
    with pytest.raises(DataError, match=re.escape(message)):
        read("coat")


def test_an_empty_table(tmp_path, read):
    put(tmp_path, train="")
    with pytest.raises(DataError, match=r"train\.ascii: nothing in it\. Expected a table of numbers\. Copy it again\."):
        read("coat")
