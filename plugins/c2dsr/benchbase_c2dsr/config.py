"""Parameters of the backbone and of its objectives."""

from typing import Self

from pydantic import Field, model_validator

from benchbase import Config, check_heads


class C2DSRConfig(Config):
    """Sizes that the encoder of all domains and those of single ones share."""

    width: int = Field(64, ge=1, le=8192, description="hidden width, d; item vectors are as wide for every domain")
    layers: int = Field(2, ge=1, le=64, description="number of blocks of each encoder")
    heads: int = Field(1, ge=1, le=256, description="attention heads of each encoder; they divide the width")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of tokens, of every sublayer's output, of the graph")
    graph_layers: int = Field(
        1, ge=0, le=16, description="steps along what followed what in the train part, L; 0: no graph"
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class DomainSoftmaxConfig(Config):
    """The softmax over the items of the target's domain; no parameters."""


class InfomaxConfig(Config):
    """What the encoders know of each other; no parameters."""
