"""Atomic files: every column where its type says, and every bad file refused with its line."""

import gzip

import numpy as np
import pytest
from benchbase_files import benchbase_datasets, delimited
from benchbase_files.config import FilesConfig
from pydantic import ValidationError

from benchbase import DataContext
from benchbase.data import MissingFile, render
from benchbase.errors import DataError

INTER = """user_id:token	item_id:token	rating:float	timestamp:float
1	10	5	100
2	10	3.5	90
1	7	1	50
"""
ITEM = """item_id:token	title:token_seq	year:token	class:token_seq	price:float	vector:float_seq
10	Once more	1999	a b	2.5	0.1 0.2
7	ç	007		 	0.3 0.4
"""


@pytest.fixture
def atomic(tmp_path, read):
    """Write atomic files by suffix, and read them."""

    def atomic(inter=INTER, read_from="set", form="recbole", **rest):
        files = {".inter": inter, **{f".{name}": rest.pop(name) for name in ("item", "user", "kg") if name in rest}}
        (tmp_path / "set").mkdir(exist_ok=True)
        for suffix, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / "set" / f"ml{suffix}").write_bytes(content)
        return read(path=read_from, format=form, **rest)

    return atomic


def events(prepared):
    """(user id, item id, timestamp, actions) in stored order."""
    interactions = prepared.interactions
    time = [None] * interactions.n_events if interactions.timestamp is None else interactions.timestamp.tolist()
    users, items = interactions.user_ids[interactions.user], prepared.catalogue.item_ids[interactions.item]
    return list(zip(users.tolist(), items.tolist(), time, map(tuple, interactions.actions.tolist()), strict=True))


EXPECTED = [(1, 7, 50, (1.0,)), (1, 10, 100, (5.0,)), (2, 10, 90, (3.5,))]
RATED = {"columns": {"actions": ["rating"]}}


@pytest.mark.parametrize("path", ["set", "set/ml.inter"])
@pytest.mark.parametrize("chunk", [delimited.CHUNK, 2])
def test_the_log_of_a_folder_or_a_file(atomic, monkeypatch, path, chunk):
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    assert events(atomic(read_from=path, **RATED)) == EXPECTED
    assert [event[:3] for event in events(atomic(read_from=path))] == [event[:3] for event in EXPECTED]


def test_names_come_without_types_and_columns_stand_in_any_order(atomic):
    text = "who:token\tsong:token\tseen:float\tlist:token_seq\tplays:token\tsecs:float\nu\t1 a\t7.9\tx y\t3\t2\n"
    found = atomic(text, columns={"user": "who", "item": "song", "timestamp": "seen", "actions": ["plays"],
                                  "features": ["secs"]})
    assert events(found) == [("u", "1 a", 7, (3.0,))]
    assert (found.interactions.action_names, found.interactions.feature_names) == (("plays",), ("secs",))
    assert found.card["config"]["columns"]["user"] == "who"
    assert atomic().card["config"]["columns"] == {
        "user": "user_id", "item": "item_id", "timestamp": "timestamp", "actions": [], "features": [], "marks": [],
        "domain": None,
    }


def test_other_separators_and_encodings(atomic):
    text = INTER.replace("\t", ",").replace("\n2,", "\né,")
    found = atomic(text.encode("latin-1"), separator=",", encoding="latin-1", item=ITEM.replace("\t", ",").encode(
        "latin-1"), **RATED)
    assert [event[0] for event in events(found)] == ["1", "1", "é"]
    assert found.catalogue.columns["price"].tolist()[2:] == [2.5]


