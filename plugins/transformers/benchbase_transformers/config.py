"""Parameters of the two Transformers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from benchbase import Config, check_heads


class TransformerConfig(Config):
    """Parameters that both share."""

    width: int = Field(64, ge=1, le=8192, description="hidden width, d")
    layers: int = Field(2, ge=1, le=64, description="number of blocks, b or L")
    heads: int = Field(2, ge=1, le=256, description="attention heads, h; they divide the width")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of tokens and of every sublayer's output")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="dropout of attention weights, on the slow route")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class SASRecConfig(TransformerConfig):
    """Parameters of SASRec."""

    ffn: int = Field(1, ge=1, le=16, description="hidden width of the feed-forward map, in widths")
    activation: Literal["relu", "gelu", "silu"] = Field("relu", description="activation of the feed-forward map")
    scale_embedding: bool = Field(True, description="multiply tokens by the square root of d before positions")
    order: Literal["pre_norm", "post_norm", "original"] = Field(
        "pre_norm", description="norms before each sublayer, after each residual, or as in the official code"
    )
    ffn_dropout: float = Field(0.0, ge=0, lt=1, description="dropout between the two feed-forward maps")
    head_map: bool = Field(True, description="a linear map of the joined heads")
    init: Literal["normal", "glorot"] = Field(
        "normal", description="law that maps and positions start from: N(0, 0.02), or Glorot's uniform one"
    )


class BERT4RecConfig(TransformerConfig):
    """Parameters of BERT4Rec."""

    ffn: int = Field(4, ge=1, le=16, description="hidden width of the feed-forward map, in widths")
    activation: Literal["relu", "gelu", "silu"] = Field("gelu", description="activation of the feed-forward map")
    projection: bool = Field(True, description="map states by GELU(h W + b) before they meet item vectors")
    order: Literal["pre_norm", "post_norm"] = Field(
        "pre_norm", description="norms before each sublayer and after the last block, or after each residual"
    )


class CausalTransformerConfig(TransformerConfig):
    """Parameters of the causal Transformer with rotary positions."""

    layers: int = Field(3, ge=1, le=64, description="number of blocks")
    ffn: int = Field(4, ge=1, le=16, description="hidden width of the feed-forward map, in widths")
    activation: Literal["relu", "gelu", "silu"] = Field("silu", description="activation of the feed-forward map")
    position: Literal["rope", "learned", "none"] = Field(
        "rope", description="queries and keys turned by their positions, vectors added to tokens, or the mask alone"
    )
    rope_base: float = Field(10_000.0, gt=1, description="base of the wave lengths of rope")
    skip_scale: float = Field(1.0, gt=0, description="factor of what each sublayer adds")
    attention_scale: float | None = Field(
        None, gt=0, description="factor of the scores; null = one over the root of a head's width"
    )

    @model_validator(mode="after")
    def _planes_to_turn(self) -> Self:
        if self.position == "rope" and (self.width // self.heads) % 2:
            raise ValueError(
                f"width: {self.width} over {self.heads} heads is {self.width // self.heads}, which is odd. "
                "Expected an even width of heads to turn. Use other heads, or position: learned."
            )
        return self
