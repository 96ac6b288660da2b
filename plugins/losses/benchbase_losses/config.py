"""Parameters of the losses."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchbase import Config, Negatives

Count = Annotated[int, Field(ge=1, le=65_536, description="negative items per draw, k; of `in_batch` at most so many")]
Scope = Annotated[Literal["position", "sequence", "batch"], Field(description="who shares one draw")]
Correct = Annotated[
    Literal["none", "negatives", "both"],
    Field(description="scores that the logarithm of their probability of being drawn is taken from (logQ correction)"),
]


MIX = 0.5
"""The share of popularity in a mixture of which nothing is said."""


class SoftmaxConfig(Config):
    """Parameters of the full softmax."""

    gradients: Literal["exact", "bfloat16"] = Field(
        "exact", description="type of the two products that make its gradients; the loss itself is always exact"
    )


class SampledConfig(Config):
    """The negatives that a loss asks for."""

    negatives: Count = 1
    law: Literal["uniform", "popularity", "in_batch", "mixed"] = Field(
        "uniform", description="law that negatives are drawn from"
    )
    mix: float = Field(MIX, ge=0, le=1, description="share of popularity in the law `mixed`; the rest is uniform")
    scope: Scope = "position"
    keep_positive: bool = Field(False, description="leave in the negatives that are the position's own target")

    @model_validator(mode="after")
    def _mix_of_the_law_mixed(self) -> Self:
        if self.law != "mixed" and self.mix != MIX:
            raise ValueError(f"mix means nothing for law {self.law}. Expected it with law mixed alone. Add law: mixed, "
                             "or remove mix.")
        return self

    @model_validator(mode="after")
    def _shared_by_the_batch(self) -> Self:
        if self.law == "in_batch" and self.scope != "batch":
            raise ValueError(f"law in_batch with scope {self.scope}. Expected scope batch: all share the step's "
                             "targets. Add scope: batch.")
        return self

    def request(self) -> Negatives:
        """What the core is asked to draw."""
        return Negatives(count=self.negatives, law=self.law, scope=self.scope, keep_positive=self.keep_positive,
                         mix=self.mix)


class BCEConfig(SampledConfig):
    """Parameters of binary cross-entropy with sampled negatives."""


class GBCEConfig(SampledConfig):
    """Parameters of generalised binary cross-entropy."""

    negatives: Count = 256
    t: float = Field(0.75, ge=0, le=1, description="calibration t: 0 is plain bce, 1 undoes the sampling of negatives")


class BPRConfig(SampledConfig):
    """Parameters of Bayesian personalised ranking."""


class SampledSoftmaxConfig(SampledConfig):
    """Parameters of the softmax over the target and sampled items."""

    negatives: Count = 256
    scope: Scope = "batch"
    correct: Correct = "negatives"


class InfoNCEConfig(SampledConfig):
    """Parameters of InfoNCE."""

    negatives: Count = 128
    temperature: float = Field(1.0, gt=0, description="scores are divided by it, in the loss alone")


class InBatchSoftmaxConfig(Config):
    """Parameters of the softmax over the targets of a step."""

    negatives: Count = 1_024
    correct: Correct = "both"

    def request(self) -> Negatives:
        """What the core is asked to draw."""
        return Negatives(count=self.negatives, law="in_batch", scope="batch")


class ActionBCEConfig(Config):
    """Parameters of `action_bce`."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="weight of an action's loss by name; 1 for those that are not named"
    )
