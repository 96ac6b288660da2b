"""The MovieLens rating data sets, from ML-100K to ML-32M."""

from functools import partial
from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import ActionsConfig, MovieLensConfig, OrderedConfig, ReleaseConfig
from .releases import CLOSED, HOME, RELEASES, Release

SOURCE = Source(paper="Harper & Konstan 2015, The MovieLens Datasets: History and Context", url=HOME)


def build(config: MovieLensConfig, context: DataContext, release: Release) -> Log:
    """Read ratings and films; pandas arrives only here."""
    from .reading import read_release

    return read_release(release, config, context)


def files(config: ReleaseConfig, context: DataContext, release: Release) -> list[Path]:
    """The files of the release that are read."""
    from .fetching import locate

    return locate(release, config, context)


def fetch(config: ReleaseConfig, context: DataContext, release: Release) -> list[Path]:
    """Bring the archive, check it against its pinned hash and unpack what is read."""
    from .fetching import bring

    return bring(release, config, context)


def release_of(config: ActionsConfig) -> Release:
    """The release that a suite names."""
    return next(release for release in RELEASES if release.name == f"ml_{config.release}")


def build_actions(config: ActionsConfig, context: DataContext) -> Log:
    """Read ratings as actions, and films."""
    from .reading import read_actions

    return read_actions(release_of(config), config, context)


def build_ordered(config: OrderedConfig, context: DataContext) -> Log:
    """Read SASRec's sequences, and films and ratings beside them."""
    from .ordered import read_ordered

    return read_ordered(config, context)


def files_ordered(config: OrderedConfig, context: DataContext) -> list[Path]:
    """The files that are read."""
    from .ordered import locate_ordered

    return locate_ordered(config, context)


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
    ] + [
        DatasetSpec(
            name="ml_actions",
            config=ActionsConfig,
            build=build_actions,
            files=lambda config, context: files(config, context, release_of(config)),
            fetch=lambda config, context: fetch(config, context, release_of(config)),
            source=SOURCE,
            licence="that of the release: research only, non-commercial (see its README)",
        ),
        DatasetSpec(
            name="ml_1m_ordered",
            config=OrderedConfig,
            build=build_ordered,
            files=files_ordered,
            source=Source(paper="Kang & McAuley 2018, Self-Attentive Sequential Recommendation, of ML-1M",
                          url="https://github.com/kang205/SASRec"),
            licence=CLOSED,
        ),
    ]
