"""Where the files are."""

from pathlib import Path

from benchbase import DataContext
from benchbase.data import MissingFile, find_files, find_folder


def find(context: DataContext, path: Path | None, home: str, *choices: list[str]) -> list[Path]:
    """All files of the first of these lists of names that one folder holds.

    Errors: `MissingFile` that says where the data comes from.
    """
    told = []
    for names in choices:
        try:
            return find_files(context, path or ".", names)
        except MissingFile as error:
            told.append(str(error))
    raise MissingFile(f"{' '.join(told)} The data is at {home}.")


def find_inside(context: DataContext, path: Path | None, home: str, name: str, ending: str) -> list[Path]:
    """The files with this ending in a folder of this name, or the archive that is called like it.

    Errors: `MissingFile` that says where the data comes from.
    """
    try:
        inside = sorted(find_folder(context, (path or Path()) / name).glob(f"*{ending}"))
    except MissingFile:
        inside = []
    return inside or find(context, path, home, [f"{name}.tar"])
