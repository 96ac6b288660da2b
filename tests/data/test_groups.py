"""Groups of users: aligned with the users who have events, kept with the data, told on the card, in no other hash."""

from dataclasses import replace

import numpy as np
import pytest

from benchbase.data import DatasetConfig, Log, UserTable, prepare, render
from benchbase.data.groups import make_groups
from benchbase.errors import DataError
from benchbase.specs import DataContext, DatasetSpec

IDS = np.array([3, 5, 9])


def table(ids, **columns):
    return UserTable(np.array(ids), {name: np.array(values, object) for name, values in columns.items()})


def test_users_in_any_order_and_others_beside_them():
    made = make_groups(IDS, table([9, 4, 3], gender=["M", "X", "F"], age=["1", "2", "3"]), ("gender",))
    assert list(made) == ["gender"] and made["gender"].labels == ("F", "M")
    assert made["gender"].code.tolist() == [0, -1, 1] and made["gender"].code.dtype == np.int16
    assert made["gender"].sizes.tolist() == [1, 1]


@pytest.mark.parametrize("nothing", ["", None, float("nan"), np.float64("nan")])
def test_nothing_is_unknown(nothing):
    made = make_groups(IDS, table([3, 5, 9], other=["b", nothing, "a"]), ("other",))
    assert made["other"].code.tolist() == [1, -1, 0] and made["other"].labels == ("a", "b")


@pytest.mark.parametrize(("told", "wanted", "message"), [
    (None, "gender", r"log: user_groups: nothing is known of its users\. Expected a data set that tells\. Leave"),
    (table([3, 5], gender=["F", "M"]), "sex",
     r"user_groups: nothing called 'sex' is known of its users\. Known: gender"),
    (table([3, 5, 9], gender=["F", "F", ""]), "gender",
     r"by 'gender' its users are in 1 group\. Expected 2 to 100\."),
    (table([1, 2], gender=["F", "M"]), "gender",
     r"by 'gender' its users are in 0 groups\. Expected 2 to 100\. Leave"),
    (table([3, 5, 3], gender=["F", "M", "F"]), "gender", r"log: user 3 is listed more than once in the user table\."),
    (table([3, 5], gender=["F"]), "gender", r"log: user column 'gender' has 1 values\. Expected 2, one for each user"),
])
def test_what_is_wrong_is_told(told, wanted, message):
    with pytest.raises(DataError, match=message):
        make_groups(IDS, told, (wanted,))


def log(config, context):
    user = np.array([7, 7, 8, 8, 9])
    return Log(user, np.arange(5), users=table([8, 9, 7], gender=["M", "F", "F"], age=["a", "b", "b"]))


SPEC = DatasetSpec(name="grouped", config=DatasetConfig, build=log, source="tests")


CARD = {"name": "x", "users": 1, "items": 1, "events": 1, "density": 1.0, "config": {}, "time_span": None,
        "events_per_user": dict.fromkeys(("min", "q25", "median", "q75", "max", "mean"), 1.0), "repeated_pairs": 0,
        "events_per_item": dict.fromkeys(("min", "q25", "median", "q75", "max", "mean"), 1.0), "removed": {},
        "actions": [], "features": [], "domains": [], "columns": [], "categories": {}, "source": "s", "licence": "l",
        "files": []}


def prepared(cache, **config):
    return prepare(SPEC, DatasetConfig(**config), DataContext(cache=cache))


def test_they_are_kept_with_the_data_and_told_on_its_card(tmp_path):
    for _ in range(2):  # made, and opened
        made = prepared(tmp_path, user_groups=["gender", "age"])
        assert made.groups["gender"].code.tolist() == [0, 1, 0] and made.groups["age"].labels == ("a", "b")
    few = "fewer than 10"
    assert made.card["groups"] == {"gender": {"F": few, "M": few}, "age": {"a": few, "b": few}}
    assert "groups by gender: F fewer than 10, M fewer than 10" in render(made.card)


def test_groups_of_some_size_are_told_with_it():
    made = make_groups(np.arange(1_200), table(range(1_200), gender=["F"] * 1_195 + ["M"] * 5), ("gender",))
    assert made["gender"].told() == {"F": 1_195, "M": "fewer than 10"}
    assert "F 1,195, M fewer" in render({**CARD, "groups": {"gender": made["gender"].told()}})


def test_too_many_groups_are_refused():
    postcode = [str(code) for code in range(101)]
    with pytest.raises(DataError, match=r"by 'postcode' its users are in 101 groups\. Expected 2 to 100\. Leave"):
        make_groups(np.arange(101), table(range(101), postcode=postcode), ("postcode",))


def test_users_that_a_filter_takes_out_are_out_of_their_group(tmp_path):
    assert prepared(tmp_path, user_groups="gender", min_user_events=2).groups["gender"].code.tolist() == [0, 1]


def test_data_without_groups_is_what_it_was(tmp_path):
    bare, grouped = prepared(tmp_path), prepared(tmp_path, user_groups="gender")
    untold = prepare(replace(SPEC, build=lambda config, context: replace(log(config, context), users=None)),
                     DatasetConfig(), DataContext(cache=tmp_path / "other"))
    assert bare.hash == untold.hash != grouped.hash and bare.groups == {} and "groups" not in bare.card


def test_a_name_alone_is_a_list_of_one_and_none_is_given_twice():
    assert DatasetConfig(user_groups="age") == DatasetConfig(user_groups=["age"])
    with pytest.raises(ValueError, match=r"age is given twice\. Expected each once\. Remove one\."):
        DatasetConfig(user_groups=["age", "sex", "age"])
