"""AutoCDSR's form of KuaiRand-1K as a log: each record holds the videos of a row and the domain of each."""

from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log
from benchbase.errors import DataError

from .archives import MEND, all_records
from .records import features

VIDEOS, DOMAINS = "sequence_data", "sequence_event_type"

UNKNOWN = -1
"""Stands for every video that is not in the vocabulary."""


def read_rows(files: list[Path]) -> Log:
    """The log: every row is a user, named by part, file and place in it. Errors: `DataError`."""
    import pandas as pd

    users, sizes, videos, domains = [], [], [], []
    gone = 0
    for name, where, record in all_records(files):
        video, domain = _row(where, record)
        known = video != UNKNOWN
        users.append(name)
        sizes.append(int(np.count_nonzero(known)))
        videos.append(video[known])
        domains.append(domain[known])
        gone += len(video) - sizes[-1]
    if not sum(sizes):
        raise DataError(f"{files[0]}: no row has a video that is known. Expected some. {MEND}")
    user = pd.Categorical.from_codes(np.repeat(np.arange(len(users)), sizes), pd.Index(users))
    item = np.concatenate(videos)
    return Log(user, item, items=_table(item, np.concatenate(domains), files),
               removed={"videos out of the vocabulary": gone} if gone else {})


def _row(where: str, record: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Videos, int32, and domains, int16, of a record, both (n,)."""
    try:
        found = features(record)
    except ValueError as error:
        raise DataError(f"{where}: no example ({error}). Expected a tf.train.Example. {MEND}") from None
    for name, low, high in ((VIDEOS, UNKNOWN, 2**31 - 1), (DOMAINS, 0, 2**15 - 1)):
        if name not in found:
            raise DataError(f"{where}: no whole numbers called {name}, but {', '.join(found) or 'none':.80}. Expected "
                            f"{VIDEOS} and {DOMAINS}. {MEND}")
        if len(wrong := np.flatnonzero((found[name] < low) | (found[name] > high))):
            raise DataError(f"{where}: {name} has {found[name][wrong[0]]}. Expected numbers from {low} to {high}. "
                            f"{MEND}")
    videos, domains = found[VIDEOS], found[DOMAINS]
    if len(videos) != len(domains):
        raise DataError(f"{where}: {len(videos)} values of {VIDEOS}, {len(domains)} of {DOMAINS}. Expected as many of "
                        f"both. {MEND}")
    return videos.astype(np.int32), domains.astype(np.int16)


def _table(item: np.ndarray, domain: np.ndarray, files: list[Path]) -> ItemTable:
    """The videos, each with the one domain that all its events have."""
    ids, first, code = np.unique(item, return_index=True, return_inverse=True)
    of = domain[first]
    if len(wrong := np.flatnonzero(of[code] != domain)):
        raise DataError(f"{files[0].parent}: video {item[wrong[0]]} has {DOMAINS} {of[code[wrong[0]]]} and "
                        f"{domain[wrong[0]]}. Expected one a video. {MEND}")
    return ItemTable(ids, domain=of.astype(str).astype(object))
