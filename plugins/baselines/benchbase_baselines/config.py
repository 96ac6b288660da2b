"""Parameters of the baselines."""

from typing import Literal

from pydantic import Field

from benchbase import Config


class PopularityConfig(Config):
    """Parameters of popularity."""

    count: Literal["events", "users"] = Field("events", description="count every event, or each user once per item")


class ItemKNNConfig(Config):
    """Parameters of item neighbours."""

    neighbours: int = Field(20, ge=1, le=100_000, description="similar items kept per item, k")
    shrinkage: float = Field(0.0, ge=0, description="added to the divisor: distrust of rare pairs, h")
    normalise: bool = Field(True, description="scale the similarities of each item's neighbours to sum 1")


class EASEConfig(Config):
    """Parameters of EASE."""

    l2: float = Field(500.0, gt=0, description="strength of the L2 norm, lambda")
    precision: Literal["float64", "float32"] = Field("float64", description="type of the item-item matrix")
    memory_gib: float = Field(8.0, gt=0, description="refuse catalogues whose matrices need more memory than this")
