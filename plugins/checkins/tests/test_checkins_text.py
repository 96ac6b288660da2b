"""The official text files: what is read of them, and every way in which they may be wrong."""

import gzip
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from benchbase_checkins import benchbase_datasets, tables
from benchbase_checkins.config import FoursquareConfig, GowallaConfig

from benchbase.data import MissingFile, table
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

CITY, GOWALLA = "dataset_TSMC2014_NYC.txt", "loc-gowalla_totalCheckins.txt"
CAFE, HOME = "49bbd6c0f964a520f4531fe3", "4a43c0aef964a520c6a61fe3"
LINES = [
    f"470\t{CAFE}\t4bf58dd8\tCafé \"Noir\"\t40.719810\t-74.002581\t-240\tTue Apr 03 18:00:09 +0000 2012",
    f"979\t{HOME}\t4bf58dd8\tBridge\t40.606799\t-74.044170\t-240\tTue Apr 03 18:00:25 +0000 2012",
    f"470\t{HOME}\t4bf58dd8\tBridge\t40.606800\t-74.044171\t-240\tTue Apr 03 18:00:09 +0000 2012",
]
WALKS = [
    "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847",
    "0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315",
    "0\t2010-10-18T22:17:43Z\t30.2557309927\t-97.7633857727\t316637",
    "196514\t2010-10-17T23:42:03Z\t-0\t180\t22847",
]


def put(path, lines, encoding="utf-8", end="\n"):
    text = "".join(line + end for line in lines).encode(encoding)
    if path.suffix == ".gz":
        text = gzip.compress(text)
    path.write_bytes(text)


def events(found):
    """User, place and time of every event as original ids."""
    log = found.interactions
    user = np.repeat(log.user_ids, np.diff(log.offsets))
    return list(zip(user.tolist(), found.catalogue.item_ids[log.item].tolist(), log.timestamp.tolist(), strict=True))


