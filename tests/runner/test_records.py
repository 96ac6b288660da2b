"""Records: what is written is what is read, whole or not at all."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from benchbase.errors import RecordError
from benchbase.runner import records
from benchbase.runner.records import Record, UnknownSchema, clean, read_all, read_record, records_folder, write_record
from benchbase.runner.tables import COLUMNS, from_file, to_bytes

NAME = "0123456789ab"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / NAME


@pytest.fixture
def record(folder: Path, facts: dict[str, Any], tables: dict[str, Any]) -> Record:
    return write_record(folder, facts, tables)


def edit(record: Record, **changes: Any) -> None:
    """Change facts on disk; a value of None removes the key."""
    path = record.folder / "record.json"
    new = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in new.items() if value is not None}))


def test_what_is_written_is_read(record: Record, tables: dict[str, Any]) -> None:
    read = read_record(record.folder)
    assert read == record
    assert read.status == "ok"
    events = read.table("events.parquet")
    assert {name: column.tolist() for name, column in events.items()} == {
        name: column.tolist() for name, column in tables["events.parquet"].items()
    }
    assert [one.tolist() for one in read.table("topk.parquet")["items"]] == [[1, 2], [3], [], [4, 5]]


def test_files_have_the_columns_and_types_of_the_format(record: Record) -> None:
    schema = {
        "events.parquet": [
            ("user", "int32"),
            ("event", "int32"),
            ("above", "int32"),
            ("tied", "int32"),
            ("candidates", "int32"),
            ("domain", "int16"),
        ],
        "topk.parquet": [
            ("user", "int32"),
            ("event", "int32"),
            ("items", "list<element: int32>"),
            ("scores", "list<element: float>"),
        ],
        "curve.parquet": [("epoch", "int32"), ("name", "string"), ("value", "double")],
    }
    for name, wanted in schema.items():
        fields = parquet.read_schema(record.folder / name)
        assert [(field.name, str(field.type).replace(" not null", "")) for field in fields] == wanted
        assert fields.metadata is None


def test_equal_content_gives_equal_bytes(tmp_path: Path, facts: dict[str, Any], tables: dict[str, Any]) -> None:
    one = write_record(tmp_path / "a" / NAME, facts, tables)
    other = write_record(tmp_path / "b" / NAME, dict(reversed(facts.items())), dict(reversed(tables.items())))
    for name in ("record.json", *tables):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_an_empty_curve_is_a_table() -> None:
    assert len(to_bytes("curve.parquet", {"epoch": [], "name": [], "value": []})) > 0


@pytest.mark.parametrize("full_at", [0, 1, 3])
def test_a_full_disk_leaves_no_half_record(
    folder: Path, facts: dict[str, Any], tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    written: list[Path] = []
    write = records.write_bytes

    def fill(path: Path, content: bytes) -> None:
        if len(written) == full_at:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        write(path, content)

    monkeypatch.setattr(records, "write_bytes", fill)
    with pytest.raises(RecordError, match=rf"{folder}: cannot be written: No space left on device. Expected a"):
        write_record(folder, facts, tables)
    assert list(folder.parent.iterdir()) == []


def test_a_full_disk_keeps_the_older_record(
    record: Record, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(records, "write_bytes", fail)
    with pytest.raises(RecordError, match=r"No space left"):
        write_record(record.folder, {**record.facts, "seed": 9}, tables)
    assert read_record(record.folder).facts["seed"] == 1
    assert [path.name for path in record.folder.parent.iterdir()] == [NAME]


def test_the_system_says_no_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """A real limit, not a patched one: files may not grow beyond it."""
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom benchbase.errors import RecordError\n"
        "from benchbase.runner.records import write_folder\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))\n"
        "try:\n    write_folder(Path(sys.argv[1]), {'a': b'small', 'b': bytes(100_000)})\n"
        "except RecordError as error:\n    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "x")], capture_output=True, text=True)
    assert "cannot be written: File too large" in ended.stdout, ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, facts: dict[str, Any]) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RecordError, match=r"cannot be written: File exists"):
        write_record(tmp_path / "runs" / NAME, {**facts, "status": "failed"}, {})


def test_a_new_record_replaces_the_old_one(record: Record, facts: dict[str, Any]) -> None:
    write_record(record.folder, {**facts, "status": "failed", "reason": "why"}, {})
    assert read_record(record.folder).facts["reason"] == "why"
    assert sorted(path.name for path in record.folder.iterdir()) == ["record.json"]


def test_what_a_killed_writer_left_is_cleaned(record: Record) -> None:
    left = record.folder.with_name(f".{NAME}-dead")
    left.mkdir()
    other = record.folder.with_name(".ffffffffffff-alive")
    other.mkdir()
    clean(record.folder)
    assert not left.exists() and other.exists() and record.folder.exists()


@pytest.mark.parametrize(("half", "seed"), [(False, 9), (True, 1)])
def test_a_writer_killed_between_its_renames_loses_no_record(
    record: Record, tables: dict[str, Any], half: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older record is put back; the new one instead where that is whole."""
    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        if self.name == NAME:
            return rename(self, target)
        if half:
            (self / "events.parquet").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        patch.setattr(records.shutil, "rmtree", lambda *given, **options: None)  # a killed process tidies nothing
        with pytest.raises(KeyboardInterrupt):
            write_record(record.folder, {**record.facts, "seed": 9}, tables)
    assert not record.folder.exists()
    clean(record.folder)
    assert read_record(record.folder).facts["seed"] == seed
    assert [path.name for path in record.folder.parent.iterdir()] == [NAME]


