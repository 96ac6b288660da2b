"""SyNCRec's file: what is read, and every way in which a line may be wrong."""

import gzip
import re

import numpy as np
import pytest
from benchbase_crossdomain import benchbase_datasets
from benchbase_crossdomain.config import SyNCRecConfig

from benchbase.data import MissingFile, table
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

FILE = "amazon_seq.txt"
DAY = 86_400
HEAD = "\tuser_id\titem\ttype\tunix_time\tlist_len"
LINES = [
    f"0\tA1\tB2,G1,B1,B2\tBooks,Games,Books,Books\t{DAY},{DAY},{DAY},{3 * DAY}\t4",
    f"1\tA0\tG1,B3\tGames,Books\t{2 * DAY},{DAY}\t2",
    f"2\tA2\tB1\tBooks\t{DAY}\t1",
]


def put(path, lines, head=HEAD, end="\n"):
    text = "".join(line + end for line in [head, *lines]).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def events(found):
    """User, item and day of every event as original ids."""
    log = found.interactions
    user = np.repeat(log.user_ids, np.diff(log.offsets))
    days = (log.timestamp // DAY).tolist()
    return list(zip(user.tolist(), found.catalogue.item_ids[log.item].tolist(), days, strict=True))


@pytest.mark.parametrize(("name", "end", "chunk"), [(FILE, "\n", 500), (f"{FILE}.gz", "\r\n", 2)])
def test_lists_of_three_users(read, tmp_path, monkeypatch, name, end, chunk):
    monkeypatch.setattr(table, "CHUNK", chunk)
    put(tmp_path / name, LINES, end=end)
    found = read("syncrec")
    assert events(found) == [("A0", "B3", 1), ("A0", "G1", 2), ("A1", "B2", 1), ("A1", "G1", 1), ("A1", "B1", 1),
                             ("A1", "B2", 3), ("A2", "B1", 1)]
    assert found.catalogue.domain_names == ("Books", "Games")
    assert found.catalogue.item_ids[1:].tolist() == ["B1", "B2", "B3", "G1"]
    assert found.catalogue.domain[1:].tolist() == [0, 0, 0, 1]
    assert found.card["order_of_ties"] == "file" and found.card["repeated_pairs"] == 1


@pytest.mark.parametrize(("line", "message"), [
    ("3\tA3\tB1\tBooks\t1,2\t1", "item has 1, type has 1, unix_time has 2 values. Expected 1 each, as list_len says."),
    ("3\tA3\tB1\tBooks\t1\t2", "item has 1, type has 1, unix_time has 1 values. Expected 2 each, as list_len says."),
    ("3\tA1\tB1\tBooks\t1\t1", "user A1 has line 2 already. Expected one line a user. Take the repository's"),
    ("3\tA3\tB1\tGames\t1\t1", "item B1 is of Games, and of Books before. Expected one domain an item."),
    ("3\tA3\tB1,\tBooks,Books\t1,2\t2", "item has a blank value. Expected none."),
    ("3\tA3\tB1,B2\tBooks, \t1,2\t2", "type has a blank value. Expected none."),
    ("3\tA3\tB1\tBooks\t-1\t1", "unix_time has '-1'. Expected whole seconds from 0 on."),
    ("3\tA3\tB1\tBooks\t1.5\t1", "unix_time has '1.5'. Expected whole seconds from 0 on."),
    ("3\tA3\tB1\tBooks\t1000000000000\t1", "unix_time has '1000000000000'. Expected whole seconds from 0 on."),
    ("3\tA3\tB1\tBooks\t1", "5 columns. Expected 6: ` user_id item type unix_time list_len`, separated by tabs."),
    ("x\tA3\tB1\tBooks\t1\t1", " is 'x'. Expected a whole number."),
    ("3\t \tB1\tBooks\t1\t1", "user_id is ' '. Expected an id."),
    ("3\tA3\t\tBooks\t1\t1", "item is ''. Expected values with commas between."),
    ("3\tA3\tB1\tBooks\t1\t0", "list_len is '0'. Expected a number from 1 on."),
])
@pytest.mark.parametrize("chunk", [500, 1])
def test_a_line_that_is_wrong(read, tmp_path, monkeypatch, line, message, chunk):
    monkeypatch.setattr(table, "CHUNK", chunk)
    put(tmp_path / FILE, [*LINES[:2], line])
    with pytest.raises(DataError, match=re.escape(f"{FILE}:4: {message}")):
        read("syncrec")


def test_another_header_and_no_line(read, tmp_path):
    put(tmp_path / FILE, LINES, head=HEAD.removeprefix("\t"))
    with pytest.raises(DataError, match=rf"{FILE}:1: the columns are `user_id item type unix_time list_len`\."):
        read("syncrec")
    put(tmp_path / FILE, [])
    with pytest.raises(DataError, match=rf"{FILE}: the file is empty\."):
        read("syncrec")


def test_a_packed_file_that_was_cut(read, tmp_path):
    put(tmp_path / f"{FILE}.gz", LINES)
    (tmp_path / f"{FILE}.gz").write_bytes((tmp_path / f"{FILE}.gz").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"amazon_seq\.txt\.gz: damaged gzip file"):
        read("syncrec")


def test_a_missing_file_says_where_it_comes_from(read):
    with pytest.raises(MissingFile, match=r"lacks amazon_seq\.txt.* The data is at https://github\.com/cpark88/SyNCRec\."):
        read("syncrec")


def test_the_real_sample(read, real_data):
    place = real_data("cross-domain/syncrec-amazon-sample")
    found = read("syncrec", path=place)
    assert (found.card["users"], found.card["items"], found.card["events"]) == (500, 14_853, 16_123)
    assert found.card["time_span"] == [892_857_600, 1_538_352_000]
    code = found.catalogue.domain[found.interactions.item]
    shares = dict(zip(found.catalogue.domain_names, np.bincount(code).tolist(), strict=True))
    with gzip.open(place / "voca_type.txt.gz", "rt") as stream:
        assert shares == {name: int(count) for _, name, count in map(str.split, list(stream)[1:])}
    user = np.repeat(np.arange(500), np.diff(found.interactions.offsets))
    assert len(set(zip(user.tolist(), code.tolist(), strict=True))) == 500 * 5


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place / FILE, LINES)
        request.cls.folders = (place,)


class TestSyNCRec(DatasetContract):
    spec = benchbase_datasets()[1]
    config = SyNCRecConfig()
