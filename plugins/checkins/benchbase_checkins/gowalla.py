"""The official file of Gowalla's check-ins, February 2009 to October 2010."""

from pathlib import Path

import numpy as np

from benchbase.data import Log

from .places import place_table
from .tables import DEGREES, ID, checkins, first_rows, time, told

TIME = "%Y-%m-%dT%H:%M:%S%z"

TABLE = checkins({
    "user": ID,
    "time": time(TIME, 20, "2010-10-19T23:55:27Z"),
    "latitude": DEGREES,
    "longitude": DEGREES,
    "place": ID,
}, TIME)


def read_gowalla(path: Path) -> Log:
    """The log, places with their coordinates (of a place's last line). Errors: `DataError`.

    The file lists a user's check-ins from the newest on, so its lines are turned round: those of one second, too, are
    then in the order they happened.
    """
    parts = [{name: chunk[name].to_numpy() for name in TABLE.columns} for chunk in TABLE.read(path)]
    user, when, latitude, longitude, place = (
        np.concatenate([part[name] for part in parts])[::-1] for name in TABLE.columns)
    first = first_rows(place)
    table = place_table(place[first], latitude[first], longitude[first])
    return Log(user, place, when, items=table, facts=told(latitude[first]))
