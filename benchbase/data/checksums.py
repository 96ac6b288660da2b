"""Checksums: content hashes of files, remembered while size and times show that a file has not changed."""

import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..errors import DataError


def file_hash(path: Path, cache: Path) -> str:
    """SHA-256 of a file's content; remembered in `cache` by path, size, modification time and inode."""
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    name = str(path.resolve())
    mark = [name, stat.st_size, stat.st_mtime_ns, stat.st_ino]
    memo = cache / "checksums" / (hashlib.sha256(name.encode()).hexdigest()[:32] + ".json")
    known = read_json(memo)
    if known is not None and known.get("mark") == mark:
        return str(known["sha256"])
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None
    write_json(memo, {"mark": mark, "sha256": digest})
    return digest


def _unreadable(path: Path, error: OSError) -> DataError:
    """The error for a source, which is none of the cache."""
    return DataError(
        f"{path}: cannot be read: {error.strerror}. Expected a readable file. Check the path and who may read it."
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where the file is absent, cut short or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that nobody ever sees half of it, nor another thread's or process's file aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    aside.write_text(canonical(value), encoding="utf-8")
    aside.replace(path)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no optional blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
