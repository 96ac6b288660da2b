"""Parameters of Coat."""

from pathlib import Path

from pydantic import Field

from benchbase.data import DatasetConfig


class CoatConfig(DatasetConfig):
    """290 people, 300 coats: 24 ratings of each that they chose to give, then 16 of coats shown at random."""

    path: Path | None = Field(None, description="Folder that holds train.ascii, test.ascii and the rest; null = coat")
    like: int = Field(4, ge=2, le=5, description="The least rating, out of 1 to 5, that counts as `like`")
