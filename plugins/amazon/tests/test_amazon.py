"""Reviews and items of three releases: what is read, and every way in which a line may be wrong."""

import gzip
import json
import math
import re

import numpy as np
import pytest
from benchbase_amazon import benchbase_datasets
from benchbase_amazon.config import AmazonConfig

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

DAY = 86_400


def review(user, item, day, stars=5.0, **more):
    return {"overall": stars, "verified": True, "reviewerID": user, "asin": item, "reviewText": "good, \"very\"",
            "unixReviewTime": day * DAY, **more}


def new(user, item, moment, stars=4):
    return {"rating": stars, "title": "t", "text": "x", "asin": f"{item}-red", "parent_asin": item, "user_id": user,
            "timestamp": moment, "verified_purchase": True}


TOYS = [review("A1", "T1", 10), review("A2", "T1", 11, 1.0), review("A1", "T2", 12, 3), review("A3", "T2", 12)]
GAMES = [review("A1", "G1", 11), review("A2", "G2", 9), review("A4", "T1", 10)]


def put(folder, name, lines, literal=False):
    text = "".join((repr(line) if literal else json.dumps(line)) + "\n" for line in lines)
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text)


def put_both(folder):
    put(folder, "Toys_5.json.gz", TOYS)
    put(folder, "Games_5.json", GAMES)


def events(found):
    """User, item and time of every event as original ids."""
    log = found.interactions
    user = np.repeat(log.user_ids, np.diff(log.offsets))
    return list(zip(user.tolist(), found.catalogue.item_ids[log.item].tolist(), log.timestamp.tolist(), strict=True))


def test_one_category(read, tmp_path):
    put_both(tmp_path)
    found = read("amazon", categories="Toys")
    assert events(found) == [("A1", "T1", 10 * DAY), ("A1", "T2", 12 * DAY), ("A2", "T1", 11 * DAY),
                             ("A3", "T2", 12 * DAY)]
    assert found.interactions.actions[:, 0].tolist() == [5, 3, 1, 5]
    assert found.interactions.action_names == ("rating",)
    assert found.catalogue.domain is None and not found.catalogue.columns
    assert found.card["order_of_ties"] == "seeded hash"


def test_several_are_domains_of_one_set(read, tmp_path):
    put_both(tmp_path)
    found = read("amazon", categories=("Toys", "Games"))
    assert found.card["events"] == 7 and found.catalogue.domain_names == ("Games", "Toys")
    named = dict(zip(found.catalogue.item_ids[1:].tolist(), found.catalogue.domain[1:].tolist(), strict=True))
    assert named == {"G1": 0, "G2": 0, "T1": 1, "T2": 1}  # T1 is listed among the games as well
    assert events(found)[:3] == [("A1", "T1", 10 * DAY), ("A1", "G1", 11 * DAY), ("A1", "T2", 12 * DAY)]


def test_users_that_all_categories_share(read, tmp_path):
    put_both(tmp_path)
    found = read("amazon", categories=("Toys", "Games"), users="shared")
    assert found.interactions.user_ids.tolist() == ["A1", "A2"] and found.card["events"] == 5
    assert found.card["removed"] == {"users without reviews in every category": 2}
    put(tmp_path, "Books_5.json", [review("A9", "B1", 1)])
    with pytest.raises(DataError, match=r"Toys_5\.json\.gz: no user has reviews in all of Toys, Books\."):
        read("amazon", categories=("Toys", "Books"), users="shared")


def test_the_release_of_2014(read, tmp_path):
    put(tmp_path, "reviews_Toys_5.json.gz", TOYS)
    put(tmp_path, "reviews_Toys.json", TOYS[:2])
    put(tmp_path, "meta_Toys.json.gz", [
        {"asin": "T1", "title": "It's a  toy", "price": 9.5, "brand": "A", "categories": [["Toys", "Cars"], ["Toys"]]},
        {"asin": "T1", "title": "again"}], literal=True)
    found = read("amazon", release=2014, categories="Toys", metadata=True)
    assert found.card["events"] == 4 and read("amazon", release=2014, categories="Toys",
                                              reviews="all").card["events"] == 2
    assert found.catalogue.item_ids[1:].tolist() == ["T1", "T2"]
    assert found.catalogue.columns["title"][1:].tolist() == ["It's a toy", ""]
    kinds = found.catalogue.categories["category"]
    assert [kinds.labels[code] for code in kinds.of(1)] == ["Cars", "Toys"] and not len(kinds.of(2))
    assert found.catalogue.columns["price"][1:].tolist() == pytest.approx([9.5, math.nan], nan_ok=True)


@pytest.mark.parametrize(("written", "price"), [
    ("$1,025.50", 1025.5), ("25", 25), ("$1.00 - $5.00", math.nan), ("", math.nan), (None, math.nan), (3, 3),
    (".a-box-inner{background", math.nan), (True, math.nan), ("None", math.nan)])
def test_prices(read, tmp_path, written, price):
    put(tmp_path, "Toys_5.json", TOYS)
    put(tmp_path, "meta_Toys.json", [{"asin": "T1", "price": written, "category": ["Toys"], "brand": "by\nAcme"}])
    found = read("amazon", categories="Toys", metadata=True)
    assert found.catalogue.columns["price"][1] == pytest.approx(price, nan_ok=True)
    assert found.catalogue.columns["brand"][1] == "by Acme"


