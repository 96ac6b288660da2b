"""Parameters of the generated worlds."""

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
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}.")
        if self.successors > self.n_items:
            raise ValueError(f"successors {self.successors} exceed n_items {self.n_items}.")
        return self
