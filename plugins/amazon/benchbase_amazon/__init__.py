"""Amazon product reviews: the releases of 2014, 2018 and 2023, one category or several joined by their users."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import AmazonConfig

HOMES = {
    2014: "https://jmcauley.ucsd.edu/data/amazon/",
    2018: "https://nijianmo.github.io/amazon/",
    2023: "https://amazon-reviews-2023.github.io/",
}
SOURCE = Source(
    paper="McAuley et al. 2015 (2014), Ni et al. 2019 (2018), Hou et al. 2024 (2023): Amazon reviews",
    url=HOMES[2023],
)


def build_amazon(config: AmazonConfig, context: DataContext) -> Log:
    """Read reviews and, if asked for, items; pandas arrives only here."""
    from .reading import read_reviews

    return read_reviews(config, amazon_files(config, context))


def amazon_files(config: AmazonConfig, context: DataContext) -> list[Path]:
    """The files that are read, as `config.files` has them. Errors: `MissingFile` that says where they come from."""
    from benchbase.data import MissingFile, find_files

    try:
        return find_files(context, config.path or ".", config.files)
    except MissingFile as error:
        raise MissingFile(f"{error} The data is at {HOMES[config.release]}.") from None


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="amazon", config=AmazonConfig, build=build_amazon, files=amazon_files, source=SOURCE,
            licence="none stated; research, cite the paper of the release",
        ),
    ]
