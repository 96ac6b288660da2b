"""DisenCDR's folders: one data set of two domains, what is held out comes last, and every way they may be wrong."""

import gzip
import re

import numpy as np
import pytest
from benchbase_crossdomain import benchbase_datasets
from benchbase_crossdomain.config import DisenCDRConfig

from benchbase import DataContext
from benchbase.data import MissingFile, prepare, split
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

SPORT, PHONE = "sport_phone", "phone_sport"
FILES = {
    f"{SPORT}/train": [(0, 5), (0, 3), (1, 3), (1, 4), (1, 7)],
    f"{SPORT}/test_original": [(0, 4), (1, 9)],
    f"{PHONE}/train": [(1, 0), (0, 0), (0, 5), (0, 6)],
    f"{PHONE}/test_original": [(1, 5), (0, 1)],
}
PAIR = {"domains": ("sport", "phone")}


def put(folder, given=None):
    for name, events in {**FILES, **(given or {})}.items():
        path = folder / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{user}\t{item}\t1\n" for user, item in events))


def test_one_set_of_two_domains_ends_with_what_is_held_out(read, tmp_path, lists):
    put(tmp_path)
    found = read("disencdr", **PAIR)
    each = lists(found)
    assert {user: items[-2:] for user, items in each.items()} == {0: ["sport:4", "phone:1"], 1: ["sport:9", "phone:5"]}
    assert {user: sorted(items[:-2]) for user, items in each.items()} == {
        0: ["phone:0", "phone:5", "phone:6", "sport:3", "sport:5"], 1: ["phone:0", "sport:3", "sport:4", "sport:7"]}
    names = found.catalogue.domain_names
    assert [f"{names[code]}:" in item for item, code in zip(
        found.catalogue.item_ids[1:], found.catalogue.domain[1:], strict=True)] == [True] * 9
    assert found.interactions.timestamp is None and found.card["facts"]["order"].startswith("none is published")


def test_the_other_order_of_domains_holds_out_the_other(read, tmp_path, lists):
    put(tmp_path)
    assert {user: items[-2:] for user, items in lists(read("disencdr", domains=("phone", "sport"))).items()} == {
        0: ["phone:1", "sport:4"], 1: ["phone:5", "sport:9"]}


def test_leave_one_out_asks_for_what_is_held_out(read, tmp_path):
    put(tmp_path)
    found = read("disencdr", **PAIR)
    parts = split(found.interactions, found.catalogue, "leave_one_out")
    asked = [found.catalogue.item_ids[found.interactions.item[rows]].tolist()
             for rows in (parts.valid_events, parts.test_events)]
    assert asked == [["sport:4", "sport:9"], ["phone:1", "phone:5"]]


def test_the_seed_shuffles_what_has_no_order(tmp_path, lists):
    many = [(user, item) for user in (0, 1) for item in range(50)]
    put(tmp_path, {f"{SPORT}/train": many, f"{SPORT}/test_original": [(0, 90), (1, 91)]})
    spec = next(each for each in benchbase_datasets() if each.name == "disencdr")
    one, again, other = (lists(prepare(spec, DisenCDRConfig(**PAIR), DataContext(
        folders=(tmp_path,), cache=tmp_path / f"cache{n}", seed=seed))) for n, seed in enumerate((0, 0, 1)))
    assert one == again and one != other
    for user, items in one.items():
        assert items[-2:] == other[user][-2:] and sorted(items) == sorted(other[user])
        numbers = [int(item.partition(":")[2]) for item in items[:-2] if item.startswith("sport")]
        assert 0.2 < np.mean(np.diff(numbers) < 0) < 0.8


