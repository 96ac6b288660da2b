"""The Yelp Open Dataset: reviews of businesses, as they are published."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import YelpConfig

SOURCE = Source(paper="Yelp Open Dataset", url="https://business.yelp.com/data/resources/open-dataset/")


def build(config: YelpConfig, context: DataContext) -> Log:
    """Read reviews, businesses and, for groups, users; pandas arrives only here."""
    from .reading import read_yelp

    return read_yelp(config, files(config, context))


def files(config: YelpConfig, context: DataContext) -> list[Path]:
    """The files that are read. Errors: `MissingFile` that says where they come from."""
    from benchbase.data import MissingFile, find_files

    try:
        return find_files(context, config.path or "yelp", config.names)
    except MissingFile as error:
        raise MissingFile(f"{error} The data is at {SOURCE.url}.") from None


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="yelp", config=YelpConfig, build=build, files=files, source=SOURCE,
                        licence="Yelp Dataset Terms of Use: academic use, no redistribution")]
