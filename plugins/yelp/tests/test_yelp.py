"""The Yelp Open Dataset: what is read of files in its form, and every way in which a line may be wrong."""

import gzip
import json
import re

import numpy as np
import pytest
from benchbase_yelp import benchbase_datasets
from benchbase_yelp.config import YelpConfig

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

REVIEW, BUSINESS, USER = (f"yelp_academic_dataset_{kind}.json" for kind in ("review", "business", "user"))


def review(user, business, date, stars=4.0, **more):
    return {"review_id": "r", "user_id": user, "business_id": business, "stars": stars, "useful": 0, "funny": 0,
            "cool": 0, "text": "good,\n\"very\"", "date": date, **more}


def business(name, **more):
    return {"business_id": name, "name": f"The  {name}", "address": "", "city": "Tampa", "state": "FL",
            "latitude": 27.95, "longitude": -82.45, "stars": 3.5, "review_count": 9, "is_open": 1, "attributes": None,
            "categories": "Coffee & Tea, Food", **more}


REVIEWS = [review("u1", "b2", "2018-07-07 22:09:11", 5), review("u1", "b1", "2018-07-07 22:09:10", 2.0),
           review("u2", "b1", "2012-03-14")]
BUSINESSES = [business("b1"), business("b2", city="Reno", state="NV", categories=None, latitude=None),
              business("b9")]
USERS = [{"user_id": "u2", "review_count": 1, "yelping_since": "2008-07-25 10:41:00", "elite": ""},
         {"user_id": "u1", "review_count": 2, "yelping_since": "2011-01-02", "elite": "2012,2013"},
         {"user_id": "u7", "review_count": 2, "elite": "2012"}]


def put(folder, name, lines):
    (folder / "yelp").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (folder / "yelp" / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def put_all(folder):
    put(folder, REVIEW, REVIEWS)
    put(folder, f"{BUSINESS}.gz", BUSINESSES)
    put(folder, USER, USERS)


class TestYelp(DatasetContract):
    spec = benchbase_datasets()[0]

    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        put_all(tmp_path)
        type(self).folders = (tmp_path,)


def test_reviews_in_the_order_of_time(read, tmp_path):
    put_all(tmp_path)
    found = read("yelp")
    log = found.interactions
    users = np.repeat(log.user_ids, np.diff(log.offsets)).tolist()
    assert users == ["u1", "u1", "u2"] and found.catalogue.item_ids[log.item].tolist() == ["b1", "b2", "b1"]
    assert log.timestamp.tolist() == [1_531_001_350, 1_531_001_351, 1_331_683_200]
    assert log.action_names == ("stars",) and log.actions[:, 0].tolist() == [2, 5, 4]


def test_what_the_businesses_are(read, tmp_path):
    put_all(tmp_path)
    catalogue = read("yelp").catalogue
    columns = {name: values[1:].tolist() for name, values in catalogue.columns.items()}
    assert columns["name"] == ["The b1", "The b2"] and columns["city"] == ["Tampa", "Reno"]
    assert columns["latitude"][0] == pytest.approx(27.95) and np.isnan(columns["latitude"][1])
    kinds = catalogue.categories["category"]
    assert [kinds.labels[code] for code in kinds.of(1)] == ["Coffee & Tea", "Food"] and not len(kinds.of(2))
    assert catalogue.domain is None and not read("yelp", businesses=False).catalogue.columns


@pytest.mark.parametrize(("domain", "names"), [("state", ("FL", "NV")), ("city", ("Reno, NV", "Tampa, FL"))])
def test_places_as_domains(read, tmp_path, domain, names):
    put_all(tmp_path)
    assert read("yelp", domain=domain).catalogue.domain_names == names


def test_categories_of_older_releases_are_lists(read, tmp_path):
    put_all(tmp_path)
    put(tmp_path, f"{BUSINESS}.gz", [business("b1", categories=["Food", "Bars", "Food"]), business("b2")])
    kinds = read("yelp").catalogue.categories["category"]
    assert [kinds.labels[code] for code in kinds.of(1)] == ["Bars", "Food"]


def test_few_stars_are_left_out_and_counted(read, tmp_path):
    put_all(tmp_path)
    found = read("yelp", min_stars=3)
    assert found.card["events"] == 2 and found.card["removed"] == {"reviews with fewer than 3 stars": 1}


def test_users_in_groups(read, tmp_path):
    put_all(tmp_path)
    groups = read("yelp", user_groups=["elite", "since"]).groups
    assert groups["elite"].labels == ("no", "yes") and groups["elite"].code.tolist() == [1, 0]
    assert groups["since"].labels == ("2008", "2011") and groups["since"].code.tolist() == [1, 0]


@pytest.mark.parametrize(("line", "message"), [
    ("{", f"{REVIEW}:2: no object (JSONDecodeError"), ("[1]", f"{REVIEW}:2: a list. Expected an object."),
    (json.dumps(review("", "b1", "2018-07-07")), f"{REVIEW}:2: user_id is ''. Expected text."),
    (json.dumps(review("u", None, "2018-07-07")), f"{REVIEW}:2: business_id is None. Expected text."),
    (json.dumps(review("u", "b", "2018-07-07", 6)), f"{REVIEW}:2: stars is 6. Expected a number of stars from 0 to 5."),
    (json.dumps(review("u", "b", "yesterday")), f"{REVIEW}:2: date is 'yesterday'. Expected a moment such as 2018-"),
    (json.dumps(review("u", "b", None)), f"{REVIEW}:2: date is None. Expected a moment"),
])
def test_a_line_that_is_wrong(read, tmp_path, line, message):
    put_all(tmp_path)
    with (tmp_path / "yelp" / REVIEW).open("w") as stream:
        stream.write(json.dumps(REVIEWS[0]) + "\n" + line + "\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read("yelp")


def test_a_file_of_users_that_is_another(read, tmp_path):
    put_all(tmp_path)
    put(tmp_path, USER, REVIEWS)
    with pytest.raises(DataError, match=rf"{USER}:1: review_count is None\. Expected a whole number from 0 on\."):
        read("yelp", user_groups="elite")


def test_a_missing_file_says_where_it_comes_from(read, tmp_path):
    put(tmp_path, REVIEW, REVIEWS)
    with pytest.raises(MissingFile, match=rf"lacks {BUSINESS}.*The data is at https://business\.yelp\.com"):
        read("yelp")


def test_domains_need_the_businesses():
    with pytest.raises(ValueError, match="domain city is read from the businesses, which are off"):
        YelpConfig(domain="city", businesses=False)
