"""Parameters of HSTU."""

from typing import Literal, Self

from pydantic import Field, model_validator

from benchbase import Config


class HSTUConfig(Config):
    """Parameters of HSTU; a head is as wide as the width over the heads, unless it is said."""

    width: int = Field(64, ge=1, le=8192, description="hidden width, D")
    layers: int = Field(2, ge=1, le=64, description="number of blocks")
    heads: int = Field(2, ge=1, le=256, description="attention heads, h")
    d_qk: int | None = Field(None, ge=1, le=8192, description="width of queries and keys in a head; width / heads")
    d_v: int | None = Field(None, ge=1, le=8192, description="width of values and gates in a head; width / heads")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of tokens and of every block's gated output")
    time_ref: Literal["next", "self", "none"] = Field(
        "next", description="gaps of time count back from the next event, from the query's own, or not at all"
    )
    concat: bool = Field(False, description="map [gate, attention, their product] instead of the product alone")
    normaliser: Literal["constant", "length"] = Field(
        "constant", description="sums over keys are divided by the tokens of a full window, or by the keys in sight"
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads and None in (self.d_qk, self.d_v):
            near = max(n for n in range(1, self.heads) if self.width % n == 0)
            raise ValueError(
                f"heads: {self.heads} does not divide the width {self.width}. "
                f"Expected a divisor of the width, or both d_qk and d_v. Nearest: {near}."
            )
        return self
