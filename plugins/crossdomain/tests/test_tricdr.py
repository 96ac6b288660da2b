"""Tri-CDR's files, as text and as pickles: what is read, that both orders agree, and that nothing runs."""

import gzip
import os
import pickle
import re

import pytest
from benchbase_crossdomain import benchbase_datasets, pickles
from benchbase_crossdomain.config import TriCDRConfig

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

TOY = [(1, 2), (1, 1), (2, 3), (2, 3)]
GAME = [(1, 2), (2, 1), (2, 2)]
MIX = [(1, 2), (1, 5), (1, 1), (2, 4), (2, 3), (2, 3), (2, 5)]


def put(folder, **given):
    for name, events in {"toy": TOY, "game": GAME, "mix": MIX, **given}.items():
        (folder / f"{name}.txt").write_text("".join(f"{user} {item}\n" for user, item in events))


def put_pickles(folder, protocol=3, **given):
    for name, events in {"toy": TOY, "game": GAME, "mix": MIX, **given}.items():
        lists = {}
        for user, item in events:
            lists.setdefault(user, []).append(item)
        (folder / f"{name}_log_file_final.pkl").write_bytes(pickle.dumps(lists, protocol))


def test_one_pair(read, tmp_path, lists):
    put(tmp_path)
    found = read("tricdr")
    assert lists(found) == {1: [2, 5, 1], 2: [4, 3, 3, 5]}
    assert found.interactions.timestamp is None and found.card["time_span"] is None
    names = found.catalogue.domain_names
    named = dict(zip(found.catalogue.item_ids[1:].tolist(), found.catalogue.domain[1:], strict=True))
    assert {item: names[code] for item, code in named.items()} == {
        1: "toy", 2: "toy", 3: "toy", 4: "game", 5: "game"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_hold_the_same(read, tmp_path, protocol):
    put(tmp_path)
    text = read("tricdr").hash
    for name in ("toy", "game", "mix"):
        (tmp_path / f"{name}.txt").unlink()
    put_pickles(tmp_path, protocol)
    assert read("tricdr").hash == text


def test_a_packed_pickle_and_numbers_of_every_size(read, tmp_path, lists):
    put_pickles(tmp_path, toy=[(1, 2), (300, 70_000)], game=[(1, 2**31 - 70_001)], mix=[
        (1, 2**31 - 1), (1, 2), (300, 70_000)])
    for path in tmp_path.glob("*.pkl"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert lists(read("tricdr")) == {1: [2**31 - 1, 2], 300: [70_000]}


def test_other_names_and_lines_of_users_in_another_order(read, tmp_path, lists):
    (tmp_path / "here").mkdir()
    put(tmp_path / "here", book=[(2, 1), (1, 1)], film=[(1, 1), (2, 1)], mix=[(1, 2), (2, 1), (1, 1), (2, 2)])
    assert lists(read("tricdr", domains=("book", "film"), path="here")) == {1: [2, 1], 2: [1, 2]}


@pytest.mark.parametrize(("mix", "message"), [
    ([*MIX[:2], (1, 3), *MIX[3:]], "mix.txt:3 has user 1, item 3; {0}toy.txt:2 has user 1, item 1. Expected the events "
                                   "of toy in both, each user's in one order. Take the three files of one release."),
    ([MIX[2], MIX[1], MIX[0], *MIX[3:]], "mix.txt:1 has user 1, item 1; {0}toy.txt:1 has user 1, item 2."),
    ([*MIX[:3], (2, 5), *MIX[4:6], (2, 4)], "mix.txt:4 has user 2, item 5 - 3 = 2; {0}game.txt:2 has user 2, item 1."),
    (MIX[:-1], "mix.txt has no more of this domain; {0}game.txt:3 has user 2, item 2. Expected the events of game"),
    ([*MIX, (3, 1)], "mix.txt:8 has user 3, item 1; {0}toy.txt has no more of this domain."),
])
def test_a_mixed_file_that_is_not_of_both(read, tmp_path, mix, message):
    put(tmp_path, mix=mix)
    with pytest.raises(DataError, match=re.escape(message.format(f"{tmp_path}/"))):
        read("tricdr")


def test_pickles_that_differ_say_whose_item(read, tmp_path):
    put_pickles(tmp_path, mix=[*MIX[:2], (1, 3), *MIX[3:]])
    with pytest.raises(DataError, match=r"mix_log_file_final\.pkl has user 1, item 3; .*toy_log.*\.pkl has user 1"):
        read("tricdr")


@pytest.mark.parametrize(("line", "message"), [
    ("1 0", "toy.txt:1: item is '0'. Expected a number from 1 on. Take the publisher's file as it is."),
    ("x 1", "toy.txt:1: user is 'x'. Expected a number from 1 on."),
    ("1", "toy.txt:1: 1 column. Expected 2: `user item`, separated by ' '"),
    ("1 2 3", "toy.txt:1: 3 columns. Expected 2"),
])
def test_a_line_that_is_wrong(read, tmp_path, line, message):
    put(tmp_path)
    (tmp_path / "toy.txt").write_text(f"{line}\n1 2\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read("tricdr")


class Mark:
    """A pickle of it makes a folder when it is opened as pickles usually are."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_is_only_read(read, tmp_path, protocol):
    put_pickles(tmp_path)
    (tmp_path / "toy_log_file_final.pkl").write_bytes(pickle.dumps({1: [Mark(tmp_path / "mark")]}, protocol))
    with pytest.raises(DataError, match=r"toy_log_file_final\.pkl: no plain pickle \(operation \w+\)\. Expected a"):
        read("tricdr")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(("held", "message"), [
    (b"", "no plain pickle (pickle exhausted before seeing STOP)"),
    (pickle.dumps({1: [2]})[:-1], "no plain pickle (pickle exhausted before seeing STOP)"),
    (b"\xffello", "no plain pickle (at position 0, opcode b'\\xff' unknown)"),
    (b"\x80\x03a.", "no plain pickle (list index out of range)"),
    (b"\x80\x03}]a.", "no plain pickle ('dict' object has no attribute 'extend')"),
    (b"\x80\x03](K\x01K\x02u.", "no plain pickle ('list' object has no attribute 'update')"),
    (b"\x80\x03](K\x01u.", "no plain pickle ("),
    (b"\x80\x03K\x01\x8e" + b"\xff" * 7 + b"\x7f.", "no plain pickle (expected"),
    (pickle.dumps([1, 2]), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps(7), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({1: 2}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({1: [0]}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({-1: [1]}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({1: [[2], 1]}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({1: [2**31]}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({1: []}), "it holds something else than lists of numbers from 1 on by user"),
    (pickle.dumps({}), "it holds something else than lists of numbers from 1 on by user"),
])
def test_a_pickle_of_something_else(read, tmp_path, held, message):
    put_pickles(tmp_path)
    (tmp_path / "game_log_file_final.pkl").write_bytes(held)
    with pytest.raises(DataError, match=re.escape(f"game_log_file_final.pkl: {message}")):
        read("tricdr")


def test_a_pickle_that_unpacks_to_too_much(read, tmp_path, monkeypatch):
    put_pickles(tmp_path)
    path = tmp_path / "toy_log_file_final.pkl"
    (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    monkeypatch.setattr(pickles, "MOST", 20)
    with pytest.raises(DataError, match=r"pkl\.gz: it has more than 20 bytes when unpacked\. Expected fewer"):
        read("tricdr")


@pytest.mark.parametrize(("domains", "message"), [
    (("toy", "toy"), "domains are toy and toy. Expected two different names, neither mix"),
    (("mix", "toy"), "domains are mix and toy. Expected two different names, neither mix"),
    (("../toy", "game"), "String should match pattern"), (("toy",), "Field required"),
])
def test_domains_that_cannot_be(domains, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TriCDRConfig(domains=domains)


def test_missing_files_say_both_names_and_where_they_come_from(read):
    with pytest.raises(MissingFile, match=r"lacks toy\.txt.*lacks toy_log_file_final\.pkl.*https://github\.com/hulkima"):
        read("tricdr")


def test_the_real_pair(read, real_data):
    found = read("tricdr", path=real_data("cross-domain/tricdr-toy-game"))
    assert (found.card["users"], found.card["items"], found.card["events"]) == (7_996, 49_603, 197_358)
    log, catalogue = found.interactions, found.catalogue
    toy = catalogue.domain[log.item] == catalogue.domain_names.index("toy")
    assert toy.sum() == 114_487 and catalogue.item_ids[log.item[toy]].max() == 37_868
    assert catalogue.item_ids[log.item[~toy]].min() == 37_869


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place)
        request.cls.folders = (place,)


class TestTriCDR(DatasetContract):
    spec = benchbase_datasets()[0]
    config = TriCDRConfig()
