"""Parameters of the three ways to let items attend and actions be what is pooled."""

from typing import Literal

from pydantic import Field

from benchbase import Config


class PoolingConfig(Config):
    """Parameters that all share."""

    null: Literal["zeros", "learned"] = Field(
        "zeros", description="what the first event, which has nothing before it, gets from attention: SA_0"
    )


class LateFusionConfig(PoolingConfig):
    """Parameters of AttnLFA."""

    strict: bool = Field(True, description="whether events of the item stack see earlier events alone, not themselves")


class MixedValueConfig(PoolingConfig):
    """Parameters of AttnMVP."""

    mix: float = Field(1.0, ge=0, description="share of the actions in the values of every layer, lambda")
    late_fusion: bool = Field(True, description="pool actions once more behind the stack; false is AttnMVP-LFA")


class DualStreamConfig(PoolingConfig):
    """Parameters of AttnDHN."""

    mix: float = Field(1.0, ge=0, description="share that each stream has in the values of the other, lambda")
    ffn: int = Field(4, ge=1, le=16, description="hidden width of the action stream's feed-forward map, in widths")
    late_fusion: bool = Field(True, description="pool the last layer's actions once more behind the stack")
