"""Coat: ratings of coats that people chose themselves, and then of coats shown to them at random."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log, find_files

from .config import CoatConfig

SOURCE = Source(
    paper="Schnabel, Swaminathan, Singh, Chandak & Joachims 2016, Recommendations as Treatments: Debiasing Learning "
    "and Evaluation",
    url="https://www.cs.cornell.edu/~schnabts/mnar/",
)
NAMES = ("train.ascii", "test.ascii", "propensities.ascii", "user_item_features/item_features.ascii",
         "user_item_features/item_features_map.txt")
USERS = ("user_item_features/user_features.ascii", "user_item_features/user_features_map.txt")


def build(config: CoatConfig, context: DataContext) -> Log:
    """Read all ratings, what is known of the coats, and how likely each was to be chosen."""
    from .reading import read_coat

    return read_coat(files(config, context), config, context.seed)


def files(config: CoatConfig, context: DataContext) -> list[Path]:
    """The files that are read, packed or not; those of people for groups alone."""
    return find_files(context, config.path or "coat", (*NAMES, *(USERS if config.user_groups else ())))


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="coat", config=CoatConfig, build=build, files=files, source=SOURCE,
                        licence="none stated by the publisher; cite the paper")]
