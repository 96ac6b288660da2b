"""What of a record's reason may be shown, and what killed writers leave among published records."""

from pathlib import Path
from typing import Any

import pytest

from benchbase.runner.publish import publish, shown_reason
from benchbase.runner.records import write_record


@pytest.mark.parametrize(("reason", "shown"), [
    ('"/home/John Smith/data/x.csv" is bad', '"x.csv" is bad'),
    ("'/home/John Smith/data/x.csv': no such file", "'x.csv': no such file"),
    ("/home/John Smith/data/x.csv: no such file. Expected a/b.", "x.csv: no such file. Expected a/b."),
    ("/home/O'Brien/data/x.csv: no", "x.csv: no"),
    ("'/home/O'Brien/data/x.csv': no", "'x.csv': no"),
    ("'John Smith/data/x.csv' is bad", "'x.csv' is bad"),
    ("file:///home/me/x", "..."),
    ("sqlite:///home/me/x.db is bad", "sqlite:x.db is bad"),
    ("../../home/me/x.csv: gone", "x.csv: gone"),
    ("folder /home/me", "folder ..."),
    ("cannot write to /home/me/out. Expected room.", "cannot write to .... Expected room."),
    ("~/secret/x.csv: no", "x.csv: no"),
    ("~me/x.tar.gz, and more", "x.tar.gz, and more"),
    (r"C:\Users\John Smith\data\x.csv: no", "x.csv: no"),
    (r"'C:\\Users\\me\\x.csv'", "'x.csv'"),
    (r"\\server\share\me\f.csv gone", "f.csv gone"),
    ("[Errno 2]:/home/me/x.csv", "[Errno 2]:x.csv"),
    ("path=/home/me/y.txt,z", "path=y.txt,z"),
    ("x: in a,/home/me", "x: in a,..."),
    ("odd: a/home/me stays unknown", "odd"),
])  # fmt: skip
def test_of_a_path_the_name_of_the_file_is_shown_at_most(reason: str, shown: str) -> None:
    assert shown_reason(reason) == shown


@pytest.mark.parametrize("reason", [
    "a + b: a does not fit layout items. Expected stacked or interleaved.",
    "see https://example.org/a/b. Expected a/b.",
    "recall@10 / ndcg@10, 1/2 and 'm/n' differ: it's so.",
    "the data set has no timestamps. Use protocol.split: leave_one_out.",
])
def test_what_is_no_path_stays(reason: str) -> None:
    assert shown_reason(reason) == reason


def test_the_folders_of_this_machine_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a, b; c"
    place.mkdir()
    monkeypatch.setenv("BENCHBASE_DATA", str(place))
    assert shown_reason(f"{place}/d/x.csv: no") == "x.csv: no"
    assert shown_reason(f"{place}: no") == "...: no"
    monkeypatch.chdir(place)
    monkeypatch.delenv("BENCHBASE_DATA")
    assert shown_reason(f"in {place}/d: no") == "in ...: no"


def test_what_a_killed_publish_left_goes_with_the_next(tmp_path: Path, facts: dict[str, Any]) -> None:
    record = write_record(tmp_path / "runs" / facts["run_id"], {**facts, "status": "failed"}, {})
    shown = tmp_path / "records"
    for left in (".0123456789ab-x1", ".ffffffffffff-x2"):
        (shown / left).mkdir(parents=True)
        (shown / left / "record.json").write_text("{")
    (shown / ".plan.json-12").write_text("{")
    (shown / ".mine").write_text("")
    publish([record], shown)
    assert sorted(path.name for path in shown.iterdir()) == [".mine", facts["run_id"]]
