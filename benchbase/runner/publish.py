"""The form in which records may be shown to anyone: who is who cannot be told, and no lists of items."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from .records import Record, write_record

SHOWN = ("events.parquet", "curve.parquet")
"""Files of a record that are published; what needs the others stands among its metrics as numbers."""

PRIVATE = ("traceback",)
"""Facts that stay at home: they name folders of the machine."""


def publish(records: Iterable[Record], folder: Path) -> list[Record]:
    """Write the records anew below `folder`, users permuted alike in all records of one data set."""
    return [_publish(record, folder / record.run_id) for record in records]


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
    tables = {name: shown_events(record) if name == "events.parquet" else record.table(name)
              for name in SHOWN if name in record.facts["files"]}
    return write_record(folder, {**facts, "published": True}, tables)


def _permutation(data_hash: str, n_users: int) -> NDArray[np.int32]:
    """Where each row of the prepared data stands in what is published; it follows from the data alone."""
    seed = int.from_bytes(hashlib.sha256(f"publish {data_hash}".encode()).digest()[:8])
    return np.random.default_rng(seed).permutation(n_users).astype(np.int32)
