"""Unpacking: bytes that a packed file may hold, which its own size says nothing about."""

import gzip
from io import BytesIO
from pathlib import Path

from benchbase.errors import DataError


def unpacked(path: Path, most: int) -> BytesIO:
    """A file's bytes, unpacked where its name ends in `.gz`. Errors: `DataError` for more than `most`.

    They are held in memory, so that a length in them that is too large makes nobody ask for more than there is.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise DataError(f"{path}: it has more than {most} bytes when unpacked. Expected fewer. Take the publisher's "
                        "file as it is.")
    return BytesIO(data)
