"""The official files of Foursquare's check-ins in New York and Tokyo, April 2012 to February 2013."""

from pathlib import Path

from benchbase.data import Log, open_text
from benchbase.data.table import filled, whole

from .places import place_table
from .tables import DEGREES, ID, checkins, time, told

TIME = "%a %b %d %H:%M:%S %z %Y"

TABLE = checkins({
    "user": ID,
    "venue": filled("an id"),
    "category_id": filled("an id"),
    "category": filled("the name of a category"),
    "latitude": DEGREES,
    "longitude": DEGREES,
    "offset": whole(-(2**63), expected="whole minutes"),
    "time": time(TIME, 30, "Tue Apr 03 18:00:09 +0000 2012"),
}, TIME)


def read_city(path: Path) -> Log:
    """The log of one city, places with category and coordinates (of a place's first line). Errors: `DataError`."""
    import pandas as pd

    wanted = ["user", "venue", "category", "latitude", "longitude", "time"]
    lines = pd.concat([chunk[wanted] for chunk in TABLE.read(path, encoding_of(path))], ignore_index=True)
    places = lines.drop_duplicates("venue")
    table = place_table(places["venue"].to_numpy(object), places["latitude"].to_numpy(), places["longitude"].to_numpy(),
                        {"category": [(name,) for name in places["category"]]})
    return Log(lines["user"].to_numpy(), lines["venue"].astype("category"), lines["time"].to_numpy(), items=table,
               facts=told(table.columns["latitude"]))


def encoding_of(path: Path) -> str:
    """The publisher's files are ISO-8859-1, copies of them UTF-8; bytes of the first are no UTF-8 where it matters."""
    try:
        with open_text(path) as stream:
            while stream.read(2**20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    except (OSError, EOFError):  # the reader tells of damage
        pass
    return "utf-8"
