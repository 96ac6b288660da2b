"""Parameters of the generated worlds."""

from typing import Literal

from pydantic import Field, model_validator

from benchbase.data import DatasetConfig


class World(DatasetConfig):
    """Sizes and times that all worlds share."""

    n_users: int = Field(200, ge=1, description="Users")
    n_items: int = Field(200, ge=2, description="Items; those that no event happens to hold are left out")
    events: int = Field(50, ge=1, description="Events of a user, on average")
    events_spread: int = Field(0, ge=0, description="A user has events - spread to events + spread, uniformly")
    days: int = Field(365, ge=1, le=36_500, description="Time over which every user's events are spread")

    @model_validator(mode="after")
    def _some_events(self) -> "World":
        if self.events_spread >= self.events:
            raise ValueError(
                f"events_spread {self.events_spread} is not below events {self.events}: some users would have none."
            )
        return self


def _check_range(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low {low} is above high {high}.")


class NoiseConfig(World):
    """Items drawn uniformly and independently: nothing can be learnt, every model scores at chance."""


class MarkovConfig(World):
    """Each item has its own likely successors; the next item depends on the last one and on nothing else."""

    successors: int = Field(4, ge=1, description="Items that may follow an item (other than by a jump)")
    low: float = Field(0.5, gt=0, le=1, description="Least probability of the first successor, among items")
    high: float = Field(0.9, gt=0, le=1, description="Greatest probability of the first successor, among items")
    jump: float = Field(0.05, gt=0, lt=1, description="Probability of a jump to any item, uniformly")

    @model_validator(mode="after")
    def _a_chain(self) -> "MarkovConfig":
        _check_range(self.low, self.high)
        if self.successors > self.n_items:
            raise ValueError(f"successors {self.successors} exceed n_items {self.n_items}.")
        return self


class CausalConfig(World):
    """Items cause each other along a graph without cycles; companions merely occur together.

    At every event each item has a utility, a structural equation: its own level, what earlier events that cause it
    add, what the user's present theme adds, and independent noise of equal variance. The highest utility happens.
    """

    n_items: int = Field(40, ge=2, description="Items, the nodes of the graph")
    causes: float = Field(1.5, ge=0, description="Causes of an item, on average")
    low: float = Field(2.0, gt=0, description="Least strength of a cause, in units of utility")
    high: float = Field(4.0, gt=0, description="Greatest strength of a cause")
    memory: float = Field(0.7, ge=0, lt=1, description="Share of a cause's strength left after each further event")
    response: Literal["linear", "nonlinear"] = Field(
        "linear", description="What causes add: the sum of their strengths, or a step up once it is large enough"
    )
    scale: Literal["raw", "standardised"] = Field(
        "raw", description="Utilities as they are, or each item's brought to the mean and variance of all"
    )
    themes: int = Field(8, ge=0, description="Groups of companions, which a theme brings together without any cause")
    companions: int = Field(3, ge=2, description="Items of a theme")
    spurious: float = Field(3.0, ge=0, description="What the present theme adds to the utility of its items")
    stay: float = Field(0.8, ge=0, lt=1, description="Probability that the theme of an event is that of the one before")

    @model_validator(mode="after")
    def _a_graph(self) -> "CausalConfig":
        _check_range(self.low, self.high)
        if self.causes > (self.n_items - 1) / 2:
            raise ValueError(f"causes {self.causes} exceed {(self.n_items - 1) / 2}, those of the fullest graph of "
                             f"{self.n_items} items without cycles.")
        if self.themes * self.companions > self.n_items:
            raise ValueError(f"{self.themes} themes of {self.companions} companions take more than n_items "
                             f"{self.n_items}.")
        return self


class ActionsConfig(World):
    """One group of users likes dogs and not cats, the other cats and not dogs; what is shared depends on the item.

    Source: Cheng 2026, Beyond Interleaving, figure 4.
    """

    n_items: int = Field(40, ge=2, description="Items, half of them of either kind; users meet them uniformly")
    keen: float = Field(0.9, gt=0.5, lt=1, description="Probability to like an item of the own kind, or not the other")
    low: float = Field(0.05, gt=0, lt=1, description="Least probability of being shared, among items")
    high: float = Field(0.6, gt=0, lt=1, description="Greatest probability of being shared, among items")

    @model_validator(mode="after")
    def _rates(self) -> "ActionsConfig":
        _check_range(self.low, self.high)
        return self


class DomainsConfig(World):
    """Markov chains of several domains in one sequence: the next item is a successor of the last one of its own domain,
    and for a share of the events the last one of another decides which.
    """

    domains: int = Field(2, ge=2, le=100, description="Domains, of equally many items each")
    successors: int = Field(4, ge=1, description="Items of its domain that may follow an item")
    low: float = Field(0.7, gt=0, le=1, description="Least probability of the first successor, among items")
    high: float = Field(0.9, gt=0, le=1, description="Greatest probability of the first successor, among items")
    transfer: float = Field(0.0, ge=0, le=1, description="Share of the other events in which another domain decides")
    noise: float = Field(0.1, ge=0, le=1, description="Share of events that are any item of their domain")
    stay: float = Field(0.8, ge=0, lt=1, description="Probability that an event is of the last one's domain")
    corrupt: float = Field(0.0, ge=0, le=1, description="Share of items whose domain the catalogue names wrongly")

    @model_validator(mode="after")
    def _chains(self) -> "DomainsConfig":
        _check_range(self.low, self.high)
        if self.successors > (size := self.n_items // self.domains):
            raise ValueError(f"successors {self.successors} exceed the {size} items of a domain.")
        return self


class ExposureConfig(World):
    """Some items are shown far more often than others, whatever users like; at the end of a sequence all alike.

    Users of several groups like items of their own kind. What a log holds is shown and liked: popularity is exposure
    times preference, and only the last events tell what users would like if everything were shown to them.
    """

    n_items: int = Field(40, ge=2, description="Items, equally many of each kind")
    groups: int = Field(2, ge=1, description="Groups of users, and kinds of items")
    keen: float = Field(0.9, gt=0, lt=1, description="Probability to like an item of the own kind, times its appeal")
    other: float = Field(0.3, gt=0, lt=1, description="Probability to like an item of another kind, times its appeal")
    low: float = Field(0.5, gt=0, le=1, description="Least appeal of an item")
    high: float = Field(1.0, gt=0, le=1, description="Greatest appeal of an item")
    skew: float = Field(1.0, ge=0, le=4, description="Exponent of the law of what is shown: 1 / rank^skew; 0: uniform")
    random: int = Field(2, ge=0, description="Last events of a user, of items that are shown uniformly")
    keep: Literal["liked", "shown"] = Field(
        "liked", description="What a log holds: what was liked, or all that was shown, with the action like"
    )

    @model_validator(mode="after")
    def _rates(self) -> "ExposureConfig":
        _check_range(self.low, self.high)
        if self.groups > self.n_items:
            raise ValueError(f"groups {self.groups} exceed n_items {self.n_items}: a kind would have no item.")
        if self.random > self.events - self.events_spread:
            raise ValueError(f"random {self.random} exceeds the {self.events - self.events_spread} events of the "
                             "shortest sequence.")
        return self


class DriftConfig(World):
    """Markov chains in seasons: of all items only some are at hand in each, and of some the successors are others.

    A user's next item is a successor of the last one that is at hand in the season of the event.
    """

    seasons: int = Field(4, ge=1, le=100, description="Seasons, of equal length")
    active: float = Field(0.5, gt=0, le=1, description="Share of items that are at hand in a season")
    overlap: float = Field(0.5, ge=0, le=1, description="Share of a season's items that were at hand in the last one")
    change: float = Field(0.0, ge=0, le=1, description="Share of items whose successors are drawn anew in each season")
    successors: int = Field(8, ge=1, description="Items that may follow an item, at hand or not (other than by a jump)")
    low: float = Field(0.5, gt=0, le=1, description="Least weight of the first successor, among items")
    high: float = Field(0.9, gt=0, le=1, description="Greatest weight of the first successor, among items")
    jump: float = Field(0.05, gt=0, lt=1, description="Probability of a jump to any item at hand, uniformly")

    @model_validator(mode="after")
    def _chains(self) -> "DriftConfig":
        _check_range(self.low, self.high)
        if self.successors > self.n_items:
            raise ValueError(f"successors {self.successors} exceed n_items {self.n_items}.")
        if self.active < 1 and self.active * (2 - self.overlap) > 1:
            raise ValueError(f"active {self.active} with overlap {self.overlap} takes more items than there are. "
                             "Expected active x (2 - overlap) of at most 1, or active 1.")
        return self