@pytest.mark.parametrize(("name", "events", "message"), [
    (f"{SPORT}/test_original", [(0, 4)], "{0}sport_phone/train.txt: user 1 is not in {0}sport_phone/test_original.txt. "
                                         "Expected the same users in both. Take both folders of one release."),
    (f"{PHONE}/test_original", [(0, 1), (1, 5), (2, 5)],
     "{0}phone_sport/test_original.txt: user 2 is not in {0}phone_sport/train.txt. Expected the same users in both."),
    (f"{PHONE}/test_original", [(0, 1), (1, 5), (0, 2)],
     "{0}phone_sport/test_original.txt:3: user 0 again. Expected one held-out event of each user."),
    (f"{SPORT}/test_original", [(0, 4), (1, 7)],
     "{0}sport_phone/test_original.txt:2: user 1 has item 7 in {0}sport_phone/train.txt too. Expected it held out."),
])
def test_what_does_not_fit_together(read, tmp_path, name, events, message):
    put(tmp_path, {name: events})
    with pytest.raises(DataError, match=re.escape(message.format(f"{tmp_path}/"))):
        read("disencdr", **PAIR)


def test_folders_of_other_users(read, tmp_path):
    put(tmp_path, {f"{PHONE}/train": [(0, 0)], f"{PHONE}/test_original": [(0, 1)]})
    with pytest.raises(DataError, match=r"sport_phone/train\.txt: user 1 is not in .*phone_sport/train"):
        read("disencdr", **PAIR)


@pytest.mark.parametrize(("line", "message"), [
    ("0\t3\t0", "label is '0'. Expected 1. Take the publisher's file as it is."),
    ("0\t-3\t1", "item is '-3'. Expected a number from 0 on."),
    ("0 3 1", "1 column. Expected 3: `user item label`, separated by tabs."),
    ("2147483648\t3\t1", "user is '2147483648'. Expected a number from 0 on."),
])
def test_a_line_that_is_wrong(read, tmp_path, line, message):
    put(tmp_path)
    (tmp_path / SPORT / "train.txt").write_text(f"0\t1\t1\n{line}\n")
    with pytest.raises(DataError, match=re.escape(f"train.txt:2: {message}")):
        read("disencdr", **PAIR)


@pytest.mark.parametrize(("parameters", "message"), [
    ({}, "Field required"), ({"domains": ("sport", "sport")}, "domains names sport twice. Expected two."),
    ({"domains": ("sport", "../x")}, "String should match pattern"),
])
def test_parameters_that_say_nothing_possible(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DisenCDRConfig(**parameters)


def test_a_missing_folder_says_where_it_comes_from(read, tmp_path):
    put(tmp_path)
    with pytest.raises(MissingFile, match=r"lacks sport_cloth/train\.txt.* The data is at https://github\.com/cjx96"):
        read("disencdr", domains=("sport", "cloth"))


@pytest.mark.parametrize(("domains", "sizes"), [
    (("sport", "phone"), (4_998, 50_558, 42_446)), (("cloth", "sport"), (9_928, 87_829, 92_612))])
def test_real_pairs(read, real_data, domains, sizes, lists):
    place = real_data("cross-domain/disencdr")
    found = read("disencdr", path=place, domains=domains)
    users, *trained = sizes
    assert (found.card["users"], found.card["events"]) == (users, sum(trained) + 2 * users)
    code = found.catalogue.domain[found.interactions.item]
    ends = found.interactions.offsets[1:]
    for back, (name, n) in enumerate(zip(reversed(domains), reversed(trained), strict=True), 1):
        mine = code == found.catalogue.domain_names.index(name)
        assert mine.sum() == n + users and mine[ends - back].all()
    with gzip.open(place / "{1}_{0}".format(*domains) / "test_original.txt.gz", "rt") as stream:
        held = {int(user): f"{domains[1]}:{item}" for user, item, _ in map(str.split, stream)}
    assert {user: items[-1] for user, items in lists(found).items()} == held
    with gzip.open(place / "{1}_{0}".format(*domains) / "test.txt.gz", "rt") as stream:
        known = sum(1 for _ in stream)
    cold = split(found.interactions, found.catalogue, "leave_one_out").facts["cold_share"]["test"]
    assert cold == pytest.approx(1 - known / users)


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place)
        request.cls.folders = (place,)


class TestDisenCDR(DatasetContract):
    spec = benchbase_datasets()[2]
    config = DisenCDRConfig(**PAIR)
