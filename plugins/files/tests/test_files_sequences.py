"""Sequence and pair files: order, parallel times, and every bad line."""

import gzip
import os

import pytest

from benchbase.data import split
from benchbase.errors import DataError


def sequences(prepared):
    """The item ids of every user, in order."""
    interactions = prepared.interactions
    items = prepared.catalogue.item_ids[interactions.item].tolist()
    bounds = interactions.offsets.tolist()
    return {user: items[a:b] for user, a, b in zip(interactions.user_ids.tolist(), bounds, bounds[1:], strict=False)}


@pytest.mark.parametrize(
    "text", ["1 7 5 9\n2 5\n", "1 7\n1 5\n2 5\n1 9\n", "1 7 5\r\n\r\n2 5\r\n1 9", "2 5\n1 7 5 9\n"]
)
def test_a_line_goes_on_where_the_users_last_one_stopped(read, tmp_path, text):
    (tmp_path / "log.txt").write_bytes(text.encode())
    assert sequences(read(path="log.txt", format="sequence")) == {1: [7, 5, 9], 2: [5]}


def test_ids_may_be_strings_and_columns_have_another_separator(read, tmp_path):
    (tmp_path / "log.txt").write_text("ann,x y,z\n")
    assert sequences(read(path="log.txt", format="sequence", separator=",")) == {"ann": ["x y", "z"]}


def test_blank_lines_are_skipped_whatever_the_separator(read, tmp_path):
    (tmp_path / "log.txt").write_text("1,7\n\n  \n2,5\n\n")
    assert sequences(read(path="log.txt", format="sequence", separator=",")) == {1: [7], 2: [5]}


@pytest.mark.parametrize("bad", ["1,7,", ",7", "1,,7", "1, ,7", ",,"])
@pytest.mark.parametrize("form", ["log", "times"])
def test_empty_fields_are_refused_with_their_line(read, tmp_path, bad, form):
    texts = {"log": "1,7\n1,7\n", "times": "1,3\n1,3\n"}
    for name, text in {**texts, form: f"{texts[form][:4]}{bad}\n"}.items():
        (tmp_path / name).write_text(text)
    message = rf"{form}:2: a field is empty\. Expected a value before and after each ','\. Mend the line"
    with pytest.raises(DataError, match=message):
        read(path="log", times="times", format="sequence", separator=",")


def test_only_plain_digits_are_integers(read, tmp_path):
    (tmp_path / "log.txt").write_text("1 1_0 10\n")
    assert sequences(read(path="log.txt", format="sequence")) == {1: ["1_0", "10"]}
    (tmp_path / "log.txt").write_text("1 ٣ 3\n", encoding="utf-8")
    assert sequences(read(path="log.txt", format="sequence")) == {1: ["٣", "3"]}


def test_users_without_items_are_left_out_and_counted(read, tmp_path):
    (tmp_path / "log.txt").write_text("1 7\n2\n")
    found = read(path="log.txt", format="sequence")
    assert sequences(found) == {1: [7]}
    assert found.card["facts"] == {"users without items": "1"}


@pytest.mark.parametrize(
    "unit, times",
    [
        ("s", "1 9 3 4\n2 5\n"),
        ("ms", "1 9000 3999 4000\n2 5000\n"),
        ("iso", "1 1970-01-01T00:00:09 1970-01-01T00:00:03 1970-01-01T00:00:04\n2 1970-01-01T00:00:05\n"),
    ],
)
def test_a_parallel_file_gives_times(read, tmp_path, unit, times):
    (tmp_path / "log.txt").write_text("1 7 5 6\n2 5\n")
    (tmp_path / "times.txt").write_text(times)
    found = read(path="log.txt", format="sequence", times="times.txt", timestamp_unit=unit)
    assert sequences(found) == {1: [5, 6, 7], 2: [5]}
    assert found.interactions.timestamp.tolist() == [3, 4, 9, 5]


