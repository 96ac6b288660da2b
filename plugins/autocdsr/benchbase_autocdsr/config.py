"""Parameters of the objective and of the combiners."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchbase import CombinerConfig, Config, check_heads


class CrossDomainConfig(Config):
    """What of the attention across domains is a loss."""

    norm: Literal["row", "sum", "pair"] = Field(
        "row", description="the mean over queries, a share from 0 to 1; the sum over a sequence's queries; or the mean "
                           "over its pairs of events of different domains"
    )
    layers: Literal["mean", "sum", "last"] = Field("mean", description="which layers count, and how together")


class BalanceConfig(CombinerConfig):
    """Parameters that every combiner here has."""

    balance: tuple[str, str] = Field(
        ("softmax.nll", "cross_domain_attention.mass"), description="the two losses, main first, as objective.term"
    )


class FixedConfig(BalanceConfig):
    """One weight for all of training."""

    alpha: float = Field(0.1, description="weight of the second loss beside the first, which has 1")


class GradientConfig(BalanceConfig):
    """Weights that follow from the two gradients of a step."""

    every_n_steps: int = Field(1, ge=1, le=10_000, description="steps from one look at both gradients to the next")
    iterations: int | None = Field(
        None, ge=1, le=100_000, description="steps of Frank and Wolfe's method; null: the exact solution"
    )


class ParetoConfig(GradientConfig):
    """The released algorithm: the least combination of normalised gradients and of preferences that are not met."""

    scale: Literal["raw", "matched"] = Field(
        "raw", description="what the weight multiplies: the second loss's gradient, or that as long as the first's"
    )
    nonnegative: bool = Field(False, description="never a weight below 0, which would raise the second loss")
    ema: float = Field(0.0, ge=0, lt=1, description="share that the cosine keeps of what it was before")


class MGDAConfig(GradientConfig):
    """The least combination of two gradients, which descends on both."""

    normalise: Literal["none", "l2", "loss"] = Field(
        "l2", description="what each gradient is divided by first: nothing, its length, or its loss"
    )


class JacobianConfig(BalanceConfig):
    """A published aggregator of gradients, from the library TorchJD."""

    every_n_steps: int = Field(1, ge=1, le=10_000, description="steps from one look at both gradients to the next")
    aggregator: Literal["upgrad", "dual_proj", "pcgrad", "imtl_g", "aligned_mtl"] = Field(
        "upgrad", description="how two gradients become one"
    )


class LiteralConfig(BalanceConfig):
    """Preference vectors and the region of the one that prefers the main loss, as the paper writes it."""

    preferences: int = Field(5, ge=2, le=1000, description="preference vectors beside the first, K")
    strict: bool = Field(
        False, description="a preference is unmet only where it fits strictly better; as written the target counts too"
    )


class BottleneckConfig(Config):
    """Tokens that domains talk through, and through nothing else (AutoCDSR+)."""

    tokens: int = Field(4, ge=1, le=64, description="tokens of each domain, k")
    combine: Literal["sum", "mean", "attention", "gate"] = Field(
        "sum", description="what the tokens of all domains become, in every domain: their sum, their mean, a mixture "
                           "by attention, or each one's own and the mean, by a gate"
    )
    after: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="layers after which they are combined, from 0; null: all, []: none, domains are alone"
    )
    shared_layers: int = Field(0, ge=0, le=64, description="last layers of the backbone that see all domains")


class DomainEncodersConfig(Config):
    """An encoder for each domain, tokens that they talk through, and an encoder of all events behind them."""

    width: int = Field(64, ge=1, le=8192, description="hidden width, r")
    layers: int = Field(3, ge=1, le=64, description="layers of each domain's encoder")
    heads: int = Field(2, ge=1, le=256, description="attention heads of these; they divide the width")
    tokens: int = Field(4, ge=0, le=64, description="tokens that domains talk through, k; 0: they do not talk")
    combine: Literal["mean", "sum"] = Field(
        "mean", description="what the tokens of all domains become, in every domain"
    )
    after: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="layers after which they are combined, from 0; null: all, []: none, domains are alone"
    )
    shared_layers: int = Field(3, ge=0, le=64, description="layers behind, in which all events see each other")
    shared_heads: int = Field(4, ge=1, le=256, description="attention heads of these; they divide the width")
    ffn: int = Field(1, ge=1, le=16, description="hidden width of all feed-forward maps, in widths")
    attention_scale: float | None = Field(
        1.0, gt=0, description="factor of the scores of all layers; null = one over the root of a head's width"
    )
    dropout: float = Field(0.15, ge=0, lt=1, description="dropout of tokens and of every sublayer's output")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="dropout of attention weights, on the slow route")
    projection: bool = Field(True, description="map states by two linear maps, a ReLU between, before they meet items")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        for name in ("heads", "shared_heads"):
            check_heads(self.width, getattr(self, name), name)
        return self

    @model_validator(mode="after")
    def _layers_are_there(self) -> Self:
        if wrong := [n for n in self.after or () if n >= self.layers]:
            raise ValueError(
                f"after: there is no layer {wrong[0]}. Expected layers below {self.layers}, counted from 0. "
                f"Nearest: {self.layers - 1}."
            )
        return self


class BottleneckAttentionConfig(Config):
    """Attention that items give to these tokens, as a loss."""

    layers: Literal["mean", "sum", "last"] = Field("mean", description="which layers count, and how together")
