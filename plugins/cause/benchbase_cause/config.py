"""Parameters of CAUSE and of what it is compared with."""

from typing import Literal

from pydantic import Field, model_validator

from benchbase import Config


class BudgetConfig(Config):
    """Who pays for the tokens of the history."""

    budget: Literal["total", "extra"] = Field(
        "total", description="total: a window event gives way for each token, so that none is longer; extra: none does"
    )


class CauseConfig(BudgetConfig):
    """Buckets of the history by category, newest first at both levels."""

    categories: str = Field("", description="column of the catalogue's categories; empty: its only one")
    clusters: int = Field(0, ge=0, description="so many K-Means clusters of items, not the catalogue's; 0: none")
    buckets: int = Field(8, ge=0, description="V, most buckets of a user, those of the newest events; 0: no limit")
    items: int = Field(32, ge=0, description="G, most items of a bucket; 0: no limit")
    pick: Literal["newest", "random"] = Field(
        "newest", description="which items of a bucket: the newest, or any, as an ablation"
    )
    fusion: Literal["align_sum", "sum", "concat", "mean"] = Field(
        "align_sum", description="how the category's vector and the items' become a token"
    )
    decay: float = Field(1.0, gt=0, le=1, description="gamma, the weight of an item to that of the next newer one")
    order: Literal["recent_first", "chronological"] = Field(
        "recent_first", description="of the buckets, by their newest events"
    )
    slots: bool = Field(True, description="a learned vector for each place in this order, 0 at first")
    refill: bool = Field(False, description="window events that give way join the history before it is taken apart")
    action: str = Field("", description="only history events with this action count; empty: all")

    @model_validator(mode="after")
    def _one_source(self) -> "CauseConfig":
        if self.clusters == 1:
            raise ValueError("clusters: 1 tells no items apart. Expected 0, for those of the catalogue, or 2 and more.")
        if self.clusters and self.categories:
            raise ValueError(f"categories: {self.categories} beside clusters: {self.clusters}. Expected one of them.")
        if self.refill and self.budget == "extra":
            raise ValueError("refill: no event gives way under budget: extra. Expected false, or budget: total.")
        return self


class RecentOnlyConfig(Config):
    """The history dropped, and as many window events as tokens would have taken the place of."""

    displaced: int = Field(0, ge=0, description="window events that give way where there is history")


class MeanPoolConfig(BudgetConfig):
    """One token for the whole history."""

    items: int = Field(256, ge=1, description="newest history events that count")


class PMAConfig(MeanPoolConfig):
    """Tokens that learn what to ask of the history."""

    tokens: int = Field(8, ge=1, description="k, learned queries")
    heads: int = Field(4, ge=1, description="attention heads, a divisor of the backbone's width")
