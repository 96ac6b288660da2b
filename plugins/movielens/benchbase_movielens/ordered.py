"""ML-1M in the order of the file that SASRec's code ships: what is left where the ratings have no times."""

from pathlib import Path

import numpy as np

from benchbase import DataContext
from benchbase.data import Log, find_file, find_files
from benchbase.errors import DataError

from .config import OrderedConfig
from .reading import films_of, table_of, understood, users_of
from .releases import RELEASES

RELEASE = next(release for release in RELEASES if release.name == "ml_1m")
RATINGS = ("ratings.dat", "ratings_no_timestamp.dat")
SEQUENCES = ("ml-1m.txt", "sas_to_original_users.txt", "sas_to_original_items.txt")


def locate_ordered(config: OrderedConfig, context: DataContext) -> list[Path]:
    """Sequences, both maps of ids, films, ratings with times or without, for groups users. Errors: `MissingFile`."""
    sequences = find_files(context, config.sequences, SEQUENCES)
    movies = find_file(context, Path(config.path) / RELEASE.movies)
    users = [find_file(context, movies.parent / str(RELEASE.users))] if config.user_groups else []
    for name in RATINGS[1:]:
        if (movies.parent / name).is_file() or (movies.parent / f"{name}.gz").is_file():
            return [*sequences, movies, find_file(context, movies.parent / name), *users]
    return [*sequences, movies, find_file(context, movies.parent / RATINGS[0]), *users]


def read_ordered(config: OrderedConfig, context: DataContext) -> Log:
    """The log by the release's own ids, in the order of the sequences; the rating of each event is its action.

    Errors: `DataError` for files that are not in their format, or not of one another.
    """
    sequences, users, items, movies, ratings, *told = locate_ordered(config, context)
    user, item = _columns(sequences, 2, r"\s+", "`user item`")
    user, item = (_renamed(column, path) for column, path in ((user, users), (item, items)))
    rated_user, rated_item, rating = _columns(ratings, 3, "::", "`user::item::rating`")
    size = int(max(item.max(initial=0), rated_item.max(initial=0))) + 1
    key, known = user * size + item, rated_user * size + rated_item
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known[order], key), max(len(known) - 1, 0))
    if len(key) and (not len(known) or (lost := known[order][at] != key).any()):
        first = int(np.flatnonzero(lost)[0]) if len(known) else 0
        raise DataError(f"{ratings}: no rating of film {item[first]} by user {user[first]}, which {sequences} has. "
                        "Expected the ratings that its sequences were made of. Take all files from one release.")
    films = table_of(films_of(RELEASE, movies, []))
    return Log(user, item, None, {"rating": rating[order][at].astype(np.float32)}, items=films,
               users=users_of(RELEASE, told[0]) if told else None)


def _columns(path: Path, count: int, separator: str, form: str) -> list[np.ndarray]:
    """The first columns of a text file of whole numbers."""
    import pandas as pd

    doubled = separator == "::"  # it is read as a single one with empty columns between
    places = [place * (2 if doubled else 1) for place in range(count)]
    with understood(path, "file of whole numbers", f"lines {form}"):
        found = pd.read_csv(path, sep=":" if doubled else separator, header=None, usecols=places, dtype="int64")
    return [found[place].to_numpy() for place in places]


def _renamed(column: np.ndarray, path: Path) -> np.ndarray:
    """Ids of the sequences as those of the release."""
    own, original = _columns(path, 2, r"\s+", "`id original`")
    order = np.argsort(own, kind="stable")
    at = np.minimum(np.searchsorted(own[order], column), len(own) - 1)
    lost = own[order][at] != column
    if lost.any():
        raise DataError(f"{path}: no line for id {column[lost][0]} of the sequences. Expected a line for each. "
                        "Take all files from one place.")
    return np.asarray(original[order][at])