def test_packed_files_crlf_and_byte_order_marks(atomic, tmp_path, read):
    plain = atomic(item=ITEM, **RATED)
    for suffix, text in ((".inter", INTER), (".item", ITEM)):
        (tmp_path / "set" / f"ml{suffix}").unlink()
        packed = gzip.compress(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        (tmp_path / "set" / f"ml{suffix}.gz").write_bytes(packed)
    for path in ("set", "set/ml.inter", "set/ml.inter.gz"):
        found = read(path=path, format="recbole", **RATED)
        assert found.hash == plain.hash
        assert [file["name"] for file in found.card["files"]] == ["ml.inter.gz", "ml.item.gz"]


def test_without_times_the_file_order_stands(atomic):
    text = "user_id:token\titem_id:token\n1\t9\n2\t9\n1\t3\n"
    assert [event[:3] for event in events(atomic(text, columns={"timestamp": None}))] == [
        (1, 9, None), (1, 3, None), (2, 9, None)]


def test_repeated_events_are_the_cores_to_judge(atomic):
    twice = INTER + "1\t10\t2\t120\n"
    assert atomic(twice).card["repeated_pairs"] == 1
    assert events(atomic(twice, repeats="first", **RATED)) == EXPECTED


def test_types_say_what_becomes_of_an_items_features(atomic):
    found = atomic(item=ITEM)
    catalogue = found.catalogue
    assert catalogue.item_ids.tolist() == [0, 7, 10]
    assert list(catalogue.columns) == ["year", "price"] and list(catalogue.categories) == ["title", "class"]
    assert catalogue.columns["year"].tolist() == ["", "007", "1999"]
    assert np.array_equal(catalogue.columns["price"], [np.nan, np.nan, 2.5], equal_nan=True)
    genre = catalogue.categories["class"]
    assert genre.labels == ("a", "b") and genre.of(2).tolist() == [0, 1] and genre.of(1).tolist() == []
    assert catalogue.categories["title"].labels == ("Once", "more", "ç") and catalogue.domain is None


def test_items_names_what_is_read_instead(atomic):
    items = {"columns": ["title"], "categories": ["year", "class"], "domain": "year"}
    catalogue = atomic(item=ITEM, items=items).catalogue
    assert {name: each.tolist() for name, each in catalogue.columns.items()} == {"title": ["", "ç", "Once more"]}
    assert catalogue.categories["year"].labels == catalogue.domain_names == ("007", "1999")
    assert catalogue.categories["year"].of(1).tolist() == [0]
    assert atomic(item=ITEM, items={}).catalogue.columns == {}


def test_a_token_with_blanks_is_one_category_and_an_empty_one_none(atomic):
    item = "item_id:token\tshop:token\n10\tSci Fi\n7\t\n"
    shop = atomic(item=item, items={"categories": ["shop"], "domain": "shop"}).catalogue
    assert shop.categories["shop"].labels == ("Sci Fi",) == shop.domain_names
    assert shop.domain.tolist() == [-1, -1, 0]


def test_what_has_no_place_stands_on_the_card(atomic):
    assert "facts" not in atomic().card
    card = atomic(item=ITEM, user="user_id:token\n1\n", kg="no matter").card
    told = "ml.user, ml.kg, vector of ml.item (float_seq) (user_groups reads .user)"
    assert card["facts"] == {"not read": told} and f"not read:         {told}" in render(card)
    assert atomic(item=ITEM, items={"columns": ["year"]}).card["facts"]["not read"].startswith("ml.user, ml.kg (user")


def test_a_changed_item_file_is_read_again(atomic):
    first, second = (atomic(item=ITEM.replace("1999", year)) for year in ("1999", "2001"))
    assert first.catalogue.columns["year"].tolist()[2] == "1999" and first.hash != second.hash
    assert second.catalogue.columns["year"].tolist()[2] == "2001"


@pytest.mark.parametrize(
    "text, message, parameters",
    [
        ("", r": the file is empty\. Expected a header such as user_id:token\. Check the path\.", {}),
        ("\n\n", r": the file is empty", {}),
        ("user_id:token\titem_id:token\ttimestamp:float\n", r": the file has a header and no events\. Expected", {}),
        (
            "user_id\titem_id:token\ttimestamp:float\n1\t2\t3\n",
            r":1: column 'user_id' is no name:type\. Expected both, separated from the next by '\\t'\. Types: token, "
            r"token_seq, float, float_seq\. Mend the header, or set separator or format\.",
            {},
        ),
        ("1\t2\t3\n", r":1: column '1' is no name:type", {}),
        (":token\titem_id:token\n1\t2\n", r":1: column ':token' is no name:type", {}),
        ("user_id:token,item_id:token\n1,2\n", r":1: column 'user_id:token,item_id:token' is no name", {}),
        (
            "user_id:tokens\titem_id:token\n1\t2\n",
            r":1: column 'user_id' is of the unknown type 'tokens'\. Did you mean 'token'\? Types: float, float_seq, t",
            {},
        ),
        ("user_id:\titem_id:token\n1\t2\n", r":1: column 'user_id' is of the unknown type ''\. Types: float", {}),
        (
            "uid:token\titem_id:token\ttimestamp:float\n1\t2\t3\n",
            r": no column 'user_id' for user\. Did you mean 'uid'\? Columns: item_id, timestamp, uid\. Set "
            r"columns\.user\.$",
            {},
        ),
        (
            "user_id:token\titem_id:token\n1\t2\n",
            r": no column 'timestamp' for timestamp\. .*Set columns\.timestamp \(columns\.timestamp: null where there "
            r"are no times\)\.",
            {},
        ),
        (INTER, r": no column 'click' for action\. .* Set columns\.actions\.", {"columns": {"actions": ["click"]}}),
        (INTER, r": no column 'rating:float' for action", {"columns": {"actions": ["rating:float"]}}),
        (INTER, r": no column 'secs' for feature\. .* Set columns\.features\.", {"columns": {"features": ["secs"]}}),
        (
            INTER.replace("item_id:token", "item_id:float"),
            r": column 'item_id' is of type float\. Expected token for item\. Name another column\.",
            {},
        ),
        (
            INTER.replace("rating:float", "rating:token_seq"),
            r": column 'rating' is of type token_seq\. Expected float or token for action\.",
            RATED,
        ),
        (INTER.replace("timestamp:float", "timestamp:float_seq"), r": column 'timestamp' is of type float_seq", {}),
        (
            INTER.replace("rating:float", "user_id:float"),
            r":1: more than one column is named 'user_id'\. Expected one\. Rename the others\.",
            {},
        ),
        (INTER + "1\t2\n", r":5: 2 columns, separated by '\\t'\. Expected at least 4\. Mend the line", {}),
        (INTER + "\n1\t2\t3\t4\t5\n", r":6: 5 columns, separated by '\\t'\. Expected 4, as in the header", {}),
        (INTER + "\t2\t3\t4\n", r":5: user is empty\. Expected an id", {}),
        (INTER + "1\t2\t3\tnoon\n", r":5: timestamp:float 'noon' is no number\. Expected a time in s", {}),
        (INTER + "1\t2\tgood\t4\n", r":5: rating:float 'good' is no number\. Expected a finite number", RATED),
        (INTER + "1\t2\t\t4\n", r":5: rating:float '' is no number", RATED),
        (b"user_id:token\titem_id:token\xe9\n", r": not utf-8 text .*Set encoding, for example to latin-1", {}),
        (INTER.encode() + b"\xe9\t2\t3\t4\n", r": not utf-8 text", {}),
    ],
)
def test_bad_logs_are_refused_with_their_line(atomic, text, message, parameters):
    with pytest.raises(DataError, match=r"ml\.inter" + message):
        atomic(text, **parameters)


@pytest.mark.parametrize(
    "text, message, items",
    [
        ("", r": the file is empty\. Expected a header such as", None),
        ("item_id\n10\n", r":1: column 'item_id' is no name:type", None),
        ("item_id:token\tyear:int\n10\t3\n", r":1: column 'year' is of the unknown type 'int'", None),
        ("id:token\n10\n", r": no column 'item_id' for item\. .* Set columns\.item\.", None),
        ("item_id:float\n10\n", r": column 'item_id' is of type float\. Expected token for item", None),
        ("item_id:token\ta:token\ta:float\n10\t1\t1\n", r":1: more than one column is named 'a'\.", None),
        (ITEM + "8\tx\n", r":4: 2 columns, separated by '\\t'\. Expected 6, as in the header\. .*separator\.", None),
        (ITEM + "8\tx\ty\tz\t1\t2\t3\n", r":4: 7 columns", None),
        (ITEM + "\tx\ty\tz\t1\t2\n", r":4: item is empty\. Expected an id", None),
        (ITEM + "8\tx\ty\tz\tdear\t2\n", r":4: price:float 'dear' is no number\. Expected a finite number", None),
        (ITEM + "8\tx\ty\tz\tnan\t2\n", r":4: price:float 'nan' is no number", None),
        (ITEM, r": no column 'titel' for items\.columns\. Did you mean 'title'\? .* Set items\.columns\.",
         {"columns": ["titel"]}),
        (ITEM, r": column 'vector' is of type float_seq\. Expected token or token_seq or float for items\.columns",
         {"columns": ["vector"]}),
        (ITEM, r": column 'price' is of type float\. Expected token or token_seq for items\.categories",
         {"categories": ["price"]}),
        (ITEM, r": column 'title' is of type token_seq\. Expected token for items\.domain", {"domain": "title"}),
        (ITEM.encode("latin-1"), r": not utf-8 text", None),
    ],
)
def test_bad_item_files_are_refused_with_their_line(atomic, text, message, items):
    with pytest.raises(DataError, match=r"ml\.item" + message):
        atomic(item=text, **({} if items is None else {"items": items}))


def test_item_files_that_do_not_belong_to_the_log(atomic):
    with pytest.raises(DataError, match=r"ml\.inter: no \.item file beside it\. Expected one, since items is given\."):
        atomic(items={"columns": ["year"]})
    with pytest.raises(DataError, match=r"item 10 is listed more than once in the item table"):
        atomic(item=ITEM + "10\tx\ty\tz\t1\t2\n")
    with pytest.raises(DataError, match=r"no id of the item table occurs in the log: the log has 7, 10; the table"):
        atomic(item="item_id:token\nx\n")


def test_a_folder_holds_one_log(atomic, read, tmp_path):
    atomic()
    (tmp_path / "set" / "ml.test.inter.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"set: 2 \.inter files: ml\.inter, ml\.test\.inter\. Expected one\. Give the"):
        read(path="set", format="recbole")
    assert len(events(read(path="set/ml.inter", format="recbole"))) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no \.inter file\. Expected one\. Give the path of the file itself\."):
        read(path="empty", format="recbole")
    for path in ("elsewhere", "set/other.inter"):
        with pytest.raises(MissingFile, match=rf"{path}: no such (file|folder)\. Looked for"):
            read(path=path, format="recbole")


def test_a_damaged_packed_file_is_an_error_that_names_it_or_does_no_harm(atomic, read, tmp_path, damaged):
    atomic(item=ITEM)
    (tmp_path / "set" / "ml.item").unlink()
    hurt, whole = 0, None
    for packed in (gzip.compress(ITEM.encode()), *damaged(gzip.compress(ITEM.encode()))):
        (tmp_path / "set" / "ml.item.gz").write_bytes(packed)
        try:
            found = read(path="set", format="recbole").hash
        except DataError as error:
            assert "ml.item.gz:" in str(error)
            hurt += 1
        else:
            assert found == (whole := whole or found)
    assert whole is not None and hurt > 20


@pytest.mark.parametrize(
    "message, parameters",
    [
        ("header means nothing for format recbole", {"header": False}),
        ("times means nothing for format recbole", {"times": "t"}),
        ("columns.domain means nothing for format recbole. Name the domain in", {"columns": {"domain": "d"}}),
        ("items.path means nothing for format recbole, whose `.item` file is beside", {"items": {"path": "x"}}),
        ("items.separator means nothing for format recbole", {"items": {"separator": ";"}}),
        (r"columns: 3 given\. Expected the names in the header", {"columns": {"user": 3}}),
        (r"items has no path\. Expected that of a table of items\. Give items\.path", {"format": "csv", "items": {}}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(message, parameters):
    with pytest.raises(ValidationError, match=message):
        FilesConfig(**{"path": "x", "format": "recbole"} | parameters)


def test_ml_100k_as_recbole_has_it(read, real_data):
    root = real_data("ml-100k-recbole")
    found = read(root.parent, path=root.name, format="recbole", **RATED)
    card = found.card
    assert (card["users"], card["items"], card["events"]) == (943, 1682, 100_000)
    assert card["time_span"] == [874_724_710, 893_286_638] and card["items_not_listed"] == 0
    assert card["facts"] == {"not read": "ml-100k.user (user_groups reads .user)"}
    assert found.catalogue.columns["release_year"][1] == "1995"
    assert {"Animation", "Children's", "Sci-Fi"} <= set(found.catalogue.categories["class"].labels)
    ratings, counts = np.unique(found.interactions.actions[:, 0], return_counts=True)
    assert ratings.tolist() == [1, 2, 3, 4, 5] and counts.sum() == 100_000


def test_ml_100k_is_the_same_log_as_its_original(read, real_data):
    """Users, items and ratings, pair by pair, read without the header's help."""
    found = read(real_data("ml-100k-recbole"), path="ml-100k.inter", format="recbole", **RATED)
    original = read(real_data("ml-100k"), path="u.data", format="tsv", header=False,
                    columns={"user": 1, "item": 2, "actions": [3], "timestamp": 4})
    assert sorted(events(found)) == sorted(events(original))


def test_the_files_are_those_that_are_read(atomic, tmp_path):
    atomic(item=ITEM, user="user_id:token\n")
    spec = benchbase_datasets()[0]
    names = [path.name for path in spec.files(FilesConfig(path="set", format="recbole"),
                                              DataContext(folders=(tmp_path,)))]
    assert names == ["ml.inter", "ml.item"]


USER = "user_id:token\tgender:token\tage:float\thobbies:token_seq\n2\tF\t24\ta b\n1\tM\t\ta\n"


def test_users_are_grouped_by_what_their_file_says(atomic):
    made = atomic(user=USER, user_groups=["gender"])
    assert made.groups["gender"].labels == ("F", "M") and made.groups["gender"].code.tolist() == [1, 0]
    assert "not read" not in made.card.get("facts", {})
    assert {file["name"] for file in made.card["files"]} == {"ml.inter", "ml.user"}


@pytest.mark.parametrize(("user", "groups", "message"), [
    (None, "gender", r"ml\.inter: no \.user file beside it\. Expected one, since user_groups is given\. Remove it"),
    (USER, "sex", r"no column 'sex' for user_groups\. .*Columns: age, gender, hobbies, user_id\. Set user_groups"),
    (USER, "hobbies", r"column 'hobbies' is of type token_seq\. Expected token or float for user_groups\. Name"),
    (USER, "age", r"user_groups: by 'age' its users are in 1 group\. Expected 2 to"),
])
def test_users_who_cannot_be_grouped_are_told(atomic, user, groups, message):
    with pytest.raises(DataError, match=message):
        atomic(**({} if user is None else {"user": user}), user_groups=groups)


def test_marks_of_atomic_files(atomic):
    found = atomic(columns={"marks": ["rating"]}).interactions
    assert found.mark_names == ("rating",) and found.mark("rating").tolist() == [1, 5, 3.5]
    with pytest.raises(DataError, match=r"no column 'rated' for mark\. Columns: .*Set columns\.marks"):
        atomic(columns={"marks": ["rated"]})
