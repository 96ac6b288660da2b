"""Parameters of the MovieLens data sets."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from benchbase.data import DatasetConfig


class ReleaseConfig(DatasetConfig):
    """A release; without `path` its own folder name is looked up, then the fetched copy."""

    path: Path | None = Field(None, description="Folder that holds the release's files, packed (.gz) or not")


class MovieLensConfig(ReleaseConfig):
    """Ratings of films."""

    min_rating: float | None = Field(None, ge=0.5, le=5, description="Ratings below it are left out")


class ActionsConfig(ReleaseConfig):
    """Ratings of films as actions that can be predicted: at least 3, at least 4, and 5."""

    release: Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest_small"] = Field(
        "1m", description="Which release"
    )
    counts: bool = Field(True, description="Late features that count earlier ratings and actions of user and film")


class OrderedConfig(DatasetConfig):
    """ML-1M without times, in the order of SASRec's file."""

    path: str = Field("ml-1m", description="Folder that holds films and ratings, with times or without")
    sequences: str = Field(
        "ml-1m/sasrec", description="Folder that holds ml-1m.txt and the maps of its ids to the release's"
    )
