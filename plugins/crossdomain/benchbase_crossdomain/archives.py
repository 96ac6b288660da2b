"""Where AutoCDSR's records lie: packed TFRecord files, in a folder or in a tar of it."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from benchbase.data import reading
from benchbase.errors import DataError

from .records import records
from .unpacking import unpacked

ENDING = ".tfrecord.gz"

MOST = 2**26
"""Bytes that may come out of packed files; AutoCDSR's three parts hold 23 million."""

MEND = "Take the publisher's files as they are."


def all_records(files: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """The records of files and of tars of such files: name, as in `training/partition_200/0`, where, and bytes.

    Errors: `DataError` that says where something is damaged, strange or too large.
    """
    left = MOST
    for path in files:
        for name, where, packed in _packed(path):
            for place, record in enumerate(_records(packed, where)):
                left -= len(record)
                if left < 0:
                    raise DataError(f"{where}: so far, more than {MOST} bytes came out of packed files. "
                                    f"Expected fewer. {MEND}")
                yield f"{name}/{place}", f"{where}:{place + 1}", record


def _packed(path: Path) -> Iterator[tuple[str, str, IO[bytes]]]:
    """A packed file, or all those in a tar: name, where, and stream."""
    if path.name.endswith(ENDING):
        with reading(path), path.open("rb") as stream:
            yield f"{path.parent.name}/{path.name.removesuffix(ENDING)}", str(path), stream
        return
    names = set()
    with _opened(path) as archive:
        for member in archive:
            if member.isdir():
                continue
            name = PurePosixPath(member.name).name
            if not member.isreg() or not name.endswith(ENDING):
                raise DataError(f"{path}: it holds {member.name!r:.80}. Expected files *{ENDING} only. {MEND}")
            if name in names:
                raise DataError(f"{path}: it holds {member.name!r:.80} twice. Expected each file once. {MEND}")
            names.add(name)
            packed = archive.extractfile(member)
            assert packed is not None, "it is a file"
            yield f"{path.name.partition('.')[0]}/{name.removesuffix(ENDING)}", f"{path}/{member.name}", packed
    if not names:
        raise DataError(f"{path}: it holds no file. Expected files *{ENDING}. {MEND}")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar, packed or not, that is whole to its end."""
    with reading(path), unpacked(path, MOST) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                yield archive
                stream.seek(archive.offset)  # where a header is damaged or missing the library ends and says nothing
                if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError(f"no header and no end at byte {archive.offset}")
        except (tarfile.TarError, ValueError) as error:
            raise DataError(f"{path}: no whole tar ({error!s:.80}). Expected one. Copy it again.") from None


def _records(packed: IO[bytes], where: str) -> Iterator[bytes]:
    """The records of a packed file."""
    number = 1
    with reading(Path(where)), gzip.open(packed) as stream:
        try:
            for record in records(stream):
                yield record
                number += 1
        except ValueError as error:
            raise DataError(f"{where}:{number}: no record ({error}). Expected TFRecords. {MEND}") from None
        except tarfile.TarError as error:
            raise DataError(f"{where}: no whole tar ({error}). Expected one. Copy it again.") from None