def test_the_release_of_2023(read, tmp_path):
    put(tmp_path, "Toys.jsonl.gz", [new("U1", "P1", 1_600_000_000_999), new("U1", "P2", 1_600_000_000_001)])
    put(tmp_path, "meta_Toys.jsonl", [{"parent_asin": "P2", "title": "two", "store": "S", "price": 2.5,
                                       "categories": ["Toys"]}])
    found = read("amazon", release=2023, categories="Toys", metadata=True)
    assert events(found) == [("U1", "P2", 1_600_000_000), ("U1", "P1", 1_600_000_000)]  # by the millisecond
    assert found.catalogue.columns["brand"].tolist() == ["", "", "S"] and found.card["items_not_listed"] == 0


@pytest.mark.parametrize(("line", "message"), [
    ("{", "Toys_5.json:2: no object (JSONDecodeError: "), ("", "Toys_5.json:2: no object (JSONDecodeError: "),
    ("[1]", "Toys_5.json:2: a list. Expected an object."), ("[" * 100_000, "Toys_5.json:2: no object (RecursionError"),
    (json.dumps(review("", "T1", 1)), "Toys_5.json:2: reviewerID is ''. Expected text. Take the publisher's"),
    (json.dumps(review(7, "T1", 1)), "Toys_5.json:2: reviewerID is 7. Expected text."),
    (json.dumps(review("A", None, 1)), "Toys_5.json:2: asin is None. Expected text."),
    (json.dumps(review("A", "T1", -1)), f"Toys_5.json:2: unixReviewTime is {-DAY}. Expected a whole number from 0 on."),
    (json.dumps(review("A", "T1", 0.5)), "Toys_5.json:2: unixReviewTime is 43200.0. Expected a whole number"),
    (json.dumps(review("A", "T1", 1, 6)), "Toys_5.json:2: overall is 6. Expected a number of stars from 0 to 5."),
    (json.dumps(review("A", "T1", 1, "5")), "Toys_5.json:2: overall is '5'. Expected a number of stars from 0 to 5."),
    (json.dumps({"asin": "T1"}), "Toys_5.json:2: reviewerID is None. Expected text."),
])
def test_a_line_that_is_wrong(read, tmp_path, line, message):
    put(tmp_path, "Toys_5.json", TOYS[:1])
    with (tmp_path / "Toys_5.json").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read("amazon", categories="Toys")


def test_items_that_would_run_are_only_read(read, tmp_path):
    put(tmp_path, "reviews_Toys_5.json", TOYS)
    (tmp_path / "meta_Toys.json").write_text(f"__import__('pathlib').Path({str(tmp_path / 'mark')!r}).touch()\n")
    with pytest.raises(DataError, match=r"meta_Toys\.json:1: no object \(ValueError.*Expected one Python literal"):
        read("amazon", release=2014, categories="Toys", metadata=True)
    assert not (tmp_path / "mark").exists()


def test_an_empty_file_and_a_cut_one(read, tmp_path):
    (tmp_path / "Toys_5.json").write_text("")
    with pytest.raises(DataError, match=r"Toys_5\.json: the file is empty"):
        read("amazon", categories="Toys")
    put(tmp_path, "Games_5.json.gz", GAMES * 99)
    whole = (tmp_path / "Games_5.json.gz").read_bytes()
    (tmp_path / "Games_5.json.gz").write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"Games_5\.json\.gz: damaged gzip file"):
        read("amazon", categories="Games")


@pytest.mark.parametrize(("parameters", "message"), [
    ({"categories": ()}, "categories is empty"), ({"categories": ("A", "A")}, "names one twice: A, A"),
    ({"categories": "A", "release": 2023, "reviews": "5core"}, "reviews 5core: the reviews of 2023"),
    ({"categories": "A", "users": "shared"}, "users shared with one category"),
    ({"categories": "../secret"}, "String should match pattern"), ({}, "Field required"),
])
def test_parameters_that_say_nothing_possible(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AmazonConfig(**parameters)


@pytest.mark.parametrize(("release", "home"), [
    (2014, "jmcauley"), (2018, "nijianmo"), (2023, "amazon-reviews-2023")])
def test_a_missing_file_says_where_it_comes_from(read, release, home):
    with pytest.raises(MissingFile, match=rf"The data is at https://{home}"):
        read("amazon", release=release, categories="Toys")


@pytest.mark.parametrize(("folder", "parameters", "sizes"), [
    ("amazon-2018", {"categories": "Gift_Cards", "metadata": True}, (458, 148, 2_972)),
    ("amazon-2018", {"categories": "All_Beauty"}, (991, 85, 5_269)),
    ("amazon-2018", {"categories": "AMAZON_FASHION"}, (406, 31, 3_176)),
    ("amazon-2014", {"categories": "Musical_Instruments", "release": 2014}, (1_429, 900, 10_261)),
    ("amazon-2018", {"categories": ("All_Beauty", "AMAZON_FASHION")}, (None, 116, 8_445)),
])
def test_real_files(read, real_data, folder, parameters, sizes):
    found = read("amazon", path=real_data(folder), **parameters)
    users, items, reviews = sizes
    assert (found.card["items"], found.card["events"]) == (items, reviews)
    assert users is None or found.card["users"] == users
    if "metadata" in parameters:
        assert found.card["items_not_listed"] == 0 and (found.catalogue.columns["title"][1:] != "").all()
        assert np.nanmin(found.catalogue.columns["price"]) > 0


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put_both(place)
        put(place, "meta_Toys.json", [{"asin": "T1", "title": "one"}])
        put(place, "meta_Games.json", [{"asin": "G1", "title": "two"}])
        request.cls.folders = (place,)


class TestOne(DatasetContract):
    spec = benchbase_datasets()[0]
    config = AmazonConfig(categories="Toys")


class TestTwo(DatasetContract):
    spec = benchbase_datasets()[0]
    config = AmazonConfig(categories=("Toys", "Games"), metadata=True)
