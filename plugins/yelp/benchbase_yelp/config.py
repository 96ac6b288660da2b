"""Parameters of the Yelp Open Dataset."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from benchbase.data import DatasetConfig

PREFIX = "yelp_academic_dataset_"
"""What the names of the published files begin with."""


class YelpConfig(DatasetConfig):
    """Reviews of businesses, with their stars."""

    min_stars: int | None = Field(None, ge=1, le=5, description="Reviews with fewer stars are left out")
    businesses: bool = Field(True, description="Read what the businesses are: name, place, categories")
    domain: Literal["none", "city", "state"] = Field("none", description="What the domains are")
    path: Path | None = Field(None, description="Folder that holds the files, packed (.gz) or not")

    @model_validator(mode="after")
    def _told(self) -> "YelpConfig":
        if self.domain != "none" and not self.businesses:
            raise ValueError(f"domain {self.domain} is read from the businesses, which are off. Expected businesses "
                             "true.")
        return self

    @property
    def names(self) -> list[str]:
        """What the files are called: reviews, then businesses and users where they are read."""
        kinds = ["review", *["business"] * self.businesses, *["user"] * bool(self.user_groups)]
        return [f"{PREFIX}{kind}.json" for kind in kinds]
