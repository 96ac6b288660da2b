"""The MovieLens rating data sets, from ML-100K to ML-32M."""

from functools import partial
from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import MovieLensConfig
from .releases import HOME, RELEASES, Release

SOURCE = Source(paper="Harper & Konstan 2015, The MovieLens Datasets: History and Context", url=HOME)


def build(config: MovieLensConfig, context: DataContext, release: Release) -> Log:
    """Read ratings and films; pandas arrives only here."""
    from .reading import read_release

    return read_release(release, config, context)


def files(config: MovieLensConfig, context: DataContext, release: Release) -> list[Path]:
    """The files of the release that are read."""
    from .fetching import locate

    return locate(release, config, context)


def fetch(config: MovieLensConfig, context: DataContext, release: Release) -> list[Path]:
    """Bring the archive, check it against its pinned hash and unpack what is read."""
    from .fetching import bring

    return bring(release, config, context)


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name=release.name,
            config=MovieLensConfig,
            build=partial(build, release=release),
            files=partial(files, release=release),
            fetch=partial(fetch, release=release),
            source=SOURCE,
            licence=release.licence,
        )
        for release in RELEASES
    ]
