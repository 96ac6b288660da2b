"""Parameters of the MovieLens data sets."""

from pathlib import Path

from pydantic import Field

from benchbase.data import DatasetConfig


class MovieLensConfig(DatasetConfig):
    """Ratings of films; without `path` the release's own folder name is looked up, then the fetched copy."""

    path: Path | None = Field(None, description="Folder that holds the release's files, packed (.gz) or not")
    min_rating: float | None = Field(None, ge=0.5, le=5, description="Ratings below it are left out")
