"""Tables of known columns: read as they are, or refused by line."""

from pathlib import Path
from typing import Any

import pytest

from benchbase.data import table
from benchbase.data.table import Table, filled, whole
from benchbase.errors import DataError


def rows(made: Table, path: Path) -> list[Any]:
    return [row for chunk in made.read(path) for row in chunk.to_numpy().tolist()]


def test_chunks_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHUNK", 2)
    path = tmp_path / "some.csv"
    path.write_text("id,name\n1,a\n2,b\n3,c\n4,d\n5,e\n")
    made = Table({"id": whole(), "name": filled("a name")}, ",", header=True)
    assert [len(chunk) for chunk in made.read(path)] == [2, 2, 1]
    assert rows(made, path) == [[1, "a"], [2, "b"], [3, "c"], [4, "d"], [5, "e"]]


def test_quotes_hold_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text('"1","a, b"\n2,c\n')
    assert rows(Table({"id": whole(), "name": filled("a name")}, ",", quotes=True), path) == [[1, "a, b"], [2, "c"]]


@pytest.mark.parametrize(("text", "message"), [
    ("1;a\n2;\n", r"some\.txt:2: name is ''\. Expected a name\."),
    ("-1;a\n", r"some\.txt:1: id is '-1'\. Expected a whole number\."),
    ("1;a;b\n", r"some\.txt:1: 3 columns\. Expected 2: `id name`, separated by ';'\."),
    ("", r"some\.txt: the file is empty\. Expected lines of `id name`, separated by ';'\."),
])
def test_the_line_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "some.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        rows(Table({"id": whole(), "name": filled("a name")}, ";"), path)


def test_what_only_the_fast_reader_refuses(tmp_path: Path) -> None:
    def refuse(chunk: Any) -> Any:
        raise ValueError("odd")

    path = tmp_path / "some.txt"
    path.write_text("1;a\n")
    with pytest.raises(DataError, match=r"some\.txt: cannot be read as a table \(odd\)\. Expected lines of"):
        rows(Table({"id": whole(), "name": filled("a name")}, ";", prepare=refuse), path)