@pytest.mark.parametrize("name", ["events.parquet", "topk.parquet"])
def test_a_changed_byte_is_seen(record: Record, name: str) -> None:
    content = bytearray((record.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (record.folder / name).write_bytes(content)
    with pytest.raises(RecordError, match=rf"{name}: is not what the run wrote: its checksum differs. Expected "):
        read_record(record.folder)


@pytest.mark.parametrize(("changes", "message"), [
    ({"metrics": None}, "metrics is missing. Expected the facts of a run. Run again."),
    ({"training": []}, r"training is \[\]. Expected a mapping. Run again."),
    ({"seed": "1"}, "seed is '1'. Expected a whole number. Run again."),
    ({"seed": True}, "seed is True. Expected a whole number. Run again."),
    ({"status": "fine"}, "status is 'fine'. Expected 'ok', 'skipped', 'failed', 'timeout' or 'diverged'."),
    ({"run_id": "ba9876543210"}, f"holds the run ba9876543210. Expected {NAME}, its folder's name."),
    ({"files": {}}, r"its files are \[\]. Expected events.parquet among them."),
    ({"status": "failed", "files": {"../x": "0" * 64}}, "Expected ../x not among them."),
    ({"files": {"events.parquet": 5}}, "files.events.parquet is 5. Expected text. Run again."),
    ({"metrics": {"ndcg@5": {"a": 1}}}, r"metrics.ndcg@5 is {'a': 1}. Expected a number."),
    ({"cost": {"train_seconds": -1}}, "cost.train_seconds is -1. Expected greater than or equal to 0."),
    ({"cost": {"train_seconds": 1}}, "cost.rank_seconds is missing."),
    ({"environment": {"machine": "m", "threads": 1, "sources": {"os.path": "x"}}}, "sources.os.path is 'os.path'."),
    ({"data": {"dataset": "d", "hash": "h", "n_users": 2**31}}, "data.n_users is 2147483648. Expected less than or"),
    ({"data": {"dataset": "d", "hash": "h", "n_users": 4, "card": {"users": 5, "items": 1, "events": 1, "density": 1.0,
      "licence": ""}}}, "data.n_users is 4. Expected 5, as its card says."),
])  # fmt: skip
def test_damaged_facts_are_named(record: Record, changes: dict[str, Any], message: str) -> None:
    edit(record, **changes)
    with pytest.raises(RecordError, match=message):
        read_record(record.folder)


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not readable"),
    ("[]", "is no mapping"),
    ("[" * 100_000, "not readable: it nests too deeply"),
    ('{"schema": 1, "a": ' + "[" * 60 + "]" * 60 + "}", "not readable: it nests too deeply"),
    ('{"schema": 1, "seed": NaN}', "not readable: NaN is no JSON"),
    ('{"schema": 1, "reason": "\\ud800"}', "not readable: .*surrogates not allowed"),
    ('{"schema": 1, "seed": ' + "9" * 5000 + "}", "not readable"),
])  # fmt: skip
def test_facts_that_are_none(record: Record, text: str, message: str) -> None:
    (record.folder / "record.json").write_text(text)
    with pytest.raises(RecordError, match=message):
        read_record(record.folder)


def test_a_missing_file_is_named(record: Record) -> None:
    (record.folder / "curve.parquet").unlink()
    with pytest.raises(RecordError, match=r"curve.parquet: cannot be read: No such file or directory. Expected it"):
        read_record(record.folder)


def test_a_foreign_schema_is_not_damage(record: Record) -> None:
    edit(record, schema=99)
    with pytest.raises(UnknownSchema, match=r"its schema is 99. Expected 1. Read it with the benchbase that wrote it"):
        read_record(record.folder)


def test_a_table_that_the_record_lacks(record: Record, facts: dict[str, Any]) -> None:
    failed = write_record(record.folder, {**facts, "status": "failed"}, {})
    with pytest.raises(RecordError, match=r"no events.parquet. Expected it in a record that is ok"):
        failed.table("events.parquet")


def test_a_table_with_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    parquet.write_table(pyarrow.table({"user": [1]}), path)
    with pytest.raises(RecordError, match=r"its columns are {'user': 'int64'}. Expected {'user': 'int32'"):
        from_file(path)
    whole = pyarrow.schema([pyarrow.field(name, pyarrow.type_for_alias(kind))
                            for name, kind in COLUMNS["curve.parquet"].items()])
    gap = tmp_path / "curve.parquet"
    parquet.write_table(pyarrow.table({"epoch": [None], "name": ["x"], "value": [0.5]}, schema=whole), gap)
    with pytest.raises(RecordError, match=r"its column epoch has gaps. Expected a value in every row"):
        from_file(gap)
    path.write_bytes(b"no table")
    with pytest.raises(RecordError, match=r"cannot be read: .*Expected the table of a record"):
        from_file(path)


def test_all_records_of_a_folder_and_what_is_wrong_with_them(record: Record, facts: dict[str, Any]) -> None:
    runs = record.folder.parent
    write_record(runs / "ffffffffffff", {**facts, "run_id": "ffffffffffff", "status": "failed"}, {})
    (runs / "aaaaaaaaaaaa").mkdir()
    (runs / "no record").mkdir()
    (runs / f"{NAME}.lock").touch()
    found = dict(read_all(runs.parent))
    assert list(found) == [NAME, "aaaaaaaaaaaa", "ffffffffffff"]
    assert isinstance(found["aaaaaaaaaaaa"], RecordError)
    assert found[NAME] == record


def test_where_records_lie(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no such folder. Expected one that `benchbase run` wrote"):
        records_folder(tmp_path / "nowhere")
    assert records_folder(tmp_path) == tmp_path
    (tmp_path / "records").mkdir()
    assert records_folder(tmp_path) == tmp_path / "records"
    (tmp_path / "runs").mkdir()
    assert records_folder(tmp_path) == tmp_path / "runs"
