"""DisenCDR's folders: lines `user item label` of one domain each, to train on and held out; users are the same."""

from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log
from benchbase.data.table import Table, whole
from benchbase.errors import DataError

ID = whole(0, 2**31 - 1, "a number from 0 on")
TABLE = Table({"user": ID, "item": ID, "label": whole(1, 1, "1")}, "\t")

MEND = "Take both folders of one release."


def read_pairs(domains: tuple[str, str], files: list[Path], seed: int) -> Log:
    """The log: what a user trains on, shuffled, then the held-out event of the first domain, then of the second.

    `files`: of the first domain to train on and held out, then of the second. Items become `domain:number`.
    Errors: `DataError`.
    """
    import pandas as pd

    parts = [_events(path) for path in files]
    for place in (0, 2):
        _held_out(files[place], parts[place], files[place + 1], parts[place + 1])
    _users(files[0], parts[0], files[2], parts[2])
    user, item = np.concatenate(parts, axis=1)
    part = np.repeat(np.arange(4), [events.shape[1] for events in parts])
    late = np.array([0, 1, 0, 2])[part]
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), late, user))
    codes, numbers = pd.factorize(item * 2 + part // 2)
    domain = np.array(domains, object)[numbers % 2]
    ids = domain + ":" + (numbers // 2).astype(str).astype(object)
    return Log(
        user[order], pd.Categorical.from_codes(codes[order], pd.Index(ids)),
        items=ItemTable(ids, domain=domain),
        facts={"order": f"none is published: events to train on are shuffled; then each user's held-out ones, of "
               f"{domains[0]}, then of {domains[1]}"},
    )


def _events(path: Path) -> np.ndarray:
    """Users and items, (2, n), line by line."""
    return np.concatenate([chunk[["user", "item"]].to_numpy().T for chunk in TABLE.read(path)], axis=1)


def _held_out(train: Path, events: np.ndarray, test: Path, held: np.ndarray) -> None:
    """Check that each user who trains has one held-out event, and does not train on it."""
    _users(train, events, test, held)
    once = np.unique(held[0], return_index=True)[1]
    if len(again := np.setdiff1d(np.arange(held.shape[1]), once)):
        raise DataError(f"{test}:{again[0] + 1}: user {held[0, again[0]]} again. Expected one held-out event of each "
                        f"user. {MEND}")
    seen = np.isin(held[0] << 31 | held[1], events[0] << 31 | events[1])
    if len(wrong := np.flatnonzero(seen)):
        user, item = held[:, wrong[0]]
        raise DataError(f"{test}:{wrong[0] + 1}: user {user} has item {item} in {train} too. Expected it held out. "
                        f"{MEND}")


def _users(one: Path, events: np.ndarray, other: Path, others: np.ndarray) -> None:
    """Check that both files have the same users."""
    if len(lonely := np.setxor1d(events[0], others[0])):
        has, lacks = (one, other) if lonely[0] in events[0] else (other, one)
        raise DataError(f"{has}: user {lonely[0]} is not in {lacks}. Expected the same users in both. {MEND}")
