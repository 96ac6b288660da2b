"""Parameters of discovery, booster and augmented Lagrangian."""

from typing import Literal, Self

from pydantic import Field, model_validator

from benchbase import Config


class CausalBoostConfig(Config):
    """Parameters of discovery and booster."""

    after: int = Field(
        1, ge=1, le=64, description="plain layers, k: the last one's output is related, later layers change"
    )
    alpha: float = Field(1.0, ge=0, le=1e12, description="strength of the boost, alpha; 0 is the plain backbone")
    variant: Literal["enhance", "filter"] = Field(
        "enhance", description="weights times 1 + alpha R, or only those whose relation is strong"
    )
    r_source: Literal["cov", "sem", "bilinear"] = Field(
        "cov", description="R: covariances; coefficients on earlier events; a bilinear form with a learned matrix"
    )
    sign: Literal["abs", "relu", "signed", "square"] = Field("abs", description="how R counts")
    renormalise: bool | None = Field(
        None, description="rows sum to 1 again; unless given, filter does, enhance does not"
    )
    threshold: float = Field(
        0.3, ge=0, lt=1, description="filter keeps relations above this share of the row's largest, tau"
    )
    detach: bool = Field(False, description="no gradient passes from attention through R")
    ridge: float = Field(1e-3, gt=0, le=1, description="added to variances before coefficients are solved for (sem)")
    max_nodes: int = Field(
        1_000, ge=2, description="longer sequences are cut into blocks of as many events, for all that is cubic in them"
    )
    bound: float = Field(
        1.0, gt=0, le=30, description="R o R is scaled down to this norm before its exponential is taken"
    )

    @property
    def renormalised(self) -> bool:
        return self.variant == "filter" if self.renormalise is None else self.renormalise

    @property
    def site(self) -> str:
        """The site of attention that these parameters take: zeros and factors below 0 need all weights at hand."""
        if self.variant == "filter":
            return "mask" if self.renormalised else "weights"
        return "weights" if self.sign == "signed" else "boost"


class CausalDagConfig(Config):
    """Parameters of the augmented Lagrangian: beta h + rho h^2 / 2, both updated after each epoch, plus sparsity."""

    sparsity: float = Field(0.1, ge=0, le=1e6, description="weight of the mean of |R| over pairs of events, lambda")
    rho: float = Field(1.0, ge=0, le=1e10, description="weight of the square of h at the start, rho_0")
    beta: float = Field(0.0, ge=0, le=1e10, description="weight of h at the start, beta_0")
    growth: float = Field(10.0, ge=1, le=1e3, description="factor of rho where h does not fall enough")
    fall: float = Field(0.25, gt=0, le=1, description="share of its last value that h must fall below")
    rho_max: float = Field(1e6, ge=0, le=1e10, description="the most that rho grows to")

    @model_validator(mode="after")
    def _rho_below_its_maximum(self) -> Self:
        if self.rho > self.rho_max:
            raise ValueError(f"rho: {self.rho} is above rho_max {self.rho_max}. Expected a start that may grow to it. "
                             f"Take rho_max={self.rho}.")
        return self
