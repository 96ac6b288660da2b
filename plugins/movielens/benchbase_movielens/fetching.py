"""Fetching: find a release's files, or bring the archive and check it before anything is read."""

import errno
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from benchbase import DataContext
from benchbase.data import MissingFile, cache_folder, find_files
from benchbase.errors import DataError

from .config import ReleaseConfig
from .releases import HOME, Release

BASE = "https://files.grouplens.org/datasets/movielens"
"""Where the archives stand; `BENCHBASE_MOVIELENS_URL` names a mirror, held to the same hashes."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""What a disk answers that can hold no more; an error of the connection has no number of this kind."""


def locate(release: Release, config: ReleaseConfig, context: DataContext) -> list[Path]:
    """The files that are read: in `path`, or in the first whole folder with the release's name, the fetched one last.

    Errors: `MissingFile` that says what each folder lacks.
    """
    if config.path is not None:
        return find_files(context, config.path, release.files(bool(config.user_groups)))
    fetched = DataContext(folders=(*context.folders, _downloads(context)))
    try:
        return find_files(fetched, release.folder, release.files(bool(config.user_groups)))
    except MissingFile as error:
        raise MissingFile(f"{error} Or let it be fetched ({release.archive} from {HOME}).") from None


def _downloads(context: DataContext) -> Path:
    return cache_folder(context) / "downloads"


def bring(release: Release, config: ReleaseConfig, context: DataContext) -> list[Path]:
    """Fetch, check, unpack: the files, whole or not at all. Errors: `DataError`."""
    if config.path is not None:
        return locate(release, config, context)
    downloads = _downloads(context)
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{release.folder}-", dir=downloads))
    except OSError as error:
        raise _no_place(downloads, release, error) from None
    try:
        _install(_retrieve(release, downloads), release, aside, downloads)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return find_files(context, downloads.resolve() / release.folder, release.files(bool(config.user_groups)))


def _install(archive: Path, release: Release, aside: Path, downloads: Path) -> None:
    """Unpack, check, move into place; a whole archive is kept where there is no place for what it holds."""
    try:
        _unpack(archive, release, aside)
        _check(aside, release)
        _move(aside, downloads / release.folder)
    except OSError as error:
        archive.replace(downloads / release.archive)
        raise _no_place(downloads, release, error, "The archive is kept for the next time. ") from None
    except BaseException:
        archive.unlink(missing_ok=True)
        raise
    archive.unlink(missing_ok=True)


def _no_place(folder: Path, release: Release, error: OSError, kept: str = "") -> DataError:
    return DataError(
        f"{folder}: {release.archive} cannot be kept here: {error}. Expected a folder that can be written, with room. "
        f"{kept}Make room, or set BENCHBASE_CACHE to another folder."
    )


def _kept(release: Release, downloads: Path) -> Path | None:
    """The archive that a run without room left behind, where it is whole."""
    kept, mine = downloads / release.archive, downloads / f"{release.archive}.{os.getpid()}"
    try:
        kept.replace(mine)  # so that no other process has it too
        with mine.open("rb") as stream:
            whole = release.md5 in (None, hashlib.file_digest(stream, "md5").hexdigest())
    except OSError:
        return None
    if whole:
        return mine
    mine.unlink()
    return None


def _retrieve(release: Release, downloads: Path) -> Path:
    if (kept := _kept(release, downloads)) is not None:
        return kept
    import pooch

    url = f"{os.environ.get('BENCHBASE_MOVIELENS_URL', BASE).rstrip('/')}/{release.archive}"
    known = f"md5:{release.md5}" if release.md5 else None
    fix = f"Get {release.archive} from {HOME} and unpack it into a folder named in BENCHBASE_DATA."
    try:
        # A name of its own for each process, so that two may fetch at once.
        return Path(pooch.retrieve(url, known, f"{release.archive}.{os.getpid()}", downloads))
    except ValueError as error:
        raise DataError(f"{url}: the file changed: {error}. Expected {known}. {fix}") from None
    except OSError as error:
        if error.filename is not None or error.errno in FULL:
            raise _no_place(downloads, release, error) from None
        raise DataError(f"{url}: cannot be fetched: {error}. Expected a connection. {fix}") from None


def _unpack(archive: Path, release: Release, folder: Path) -> None:
    """Take only the files that are read, by name, out of the archive."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in release.files(groups=True):
                with packed.open(f"{release.folder}/{name}") as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; a place outside of the archive, where a damaged one points to, is invalid
        raise DataError(
            f"{release.archive}: the file changed: {error}. Expected a zip archive with "
            f"{', '.join(release.files(groups=True))} in {release.folder}. See {HOME}."
        ) from None


def _check(folder: Path, release: Release) -> None:
    for name, expected in release.sha256.items():
        with (folder / name).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != expected:
            raise DataError(
                f"{release.archive}: the file changed: {name} has sha256 {found}. Expected {expected}, of "
                f"the release that results were published on. Get that one and set path to its folder."
            )


def _move(aside: Path, folder: Path) -> None:
    """Rename into place; into a folder that stands there already (of another process, or not whole) file by file."""
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        for file in aside.iterdir():
            file.replace(folder / file.name)
