"""Parameters of GenRank."""

from typing import Literal, Self

from pydantic import Field, model_validator

from benchbase import Config, check_heads


class GenRankConfig(Config):
    """Parameters of GenRank; what is added to tokens beside positions hangs on `time`."""

    width: int = Field(64, ge=1, le=8192, description="hidden width")
    layers: int = Field(3, ge=1, le=64, description="number of blocks")
    heads: int = Field(8, ge=1, le=256, description="attention heads, H; they divide the width")
    ffn: int = Field(4, ge=1, le=16, description="hidden width of the feed-forward map, in widths")
    activation: Literal["gelu", "swiglu"] = Field(
        "gelu", description="activation of the feed-forward map; swiglu gates it, at two thirds of its hidden width"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout of tokens and of every sublayer's output")
    time: Literal["requests", "none"] = Field(
        "requests", description="tokens know their request and the time since the one before, or positions alone"
    )
    time_bias: float = Field(
        0.0, ge=0, le=1000, description="slope of the bias by time, as a share of that by position: m'_h / m_h"
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    @model_validator(mode="after")
    def _a_bias_by_time_has_times(self) -> Self:
        if self.time == "none" and self.time_bias > 0:
            raise ValueError(f"time_bias: {self.time_bias:g} where time is none: there is nothing to measure. "
                             "Expected 0. Use time: requests, or leave time_bias out.")
        return self
