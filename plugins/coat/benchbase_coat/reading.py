"""Coat's tables of numbers, and the log that they make."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from benchbase.data import ItemTable, Log, UserTable, open_text, reading
from benchbase.errors import DataError

from .config import CoatConfig


def read_coat(files: Sequence[Path], config: CoatConfig, seed: int) -> Log:
    """The log: of each person the ratings that they chose to give, then those of coats shown at random.

    files: chosen, random, propensities, features and the names of these, and for groups those two of people. Within
    either kind the order means nothing and is drawn from the seed. A coat that a person chose and was shown as well
    stays among the latter alone, or a model would have read the answer. Errors: `DataError`.
    """
    chosen, shown, propensity, features = (table(path) for path in files[:4])
    for path, found in zip(files[1:3], (shown, propensity), strict=True):
        _same(path, found.shape, chosen.shape, f"as many as {files[0].name}")
    _same(files[3], (len(features),), (chosen.shape[1],), f"a line for each coat of {files[0].name}")
    for path, ratings in zip(files[:2], (chosen, shown), strict=True):
        if wrong := np.argwhere((ratings != np.rint(ratings)) | (ratings < 0) | (ratings > 5)).tolist():
            line, place = wrong[0]
            raise DataError(f"{path}: line {line + 1}, number {place + 1} is {ratings[line, place]:g}. Expected a "
                            "rating from 1 to 5, or 0 for none. Take the file as it is published.")
    twice = (chosen > 0) & (shown > 0)
    ratings = np.stack([np.where(twice, 0, chosen), shown])  # (2, users, items)
    order = np.random.default_rng([seed, 0]).random(ratings.shape)
    kind, user, item = np.nonzero(ratings)
    at = np.lexsort((order[kind, user, item], kind, user))
    kind, user, item = kind[at], user[at], item[at]
    rating = ratings[kind, user, item].astype(np.float32)
    propensity = _shares(propensity, files[2])
    items = ItemTable(ids=np.arange(1, chosen.shape[1] + 1), categories=categories(features, files[3], files[4]),
                      columns={"propensity": propensity.mean(axis=0)})
    drawn = (shown > 0).mean(axis=1)  # of those shown at random each coat is as likely as any
    marks = {"random": (kind == 1).astype(np.float32),
             "propensity": np.where(kind == 1, drawn[user], propensity[user, item]).astype(np.float32)}
    return Log(user + 1, item + 1, None, {"like": (rating >= config.like).astype(np.float32), "rating": rating},
               items=items, users=people(files[5], files[6], len(chosen)) if len(files) > 5 else None,
               marks=marks, file_order=True, removed={"chosen, and shown at random as well": int(twice.sum())},
               facts={"shown at random": f"{int((kind == 1).sum())} events, the last of each user"})


def table(path: Path) -> np.ndarray:
    """A table of numbers, (lines, numbers of each). Errors: `DataError`."""
    with reading(path), open_text(path) as stream:
        text = stream.read()
    if not text.strip():
        raise DataError(f"{path}: nothing in it. Expected a table of numbers. Copy it again.")
    try:
        found = np.loadtxt(StringIO(text), ndmin=2)
    except ValueError as error:
        raise DataError(f"{path}: no table of numbers ({str(error).partition(';')[0]}). Expected as many numbers in "
                        "every line. Copy it again.") from None
    if not np.isfinite(found).all():
        raise DataError(f"{path}: numbers that are not finite. Expected a table of numbers. Copy it again.")
    return np.asarray(found)


def categories(features: np.ndarray, path: Path, named: Path) -> dict[str, list[tuple[str, ...]]]:
    """Columns of categories of every coat, from flags (items, features) and a file of names, `column:label` a line."""
    with reading(named), open_text(named) as stream:
        names = [line.strip().partition(":") for line in stream if line.strip()]
    _same(path, (features.shape[1],), (len(names),), f"a number in each line for every line of {named.name}")
    if bad := [f"{column}{colon}{label}" for column, colon, label in names if not (column and label)]:
        raise DataError(f"{named}: no name of a feature in {bad[0]!r}. Expected column:label. Copy it again.")
    columns: dict[str, list[tuple[str, ...]]] = {}
    for column in dict.fromkeys(column for column, _, _ in names):
        at = [place for place, name in enumerate(names) if name[0] == column]
        labels = [names[place][2] for place in at]
        columns[column] = [tuple(label for label, flag in zip(labels, row, strict=True) if flag)
                           for row in features[:, at] > 0]
    return columns


def people(path: Path, named: Path, count: int) -> UserTable:
    """What is told of each of `count` people; none has two labels of one column. Errors: `DataError`."""
    features = table(path)
    _same(path, (len(features),), (count,), "a line for each person")
    columns = categories(features, path, named)
    for name, labels in columns.items():
        if several := [place for place, each in enumerate(labels, 1) if len(each) > 1]:
            raise DataError(f"{path}: line {several[0]} has more than one {name}. Expected one at most. Copy it again.")
    return UserTable(np.arange(1, count + 1), {name: np.array(["".join(each) for each in labels], object)
                                               for name, labels in columns.items()})


def _shares(propensity: np.ndarray, path: Path) -> np.ndarray:
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise DataError(f"{path}: numbers that are no propensities. Expected shares above 0 and up to 1. "
                        "Copy it again.")
    return propensity


def _same(path: Path, found: tuple[int, ...], wanted: tuple[int, ...], told: str) -> None:
    if found != wanted:
        raise DataError(f"{path}: {' x '.join(map(str, found))}. Expected {' x '.join(map(str, wanted))}, {told}. "
                        "Take all files from one place.")
