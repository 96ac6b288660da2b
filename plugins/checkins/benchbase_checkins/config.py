"""Parameters of the check-in data sets."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from benchbase.data import DatasetConfig


class FoursquareConfig(DatasetConfig):
    """Check-ins in one city, in the official form or as arrays that others made of it."""

    city: Literal["nyc", "tky"] = Field("nyc", description="New York or Tokyo")
    format: Literal["tsmc2014", "arrays"] = Field(
        "tsmc2014", description="`dataset_TSMC2014_NYC.txt`, or STAN's `NYC.npy` and `NYC_POI.npy`"
    )
    path: Path | None = Field(None, description="Folder that holds these files, or the text file itself, packed or not")

    @property
    def names(self) -> list[str]:
        """What the files are called."""
        city = self.city.upper()
        return [f"dataset_TSMC2014_{city}.txt"] if self.format == "tsmc2014" else [f"{city}.npy", f"{city}_POI.npy"]


class GowallaConfig(DatasetConfig):
    """All check-ins of the network."""

    path: Path | None = Field(None, description="Folder that holds the file, or the file itself, packed or not")

    @property
    def names(self) -> list[str]:
        """What the file is called."""
        return ["loc-gowalla_totalCheckins.txt"]
