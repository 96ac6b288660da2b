"""What the formats share: where their files are, and what makes a place a place."""

from pathlib import Path

import numpy as np

from benchbase import DataContext
from benchbase.data import ItemTable, MissingFile, find_file, find_files


def find(context: DataContext, path: Path | None, names: list[str], home: str) -> list[Path]:
    """The files of these names out of a folder, or of one name the file itself.

    Errors: `MissingFile` that says where the data comes from.
    """
    try:
        if path is None:
            return find_files(context, ".", names)
        try:
            return find_files(context, path, names)
        except MissingFile:
            if len(names) > 1:
                raise
            return [find_file(context, path)]
    except MissingFile as error:
        told = f"{names[0]}: {str(error).partition(': ')[2]}" if path is None else str(error)
        raise MissingFile(f"{told} The data is at {home}.") from None


def outside(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Which coordinates are none on this planet, (n,) bool; NaN is none."""
    return np.asarray(~((np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)))


def place_table(ids: np.ndarray, latitude: np.ndarray, longitude: np.ndarray,
                categories: dict[str, list[tuple[str, ...]]] | None = None) -> ItemTable:
    """Places with their coordinates in degrees, (n,) each."""
    return ItemTable(ids, categories or {}, {"latitude": latitude, "longitude": longitude})
