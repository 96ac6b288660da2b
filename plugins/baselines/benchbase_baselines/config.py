"""Parameters of the baselines."""

from typing import Literal

from pydantic import Field

from benchbase import Config


class PopularityConfig(Config):
    """Parameters of popularity."""

    count: Literal["events", "users"] = Field("events", description="count every event, or each user once per item")


class RecentPopularityConfig(Config):
    """Parameters of recent popularity."""

    days: float = Field(30.0, ge=0.001, le=100_000, description="how far back events count, from the query")


class MarkovConfig(Config):
    """Parameters of the first-order Markov chain."""

    backoff: float = Field(
        1.0, ge=0, description="popularity's weight beside what followed the last item, in events, mu"
    )


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


class IALSConfig(Config):
    """Parameters of implicit alternating least squares."""

    factors: int = Field(64, ge=1, le=4096, description="width of the vectors of users and items, f")
    alpha: float = Field(3.0, gt=0, description="confidence of an item in a history beyond that of any other, alpha")
    l2: float = Field(30.0, gt=0, description="strength of the L2 norm, lambda")
    iterations: int = Field(15, ge=1, le=1000, description="times that users and then items are solved for")
    solver: Literal["cg", "cholesky"] = Field(
        "cg", description="training: three conjugate-gradient steps per vector and iteration, or exact and slower"
    )
