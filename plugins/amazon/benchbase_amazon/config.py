"""Parameters of the review data sets."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from benchbase.data import DatasetConfig

Category = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class AmazonConfig(DatasetConfig):
    """Reviews of one category, or of several, each a domain."""

    release: Literal[2014, 2018, 2023] = Field(2018, description="The collection by its year")
    categories: Category | tuple[Category, ...] = Field(
        description="Categories as their files are called, such as Gift_Cards; each of several is a domain"
    )
    reviews: Literal["5core", "all"] | None = Field(
        None, description="The published 5-core or all reviews; null: 5-core, and all of 2023, which has no other"
    )
    users: Literal["any", "shared"] = Field("any", description="All users, or those with reviews in every category")
    metadata: bool = Field(False, description="Read what the items are: title, brand, price, categories")
    path: Path | None = Field(None, description="Folder that holds the files, packed (.gz) or not")

    @model_validator(mode="after")
    def _possible(self) -> "AmazonConfig":
        if not self.names:
            raise ValueError("categories is empty. Expected at least one.")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"categories names one twice: {', '.join(self.names)}. Expected each once.")
        if self.release == 2023 and self.reviews == "5core":
            raise ValueError("reviews 5core: the reviews of 2023 are published whole. Expected all. min_user_events: 5 "
                             "and min_item_events: 5 make a core of them.")
        if self.users == "shared" and len(self.names) < 2:
            raise ValueError("users shared with one category. Expected several.")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The categories in order."""
        return (self.categories,) if isinstance(self.categories, str) else self.categories

    @property
    def files(self) -> list[str]:
        """What the files are called: the reviews of every category, then, if they are read, its items."""
        core = "" if self.reviews == "all" or self.release == 2023 else "_5"
        form = {2014: f"reviews_{{}}{core}.json", 2018: f"{{}}{core}.json", 2023: "{}.jsonl"}[self.release]
        about = "meta_{}.jsonl" if self.release == 2023 else "meta_{}.json"
        return [form.format(name) for name in self.names] + (
            [about.format(name) for name in self.names] if self.metadata else [])
