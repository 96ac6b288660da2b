"""Records: what a run leaves on disk, written whole or not at all, and trusted only after its checksums are checked."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..config import canonical_json
from ..errors import RecordError
from .facts import facts_problem, read_json
from .tables import COLUMNS, from_file, to_bytes

SCHEMA = 1
"""Version of the form of records."""

FACTS = "record.json"
RUN_ID = re.compile("[0-9a-f]{12}")
FINISHED = ("ok", "skipped")


class UnknownSchema(RecordError):
    """A record in a form that another benchbase wrote: it is not damaged, and never written over."""


@dataclass(frozen=True)
class Record:
    """A run's result: `facts` is its record.json, the tables lie beside that."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.facts["run_id"])

    @property
    def status(self) -> str:
        return str(self.facts["status"])

    def table(self, name: str) -> dict[str, NDArray[Any]]:
        """The columns of one of its files. RecordError where it has none of that name."""
        if name not in self.facts["files"]:
            raise RecordError(f"{self.folder}: no {name}. Expected it in a record that is ok. Run again.")
        return from_file(self.folder / name)


def write_record(folder: Path, facts: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Record:
    """Write a record in place of an older one; a full disk leaves what stood there before, and raises RecordError."""
    files = {name: to_bytes(name, table) for name, table in tables.items()}
    whole = {**facts, "schema": SCHEMA, "files": {name: _hash(content) for name, content in files.items()}}
    files[FACTS] = (canonical_json(whole) + "\n").encode()
    write_folder(folder, files)
    return Record(folder, whole)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files aside, force them to disk, and rename their folder into place. Errors: RecordError."""
    aside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, content in files.items():
            write_bytes(aside / name, content)
        aside.chmod(0o755)
        _sync(aside)
        _replace(aside, folder)
        _sync(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write one file so that nobody ever sees half of it. Errors: RecordError."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(aside, content)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise cannot_write(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file and force it to disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def cannot_write(path: Path, error: OSError) -> RecordError:
    """The error for a place that takes no more files."""
    return RecordError(f"{path}: cannot be written: {error.strerror or error}. Expected a folder with space that may "
                       "be written to. Free some, then give the same command again: what is finished is kept.")


def read_record(folder: Path) -> Record:
    """A record whose files all match their checksums. Errors: RecordError where it is damaged, UnknownSchema."""
    path = folder / FACTS
    try:
        facts = read_json(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not readable: {error}. Expected the facts of a run. Run again.") from error
    if not isinstance(facts, dict):
        raise RecordError(f"{path}: is no mapping. Expected the facts of a run. Run again.")
    if facts.get("schema") != SCHEMA:
        raise UnknownSchema(f"{path}: its schema is {facts.get('schema')!r}. Expected {SCHEMA}. "
                            "Read it with the benchbase that wrote it, or move it away.")
    _check(folder, facts, folder.name)
    return Record(folder, facts)


def _check(folder: Path, facts: Mapping[str, Any], name: str) -> None:
    if problem := facts_problem(facts):
        raise RecordError(f"{folder / FACTS}: {problem} Run again.")
    if facts["run_id"] != name:
        raise RecordError(f"{folder / FACTS}: holds the run {facts['run_id']}. Expected {name}, its folder's "
                          "name. Move it to a folder of its own name.")
    wanted = {_results(facts)} if facts["status"] == "ok" else set()
    if missing := sorted(wanted - facts["files"].keys()) + sorted(facts["files"].keys() - COLUMNS.keys()):
        raise RecordError(f"{folder / FACTS}: its files are {sorted(facts['files'])}. Expected {missing[0]} "
                          f"{'among' if missing[0] in wanted else 'not among'} them. Run again.")
    for file, digest in facts["files"].items():
        try:
            content = (folder / file).read_bytes()
        except OSError as error:
            raise RecordError(f"{folder / file}: cannot be read: {error.strerror}. Expected it beside {FACTS}. "
                              "Run again.") from error
        if _hash(content) != digest:
            raise RecordError(f"{folder / file}: is not what the run wrote: its checksum differs. Expected "
                              f"{digest[:12]}. Run again.")


def _results(facts: Mapping[str, Any]) -> str:
    """The file that the metrics of a run that is ok follow from."""
    return "users.parquet" if list(facts["protocol"].get("tasks", ())) == ["action"] else "events.parquet"


def records_folder(folder: Path) -> Path:
    """Where the records of a folder lie: in `runs` (where they were made), `records` (published), or in itself."""
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder. Expected one that `benchbase run` wrote.")
    for name in ("runs", "records"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def read_all(folder: Path) -> Iterator[tuple[str, Record | RecordError]]:
    """Every record of a folder in order of run ids, or what is wrong with it."""
    for path in sorted(records_folder(folder).iterdir()):
        if path.is_dir() and RUN_ID.fullmatch(path.name):
            try:
                yield path.name, read_record(path)
            except RecordError as error:
                yield path.name, error


def left_beside(folder: Path) -> list[Path]:
    """What writers of this record have beside it: those at work, and those that were killed."""
    return sorted(folder.parent.glob(f".{folder.name}-*"))


def clean(folder: Path) -> None:
    """Remove what killed writers of this record left beside it; call only while holding its lock.

    A writer that was killed after it had moved the older record away, and before the new one stood, leaves both aside:
    one that is whole is put into its place first, the new one sooner than the old.
    """
    aside = left_beside(folder)
    if not folder.exists():
        hidden = (*aside, *(left / folder.name for left in aside))
        if whole := next((left for left in hidden if _is_whole(left, folder.name)), None):
            whole.rename(folder)
            _sync(folder.parent)
    for left in aside:
        shutil.rmtree(left, ignore_errors=True)


def _is_whole(folder: Path, run_id: str) -> bool:
    """Whether a folder that is not in its place yet is a record that can be trusted."""
    try:
        facts = read_json(folder / FACTS)
        _check(folder, facts, run_id)
    except (OSError, ValueError, RecordError, TypeError, AttributeError):
        return False
    return True


def _replace(aside: Path, folder: Path) -> None:
    """Rename into place; an older record goes only once the new one is whole."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        folder.rename(old / folder.name)
        try:
            aside.rename(folder)
        except OSError:
            (old / folder.name).rename(folder)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