def seconds(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", [CITY, f"{CITY}.gz"])
def test_a_city(read, tmp_path, encoding, end, name):
    put(tmp_path / name, LINES, encoding, end)
    found = read("foursquare")
    first = seconds(2012, 4, 3, 18, 0, 9)
    assert events(found) == [(470, CAFE, first), (470, HOME, first), (979, HOME, first + 16)]  # ties: the file's order
    places = found.catalogue
    at = {place: number for number, place in enumerate(places.item_ids.tolist())}
    kinds = places.categories["category"]
    assert [kinds.labels[code] for code in kinds.of(at[CAFE])] == ['Café "Noir"']
    assert places.columns["latitude"][at[CAFE]] == 40.71981
    assert places.columns["longitude"][at[HOME]] == -74.04417  # of the first line
    assert found.card["items_not_listed"] == 0


def test_gowalla_is_turned_round(read, tmp_path):
    put(tmp_path / f"{GOWALLA}.gz", WALKS)
    found = read("gowalla")
    tied = seconds(2010, 10, 18, 22, 17, 43)
    assert events(found) == [
        (0, 316637, tied), (0, 420315, tied), (0, 22847, seconds(2010, 10, 19, 23, 55, 27)),
        (196514, 22847, seconds(2010, 10, 17, 23, 42, 3)),
    ]
    at = found.catalogue.item_ids.tolist().index(22847)
    assert found.catalogue.columns["latitude"][at] == 0 and found.catalogue.columns["longitude"][at] == 180
    assert found.card["order_of_ties"] == "file"


def test_places_off_the_planet_are_nowhere(read, tmp_path):
    """The official file is said to hold some; a visit there is still a visit."""
    put(tmp_path / GOWALLA, [WALKS[0], broken(WALKS[1], 3, "405.5"), broken(WALKS[2], 2, "-90.1")])
    found = read("gowalla")
    assert len(events(found)) == 3
    assert found.card["facts"] == {"nowhere": "2 places without coordinates on this planet"}
    for name in ("latitude", "longitude"):
        assert np.isnan(found.catalogue.columns[name][1:]).tolist() == [False, True, True]


def slow_city(path):
    """Line by line, without any library: events by user and time, ties in the file's order."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="latin-1").split("\n")[:-1]):
        user, venue, _, _, _, _, _, when = line.split("\t")
        time = datetime.strptime(when, "%a %b %d %H:%M:%S %z %Y")
        rows.append((int(user), int(time.timestamp()), number, venue))
    return [(user, venue, time) for user, time, _, venue in sorted(rows)]


def slow_gowalla(path):
    rows = []
    for number, line in enumerate(path.read_text().split("\n")[:-1]):
        user, when, _, _, place = line.split("\t")
        rows.append((int(user), int(datetime.fromisoformat(when).timestamp()), -number, int(place)))
    return [(user, place, time) for user, time, _, place in sorted(rows)]


@pytest.mark.parametrize("chunk", [3, 1_000])
def test_both_are_what_a_slow_reader_reads(read, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(table, "CHUNK", chunk)
    draw = np.random.default_rng(chunk)
    city, walks = [], []
    for _ in range(200):
        user, place, second = int(draw.integers(1, 9)), int(draw.integers(1, 30)), int(draw.integers(0, 50))
        time = datetime.fromtimestamp(1_333_000_000 + 43_200 * second, UTC)
        where = f"{draw.uniform(-90, 90):.6f}\t{draw.uniform(-180, 180):.6f}"
        city.append(f"{user}\tv{place:023x}\tc\tÉtage {place % 4}\t{where}\t540\t{time:%a %b %d %H:%M:%S +0000 %Y}")
        walks.append(f"{user}\t{time:%Y-%m-%dT%H:%M:%SZ}\t{where}\t{place}")
    put(tmp_path / CITY.replace("NYC", "TKY"), city, "latin-1")
    put(tmp_path / GOWALLA, walks)
    assert events(read("foursquare", city="tky")) == slow_city(tmp_path / CITY.replace("NYC", "TKY"))
    assert events(read("gowalla")) == slow_gowalla(tmp_path / GOWALLA)
    last = {int(fields[4]): float(fields[2]) for fields in (line.split("\t") for line in walks)}
    places = read("gowalla").catalogue
    assert places.columns["latitude"][1:].tolist() == [last[place] for place in places.item_ids[1:].tolist()]


def broken(line, column, value):
    fields = line.split("\t")
    fields[column] = value
    return "\t".join(fields)


FORM = "`user venue category_id category latitude longitude offset time`, separated by tabs"


@pytest.mark.parametrize(("lines", "message"), [
    ([LINES[0], LINES[1] + "\tmore"], f"{CITY}:2: 9 columns. Expected 8: {FORM}. Take the publisher's file as it is."),
    ([LINES[0] + "\tmore"], f"{CITY}:1: 9 columns. Expected 8: {FORM}."),
    ([line + "\tmore" for line in LINES], f"{CITY}:1: 9 columns. Expected 8: {FORM}."),
    ([LINES[0], "470"], f"{CITY}:2: 1 column. Expected 8: {FORM}."),
    ([LINES[0], "", LINES[1]], f"{CITY}:2: 1 column. Expected 8: {FORM}."),
    ([LINES[0].rpartition("\t")[0]], f"{CITY}:1: 7 columns. Expected 8: {FORM}."),
    ([broken(LINES[0], 0, "")], f"{CITY}:1: user is ''. Expected a whole number."),
    ([broken(LINES[0], 0, "4x")], f"{CITY}:1: user is '4x'. Expected a whole number."),
    ([broken(LINES[0], 0, "9" * 19 + "9")], f"{CITY}:1: user is '{'9' * 20}'. Expected a whole number."),
    ([LINES[1], broken(LINES[0], 1, "")], f"{CITY}:2: venue is ''. Expected an id."),
    ([broken(LINES[0], 3, "")], f"{CITY}:1: category is ''. Expected the name of a category."),
    ([broken(LINES[0], 4, "north")], f"{CITY}:1: latitude is 'north'. Expected a number of degrees."),
    ([broken(LINES[0], 5, "nan")], f"{CITY}:1: longitude is 'nan'. Expected a number of degrees."),
    ([broken(LINES[0], 5, "")], f"{CITY}:1: longitude is ''. Expected a number of degrees."),
    ([broken(LINES[0], 6, "4.5")], f"{CITY}:1: offset is '4.5'. Expected whole minutes."),
    ([broken(LINES[0], 7, "2012-04-03")],
     f"{CITY}:1: time is '2012-04-03'. Expected a time such as Tue Apr 03 18:00:09 +0000 2012."),
    ([broken(LINES[0], 7, "Tue Apr 31 18:00:09 +0000 2012")], f"{CITY}:1: time is 'Tue Apr 31 18:00:09 +0000 2012'."),
    ([broken(LINES[0], 7, "now")], f"{CITY}:1: time is 'now'. Expected a time"),
    ([broken(LINES[0], 7, "Tue Apr 03 18:00:09 +0000 1962")], f"{CITY}:1: time is 'Tue Apr 03 18:00:09 +0000 1962'."),
    ([broken(LINES[0], 3, "  ")], f"{CITY}:1: category is '  '. Expected the name of a category."),
    ([broken(LINES[0], 4, "4_0")], f"{CITY}:1: latitude is '4_0'. Expected a number of degrees."),
    ([], f"{CITY}: the file is empty. Expected lines of {FORM}. Take the publisher's file as it is."),
])
def test_a_city_that_is_wrong(read, tmp_path, lines, message):
    put(tmp_path / CITY, lines)
    with pytest.raises(DataError, match=re.escape(message)):
        read("foursquare")


@pytest.mark.parametrize(("lines", "message"), [
    ([WALKS[0], broken(WALKS[1], 4, "")], f"{GOWALLA}:2: place is ''. Expected a whole number."),
    ([broken(WALKS[0], 0, "-1")], f"{GOWALLA}:1: user is '-1'. Expected a whole number."),
    ([broken(WALKS[0], 1, "2010-10-19 23:55:27")], f"{GOWALLA}:1: time is '2010-10-19 23:55:27'. Expected a time such "
                                                   "as 2010-10-19T23:55:27Z."),
    ([broken(WALKS[0], 2, "")], f"{GOWALLA}:1: latitude is ''. Expected a number of degrees."),
    ([WALKS[0].replace("\t", ",")], f"{GOWALLA}:1: 1 column. Expected 5: `user time latitude longitude place`"),
])
def test_gowalla_that_is_wrong(read, tmp_path, lines, message):
    put(tmp_path / GOWALLA, lines)
    with pytest.raises(DataError, match=re.escape(message)):
        read("gowalla")


def test_what_the_fast_reader_finds_wrong_and_the_slow_one_does_not_is_an_error_too(read, tmp_path, monkeypatch):
    put(tmp_path / GOWALLA, WALKS)
    def odd(latitude, longitude):
        raise ValueError("odd")

    monkeypatch.setattr(tables, "outside", odd)
    with pytest.raises(DataError, match=r"Checkins.txt: cannot be read as a table \(odd\). Expected"):
        read("gowalla")


@pytest.mark.parametrize("cut", [5, -9, -1])
def test_a_packed_file_that_was_cut(read, tmp_path, cut):
    put(tmp_path / f"{CITY}.gz", LINES * 50)
    path = tmp_path / f"{CITY}.gz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"NYC\.txt\.gz: damaged gzip file"):
        read("foursquare")


def test_bytes_that_are_no_text_in_gowalla(read, tmp_path):
    (tmp_path / GOWALLA).write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"Checkins\.txt: not utf-8 text"):
        read("gowalla")


@pytest.mark.parametrize(("name", "home"), [("foursquare", "sites.google.com/site/yangdingqi"),
                                            ("gowalla", "snap.stanford.edu/data/loc-gowalla")])
@pytest.mark.parametrize("path", [None, "elsewhere"])
def test_a_missing_file_says_where_it_comes_from(read, name, home, path):
    with pytest.raises(MissingFile, match=rf"^{'elsewhere' if path else '(dataset|loc)'}.* The data is at https://{home}"):
        read(name, **({} if path is None else {"path": path}))


def test_a_path_is_a_folder_or_the_file(read, tmp_path):
    (tmp_path / "some").mkdir()
    put(tmp_path / "some" / CITY, LINES)
    put(tmp_path / "mine.txt", LINES[:1])
    assert read("foursquare", path="some").card["events"] == 3
    assert read("foursquare", path="mine.txt").card["events"] == 1


def test_filters_of_the_core(read, tmp_path):
    put(tmp_path / CITY, LINES)
    assert read("foursquare", min_user_events=2).card["users"] == 1


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contracts."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place / CITY, LINES, "latin-1")
        put(place / GOWALLA, WALKS)
        request.cls.folders = (place,)


class TestFoursquare(DatasetContract):
    spec = benchbase_datasets()[0]
    config = FoursquareConfig()


class TestGowalla(DatasetContract):
    spec = benchbase_datasets()[1]
    config = GowallaConfig()
