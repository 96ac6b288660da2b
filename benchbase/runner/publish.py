"""The form in which records may be shown to anyone: without lists of items, tracebacks and paths, and users in
another order.

That order hides which row of the prepared data a user was. It is no anonymisation: it follows from the hash of the data
alone, so that records of several folders pair, and who has the data can undo it.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from .records import FACTS, RUN_ID, Record, write_record

SHOWN = ("events.parquet", "curve.parquet")
"""Files of a record that are published; what needs the others stands among its metrics as numbers."""

PRIVATE = ("traceback",)
"""Facts that stay at home: they name folders of the machine."""

FOLDERS = re.compile(r"(?<![\w./:~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\":,;()\[\]]+[/\\])+")
"""The folders of an absolute path, up to the name at its end."""


def publish(records: Iterable[Record], folder: Path) -> list[Record]:
    """Write the records anew below `folder`, users permuted alike in all records of one data set; other records that
    lie there are removed.
    """
    written = [_publish(record, folder / record.run_id) for record in records]
    kept = {record.run_id for record in written}
    for path in folder.iterdir() if folder.is_dir() else ():
        if RUN_ID.fullmatch(path.name) and path.name not in kept and (path / FACTS).is_file():
            shutil.rmtree(path)
    return written


def shown_reason(reason: str) -> str:
    """A reason as it is published: files by their names, without the folders of the machine."""
    return FOLDERS.sub("", reason)


def shown_events(record: Record) -> dict[str, NDArray[Any]]:
    """The counts of a record as they are published, whether it is or not: figures made of them are then the same."""
    events = record.table("events.parquet")
    if record.facts.get("published"):
        return events
    n_users = record.facts["data"]["n_users"]
    if len(events["user"]) and int(events["user"].max()) >= n_users:
        raise RecordError(f"{record.folder}: its users go up to {int(events['user'].max())}, those of its data to "
                          f"{n_users - 1}. Expected rows of the prepared data. Run again.")
    user = _permutation(record.facts["data"]["hash"], n_users)[events["user"]]
    order = np.lexsort((events["event"], user))
    return {name: (user if name == "user" else column)[order] for name, column in events.items()}


def _publish(record: Record, folder: Path) -> Record:
    facts = {name: value for name, value in record.facts.items() if name not in (*PRIVATE, "files")}
    unexpected = "traceback" in record.facts  # its message may say anything: only its type is shown
    facts["reason"] = facts["reason"].partition(":")[0] if unexpected else shown_reason(facts["reason"])
    tables = {name: shown_events(record) if name == "events.parquet" else record.table(name)
              for name in SHOWN if name in record.facts["files"]}
    return write_record(folder, {**facts, "published": True}, tables)


def _permutation(data_hash: str, n_users: int) -> NDArray[np.int32]:
    """Where each row of the prepared data stands in what is published; it follows from the data alone, no secret."""
    seed = int.from_bytes(hashlib.sha256(f"publish {data_hash}".encode()).digest()[:8])
    return np.random.default_rng(seed).permutation(n_users).astype(np.int32)
