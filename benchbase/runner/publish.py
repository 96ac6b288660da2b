"""The form in which records may be shown to anyone: without lists of items, tracebacks and paths, users in another
order, and explanations of data alone that may be handed on.

That order hides which row of the prepared data a user was. It is no anonymisation: it follows from the hash of the data
alone, so that records of several folders pair, and who has the data can undo it.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import context_of
from .records import FACTS, RUN_ID, Record, write_record

SHOWN = ("events.parquet", "across.parquet", "users.parquet", "curve.parquet", "explanations.parquet")
"""Files of a record that are published; what needs the others stands among its metrics as numbers."""

FREE = ("explanations.parquet",)
"""Of these the ones that tell what users chose, and are published where the data may be handed on."""

PRIVATE = ("traceback",)
"""Facts that stay at home: they name folders of the machine."""

GONE = "..."
"""What stands for a folder."""

BETWEEN = r"(?:(?!\.\s)(?:[^:;,'\"()\[\]\n]|(?<=\w)'(?=\w)))*"
"""What may stand between the first and the last separator of a path, blanks among it: no clause of the message ends."""

START = r"(?:file:|~[\w.-]*|\.{1,2}|[A-Za-z]:)?(?!(?<=:)//[^/])[/\\](?=\S)"
"""How a path begins that says where it lies; the host of an address begins none."""

PATH = re.compile(rf"(?<![\w./\\~-]){START}(?:{BETWEEN}[/\\])?(?P<name>[^\s/\\:;,'\"()\[\]]*)")
QUOTED = re.compile(rf"(?P<quote>['\"])(?:{START}[^\n]*?|[^'\"\n]*[/\\](?=[^/\\'\"\n]*\.\w))"
                    r"(?P<name>[^/\\\n]*?)(?P=quote)(?!\w)")
"""The same between quotes, where a path may hold anything; there also one that is relative."""

FILE = re.compile(r"[\w -]*\w\.\w{1,8}(?:\.\w{1,4})?")
"""A name that tells a file from a folder."""

HOMES = re.compile(r"[/\\](?:home|Users|root|tmp|var|mnt|media)[/\\]")
"""What betrays a path that was not recognised."""

ASIDE = re.compile(r"\.(?:[0-9a-f]{12}|plan\.json)-.*")
"""What a writer that was killed leaves beside records."""


def publish(records: Iterable[Record], folder: Path) -> list[Record]:
    """Write the records anew below `folder`, users permuted alike in all records of one data set; other records that
    lie there are removed.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if ASIDE.fullmatch(path.name):
            _remove(path)
    written = [_publish(record, folder / record.run_id) for record in records]
    kept = {record.run_id for record in written}
    for path in folder.iterdir() if folder.is_dir() else ():
        if RUN_ID.fullmatch(path.name) and path.name not in kept and (path / FACTS).is_file():
            shutil.rmtree(path)
    return written


def shown_reason(reason: str) -> str:
    """A reason as it is published: of a path the file's name alone, of a folder nothing; one that still seems to hold
    a path is cut to its first clause.
    """
    for root in _roots():
        reason = re.sub(rf"(?<![\w.]){re.escape(root)}(?![\w.-])", "~", reason)
    reason = PATH.sub(_shown, QUOTED.sub(_shown, reason))
    reason = re.sub(r"(?<![\w~/])~(?![\w~/])", GONE, reason)
    return reason.partition(":")[0] if HOMES.search(reason) else reason


def _roots() -> list[str]:
    """The folders of this machine that messages name, the deepest first."""
    known = [Path.home(), Path.cwd(), Path(tempfile.gettempdir()), *context_of(None).folders]
    found = {str(path) for each in known for path in (each, each.absolute()) if len(path.parts) > 1}
    return sorted(found, key=len, reverse=True)


def _shown(match: re.Match[str]) -> str:
    name, quote = match["name"], match.groupdict().get("quote", "")
    name, end = (name, "") if quote else _unended(name)
    return f"{quote}{name if FILE.fullmatch(name) else GONE}{quote}{end}"


def _unended(name: str) -> tuple[str, str]:
    """A name without the full stop that ends the sentence, and that."""
    bare = name.rstrip(".!?")
    return bare, name[len(bare):]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def shown_events(record: Record, file: str = "events.parquet") -> dict[str, NDArray[Any]]:
    """A table by event, the counts unless another is named, as it is published, whether the record is or not: figures
    made of it are then the same.
    """
    events = record.table(file)
    if record.facts.get("published"):
        return events
    user = _permutation(record.facts["data"]["hash"], record.facts["data"]["n_users"])[events["user"]]
    order = np.lexsort((events["event"], user))
    return {name: (user if name == "user" else column)[order] for name, column in events.items()}


def shown_users(record: Record) -> dict[str, NDArray[Any]]:
    """What each user makes of each metric, in the order in which it is published; as `shown_events`."""
    table = record.table("users.parquet")
    if record.facts.get("published"):
        return table
    user = _permutation(record.facts["data"]["hash"], record.facts["data"]["n_users"])[table["user"]]
    order = np.lexsort((user, table["metric"].astype(str)))
    return {name: (user if name == "user" else column)[order] for name, column in table.items()}


def _publish(record: Record, folder: Path) -> Record:
    facts = {name: value for name, value in record.facts.items() if name not in (*PRIVATE, "files")}
    unexpected = "traceback" in record.facts  # its message may say anything: only its type is shown
    facts["reason"] = facts["reason"].partition(":")[0] if unexpected else shown_reason(facts["reason"])
    free = bool(record.facts["data"].get("card", {}).get("redistributable"))
    tables = {name: _shown_table(record, name) for name in SHOWN
              if name in record.facts["files"] and (free or name not in FREE)}
    return write_record(folder, {**facts, "published": True}, tables)


def _shown_table(record: Record, name: str) -> dict[str, NDArray[Any]]:
    if name == "users.parquet":
        return shown_users(record)
    return record.table(name) if name == "curve.parquet" else shown_events(record, name)


def _permutation(data_hash: str, n_users: int) -> NDArray[np.int32]:
    """Where each row of the prepared data stands in what is published; it follows from the data alone, no secret."""
    seed = int.from_bytes(hashlib.sha256(f"publish {data_hash}".encode()).digest()[:8])
    return np.random.default_rng(seed).permutation(n_users).astype(np.int32)
