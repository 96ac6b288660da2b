"""The arrays that STAN's repository made of Foursquare's check-ins: `NYC.npy` and `NYC_POI.npy`.

Source: github.com/yingtaoluo/Spatial-Temporal-Attention-Network-for-POI-Recommendation.
"""

import gzip
from pathlib import Path

import numpy as np

from benchbase.data import Log, reading
from benchbase.errors import DataError

from .places import outside, place_table

MINUTE = 60

LATEST = 10**9
"""Minutes; the year 3871, if they were Unix time."""


def read_arrays(events: Path, places: Path) -> Log:
    """The log of check-ins (n, 3), user, place, minute, and places (m, 3), place, latitude, longitude.

    The order of rows means nothing. Minutes count from a start that nobody states, so times are right up to a shift.
    Errors: `DataError`.
    """
    rows = _load(events, "iu", "whole numbers: user, place, minutes")
    table = _load(places, "f", "numbers: place, latitude, longitude")
    number = table[:, 0]
    strange = ~(np.abs(number) < 2**53) | (number != np.rint(number)) | outside(table[:, 1], table[:, 2])
    if wrong := np.flatnonzero(strange).tolist():
        raise DataError(f"{places}: row {wrong[0]} is {table[wrong[0]].tolist()}. Expected a place's number, and "
                        "degrees from -90 to 90 and from -180 to 180. Take the files of the repository as they are.")
    ids = number.astype(np.int64)
    if missing := np.setdiff1d(rows[:, 1], ids).tolist():
        raise DataError(f"{places}: place {missing[0]} of {events.name} is not in it. Expected all {len(ids)} places "
                        "and no others. Take both files from one place.")
    user, place, minute = rows.astype(np.int64).T
    if wrong := np.flatnonzero((minute < 0) | (minute > LATEST)).tolist():
        raise DataError(f"{events}: row {wrong[0]} is {rows[wrong[0]].tolist()}. Expected minutes from 0 on. Take the "
                        "files of the repository as they are.")
    return Log(user, place, minute * MINUTE, items=place_table(ids, table[:, 1], table[:, 2]), file_order=False,
               facts={"times": "whole minutes from an unstated start, not Unix time"})


def _load(path: Path, kinds: str, expected: str) -> np.ndarray:
    """An array (n, 3), n at least 1; nothing in the file is ever run."""
    with reading(path):
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                array = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, SyntaxError) as error:
            raise DataError(f"{path}: no plain array ({str(error).partition(chr(10))[0]}). Expected a .npy file of "
                            f"{expected}. Copy it again.") from None
    shape = getattr(array, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] != 3 or not shape[0] or array.dtype.kind not in kinds:
        told = "an archive of arrays" if shape is None else f"shape {shape} of {array.dtype}"
        raise DataError(f"{path}: {told}. Expected (n, 3) of {expected}. Take the file of the repository as it is.")
    return np.asarray(array)
