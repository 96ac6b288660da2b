"""Reading: the official rating and film files of every release."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchbase import DataContext
from benchbase.data import ItemTable, Log, UserTable, counts_before, open_text, reading
from benchbase.errors import DataError

from .config import ActionsConfig, MovieLensConfig, ReleaseConfig
from .fetching import locate
from .releases import Release
from .users import table_of_users

CHUNK = 1_000_000
YEAR = re.compile(r"\((\d{4})[^()]*\)(\s*\(\w+\))?\s*$")
"""The year or years that end a title, as in `(1995)`, `(2000-2003)` or `(1995) (V)`."""

NO_GENRE = {"unknown", "(no genres listed)"}

Film = tuple[int, str, tuple[str, ...]]
Films = list[Film]
"""Id, title as it stands, genres."""


def read_release(release: Release, config: MovieLensConfig, context: DataContext) -> Log:
    """The log of a release. No release's file order means anything: equal times are left to the seeded hash.

    Errors: `DataError` for files that are not in the release's format.
    """
    ratings, movies, genres, users = _parts(release, config, context)
    user, item, rating, timestamp = _ratings(release, ratings)
    removed = {}
    if config.min_rating is not None:
        keep = rating >= config.min_rating
        removed = {f"ratings below {config.min_rating:g}": int(np.count_nonzero(~keep))}
        user, item, rating, timestamp = user[keep], item[keep], rating[keep], timestamp[keep]
    table = table_of(films_of(release, movies, genres))
    return Log(user, item, timestamp, {"rating": rating}, items=table, users=users, file_order=False, removed=removed)


def read_actions(release: Release, config: ActionsConfig, context: DataContext) -> Log:
    """The log of a release whose actions say how good a rating was; the rating itself is not among them.

    Errors: `DataError` for files that are not in the release's format.
    """
    ratings, movies, genres, users = _parts(release, config, context)
    user, item, rating, timestamp = _ratings(release, ratings)
    actions = {"at_least_3": rating >= 3, "at_least_4": rating >= 4, "is_5": rating == 5}
    counts = counts_before(user, item, timestamp, actions) if config.counts else {}
    table = table_of(films_of(release, movies, genres))
    return Log(user, item, timestamp, actions, counts, table, users, file_order=False)


def _parts(release: Release, config: ReleaseConfig, context: DataContext
           ) -> tuple[Path, Path, list[Path], UserTable | None]:
    """The files of ratings and films, that of genres if they have one of their own, and what is told of users, if it is
    asked for.
    """
    ratings, movies, *rest = locate(release, config, context)
    genres = [rest.pop(0)] if release.genres else []
    return ratings, movies, genres, users_of(release, rest[0]) if rest else None


def _ratings(release: Release, path: Path) -> list[np.ndarray]:
    """User, item, rating, timestamp. A doubled separator is read as a single one with empty columns between."""
    import pandas as pd

    columns = [place * len(release.separator) for place in range(4)]
    types = dict(zip(columns, ("int32", "int32", "float32", "int64"), strict=True))
    parts: list[list[Any]] = [[] for _ in columns]
    form = release.separator.join(("user", "item", "rating", "time"))
    with (
        understood(path, f"rating file of {release.name}", f"lines `{form}`"),
        pd.read_csv(
            path,
            sep=release.separator[0],
            header=None,
            skiprows=int(release.header),
            usecols=columns,
            dtype=types,
            engine="c",
            chunksize=CHUNK,
        ) as reader,
    ):
        for chunk in reader:
            for part, column in zip(parts, columns, strict=True):
                part.append(chunk[column].to_numpy())
    return [np.concatenate(part) for part in parts]


@contextmanager
def understood(path: Path, what: str, expected: str) -> Iterator[None]:
    """Around the reading of one file: damage and lines that do not fit are a `DataError`."""
    with reading(path):
        try:
            yield
        except (ValueError, IndexError, OverflowError) as error:
            raise DataError(
                f"{path}: no {what} ({error}). Expected {expected}. "
                "Fetch the release anew, or read your own file with the files plugin."
            ) from None


def users_of(release: Release, path: Path) -> UserTable:
    """What is told of every user. Errors: `DataError`."""
    with understood(path, f"user file of {release.name}", "an id, gender, age, occupation and postcode a line"), \
            open_text(path, release.encoding) as stream:
        return table_of_users(stream, coded=release.separator == "::")


def films_of(release: Release, path: Path, genres: list[Path]) -> Films:
    """Id, title and genres of every film. Errors: `DataError`."""
    with understood(path, f"film file of {release.name}", "an id, a title and genres a line"):
        films = list(_flagged(path, genres[0], release.encoding) if genres else _listed(path, release))
        if not films:
            raise ValueError("no line holds a film")
        return films


def _listed(path: Path, release: Release) -> Iterator[Film]:
    """Films with their genres spelled out: `id::title::A|B`, or CSV with quoted titles."""
    import csv

    with open_text(path, release.encoding, newline="") as stream:
        lines = (
            csv.reader(stream)
            if release.separator == ","
            else (line.rstrip("\r\n").split("::") for line in stream if line.strip())
        )
        if release.header:
            next(lines, None)
        for film, title, genres in lines:
            yield int(film), title, tuple(genre for genre in genres.split("|") if genre and genre not in NO_GENRE)


def _flagged(path: Path, genres: Path, encoding: str) -> Iterator[Film]:
    """Films with a flag for each genre in the last columns, named in a file of their own."""
    with reading(genres), open_text(genres, encoding) as stream:
        names = [line.split("|")[0] for line in stream if line.strip()]
    with open_text(path, encoding) as stream:
        for line in stream:
            fields = line.rstrip("\n").split("|")
            flags = zip(names, fields[-len(names) :], strict=True)
            yield int(fields[0]), fields[1], tuple(name for name, flag in flags if flag == "1" and name not in NO_GENRE)


def table_of(films: Films) -> ItemTable:
    """Titles as they stand, the year at their end (-1 where there is none) and the genres."""
    ids, titles, genres = zip(*films, strict=True)
    found = [YEAR.search(title) for title in titles]
    years = [int(match.group(1)) if match else -1 for match in found]
    return ItemTable(
        np.array(ids, np.int64),
        {"genre": list(genres)},
        {"title": np.array(titles, object), "year": np.array(years, np.int64)},
    )
