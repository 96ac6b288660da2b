"""Paths: where data files are looked for, and where prepared data is kept."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError
from ..specs import DataContext


class MissingFile(DataError):
    """A file that stands in no folder where it was looked for; `prepare` then fetches it where the data set can."""


def default_cache() -> Path:
    """The folder for prepared data: `BENCHBASE_CACHE`, or the platform's place for caches."""
    if given := os.environ.get("BENCHBASE_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "benchbase"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "benchbase"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbase"


def cache_folder(context: DataContext) -> Path:
    """The context's cache, or the default one."""
    return default_cache() if context.cache is None else Path(context.cache)


def find_file(context: DataContext, path: str | Path) -> Path:
    """A data file: an absolute path, or a relative one looked up in the context's folders in order.

    Where `path` itself is absent, `path` with `.gz` appended is taken. Errors: `MissingFile`.
    """
    for place in places(context, path):
        if found := _inside(place.parent, place.name):
            return found
    raise missing(context, path, "file")


def find_folder(context: DataContext, path: str | Path) -> Path:
    """A folder of data files, looked up like a file. Errors: `MissingFile`."""
    for place in places(context, path):
        if place.is_dir():
            return place
    raise missing(context, path, "folder")


def find_files(context: DataContext, folder: str | Path, names: Iterable[str]) -> list[Path]:
    """All of `names` out of one folder, the first of those that `folder` may be that holds every one.

    Errors: `MissingFile` that says of each folder what it lacks.
    """
    names = list(names)
    lacks = {}
    for place in places(context, folder):
        if place.is_dir():
            found = {name: _inside(place, name) for name in names}
            if len(files := [path for path in found.values() if path is not None]) == len(names):
                return files
            lacks[place] = [name for name, path in found.items() if path is None]
    if not lacks:
        raise missing(context, folder, "folder")
    told = "; ".join(f"{place} lacks {', '.join(absent)}" for place, absent in lacks.items())
    raise MissingFile(
        f"{folder}: no folder holds all files. {told}. Expected {', '.join(names)} in one folder. "
        "Add what is missing, or give the path of another folder."
    )


def _inside(folder: Path, name: str) -> Path | None:
    """A file of a folder, packed or not."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def places(context: DataContext, path: str | Path) -> list[Path]:
    """Everywhere that `path` may be, in order."""
    path = Path(path).expanduser()
    return [path] if path.is_absolute() else [Path(folder).expanduser() / path for folder in context.folders]


def missing(context: DataContext, path: str | Path, kind: str = "file") -> MissingFile:
    """The error for a path found nowhere."""
    looked = [str(place) for place in places(context, path)]
    where = f"Looked for {', '.join(looked)}" if looked else "There are no folders to look in"
    return MissingFile(
        f"{path}: no such {kind}. {where}. Set BENCHBASE_DATA to the folder that holds it, or give an absolute path."
    )
