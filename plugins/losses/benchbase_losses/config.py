"""Parameters of the losses."""

from typing import Literal

from pydantic import Field

from benchbase import Config


class SoftmaxConfig(Config):
    """Parameters of the full softmax."""

    gradients: Literal["exact", "bfloat16"] = Field(
        "exact", description="type of the two products that make its gradients; the loss itself is always exact"
    )


class BCEConfig(Config):
    """Parameters of binary cross-entropy with sampled negatives."""

    negatives: int = Field(1, ge=1, le=65_536, description="negative items per draw, k")
    law: Literal["uniform", "popularity"] = Field("uniform", description="law that negatives are drawn from")
    scope: Literal["position", "sequence", "batch"] = Field("position", description="who shares one draw")
