"""Check-ins of people at places: Foursquare in New York and Tokyo, and Gowalla."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import FoursquareConfig, GowallaConfig

FOURSQUARE = Source(
    paper="Yang, Zhang, Zheng & Yu 2015, Modeling User Activity Preference by Leveraging User Spatial Temporal "
    "Characteristics in LBSNs",
    url="https://sites.google.com/site/yangdingqi/home/foursquare-dataset",
)
GOWALLA = Source(
    paper="Cho, Myers & Leskovec 2011, Friendship and Mobility: User Movement in Location-Based Social Networks",
    url="https://snap.stanford.edu/data/loc-gowalla.html",
)


def build_foursquare(config: FoursquareConfig, context: DataContext) -> Log:
    """Read the check-ins of one city; pandas arrives only here."""
    if config.format == "arrays":
        from .arrays import read_arrays

        return read_arrays(*foursquare_files(config, context))
    from .foursquare import read_city

    return read_city(*foursquare_files(config, context))


def foursquare_files(config: FoursquareConfig, context: DataContext) -> list[Path]:
    """The files of one city."""
    from .places import find

    return find(context, config.path, config.names, FOURSQUARE.url)


def build_gowalla(config: GowallaConfig, context: DataContext) -> Log:
    """Read all check-ins."""
    from .gowalla import read_gowalla

    return read_gowalla(*gowalla_files(config, context))


def gowalla_files(config: GowallaConfig, context: DataContext) -> list[Path]:
    """The one file."""
    from .places import find

    return find(context, config.path, config.names, GOWALLA.url)


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="foursquare", config=FoursquareConfig, build=build_foursquare, files=foursquare_files,
            source=FOURSQUARE,
            licence="research only; cite the paper (see the page of the data set)",
        ),
        DatasetSpec(
            name="gowalla", config=GowallaConfig, build=build_gowalla, files=gowalla_files, source=GOWALLA,
            licence="none stated by the publisher",
        ),
    ]