@pytest.mark.parametrize(
    "times, message",
    [
        (
            "1 9 3\n2 5 5\n",
            r"times\.txt:2: user 2 with 2 times\. Expected user 2 with 1, as in .*log\.txt:3\. Give the file",
        ),
        ("1 9 3\n3 5\n", r"times\.txt:2: user 3 with 1 times\. Expected user 2 with 1"),
        ("1 9 3\n", r"times\.txt: fewer lines than .*log\.txt, which has 2\. Expected one line of times for each"),
        ("1 9 3\n2 5\n3 4\n", r"times\.txt: more lines than"),
        ("1 9 1_0\n2 5\n", r"times\.txt:1: time '1_0' is no number\. Expected a time in s\."),
        ("1 9 noon\n2 5\n", r"times\.txt:1: time 'noon' is no number\. Expected a time in s\."),
    ],
)
def test_times_that_do_not_match_are_refused_with_their_line(read, tmp_path, times, message):
    (tmp_path / "log.txt").write_text("1 7 5\n\n2 5\n")
    (tmp_path / "times.txt").write_text(times)
    with pytest.raises(DataError, match=message):
        read(path="log.txt", format="sequence", times="times.txt")


@pytest.mark.parametrize(
    "text, message",
    [
        (b"", r"log\.txt: the file is empty\. Expected lines `user item \[item \.\.\.\]`\. Check the path"),
        (b"1,2\n3,4\n", r"log\.txt: no line names an item after the user\. Expected lines .*and the separator\."),
        (b"\xe9 1\n", r"log\.txt: not utf-8 text .*Expected utf-8\. Set encoding, for example to latin-1"),
    ],
)
def test_files_without_sequences_are_refused(read, tmp_path, text, message):
    (tmp_path / "log.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        read(path="log.txt", format="sequence")


def test_a_damaged_packed_file_is_named(read, tmp_path):
    (tmp_path / "log.txt.gz").write_bytes(gzip.compress(os.urandom(999).hex().encode())[:-20])
    with pytest.raises(DataError, match=r"log\.txt\.gz: damaged gzip file .*Expected a whole one\. Copy it again\."):
        read(path="log.txt", format="sequence")


@pytest.mark.parametrize("form", ["sequence", "pairs"])
def test_ml_1m_as_sequential_recommenders_filter_it(read, real_data, form):
    found = read(real_data("ml-1m/sasrec"), path="ml-1m.txt", format=form)
    card = found.card
    assert (card["users"], card["items"], card["events"]) == (6040, 3416, 999_611)
    assert sequences(found)[1][:5] == [1, 2, 3, 4, 5]
    facts = split(found.interactions, found.catalogue, "leave_one_out").facts
    assert facts["evaluated"] == {"valid": 6040, "test": 6040}


def test_both_formats_of_one_file_are_the_same_data(read, real_data):
    folder = real_data("amazon-bert4rec")
    assert (
        read(folder, path="beauty.txt", format="sequence").hash == read(folder, path="beauty.txt", format="pairs").hash
    )


@pytest.mark.parametrize(
    "folder, parameters, counts",
    [
        ("amazon-s3rec", {"path": "Beauty.txt"}, (22_363, 12_101, 198_502)),
        ("amazon-s3rec", {"path": "LastFM.txt"}, (1_090, 3_646, 52_551)),
        (
            "amazon-ticoserec",
            {"path": "Beauty_item_org_rank.txt", "times": "Beauty_time_org_rank.txt"},
            (22_363, 12_101, 198_502),
        ),
        ("amazon-sasrec", {"path": "Video.txt"}, (31_013, 23_715, 287_107)),
        ("cross-domain/tricdr-toy-game", {"path": "toy.txt"}, (7_996, 37_868, 114_487)),
    ],
)
def test_published_sequence_files(read, real_data, folder, parameters, counts):
    card = read(real_data(folder), format="sequence", **parameters).card
    assert (card["users"], card["items"], card["events"]) == counts


def test_a_published_log_with_a_header_and_milliseconds(read, real_data):
    found = read(
        real_data("kuairand-pure"),
        path="log_standard_4_25_to_5_08_pure.csv",
        format="csv",
        timestamp_unit="ms",
        columns={
            "user": "user_id",
            "item": "video_id",
            "timestamp": "time_ms",
            "actions": ["is_click", "is_like", "long_view"],
        },
    )
    assert (found.card["users"], found.card["items"], found.card["events"]) == (25_156, 6_361, 228_329)
    assert found.card["time_span"] == [1_650_812_741, 1_652_025_130]
    assert found.interactions.actions.sum(axis=0).tolist() == [100_900, 3_915, 70_963]
