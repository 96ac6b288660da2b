"""Parameters of the data sets."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from benchbase.data import DatasetConfig

Part = Literal["training", "evaluation", "testing"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class TriCDRConfig(DatasetConfig):
    """Two domains of products in the order in which each user reviewed them, as Tri-CDR has them."""

    domains: tuple[Name, Name] = Field(
        ("toy", "game"), description="The two domains as their files are called, first the one whose items count first"
    )
    path: Path | None = Field(None, description="Folder that holds the three files")

    @model_validator(mode="after")
    def _two(self) -> "TriCDRConfig":
        if len({*self.domains, "mix"}) < 3:
            raise ValueError(f"domains are {' and '.join(self.domains)}. Expected two different names, neither mix, "
                             "which is the file of both.")
        return self

    def names(self, form: str) -> list[str]:
        """What the files are called: one of each domain, and the one of both."""
        return [form.format(name) for name in (*self.domains, "mix")]


class SyNCRecConfig(DatasetConfig):
    """Five domains of products, each user in all of them: the sample in SyNCRec's repository."""

    path: Path | None = Field(None, description="Folder that holds amazon_seq.txt, packed (.gz) or not")

    @property
    def names(self) -> list[str]:
        """What the file is called."""
        return ["amazon_seq.txt"]


class DisenCDRConfig(DatasetConfig):
    """Two domains of products and the users they share, with the events that DisenCDR holds out."""

    domains: tuple[Name, Name] = Field(
        description="The two domains as their folders are called; a user's last event is the held-out one of the second"
    )
    path: Path | None = Field(None, description="Folder that holds the folders of both, such as sport_phone")

    @model_validator(mode="after")
    def _two(self) -> "DisenCDRConfig":
        if self.domains[0] == self.domains[1]:
            raise ValueError(f"domains names {self.domains[0]} twice. Expected two.")
        return self

    @property
    def names(self) -> list[str]:
        """What the files are called: to train on and held out, of the first domain, then of the second."""
        folders = ("{}_{}".format(*self.domains), "{}_{}".format(*reversed(self.domains)))
        return [f"{folder}/{name}.txt" for folder in folders for name in ("train", "test_original")]


class AutoCDSRConfig(DatasetConfig):
    """KuaiRand-1K as rows of videos, their domains the types of music, as AutoCDSR has it."""

    part: Part | Literal["all"] = Field("training", description="Which rows, or those of all three parts")
    path: Path | None = Field(None, description="Folder that holds the folders of the parts, or archives of them")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are read."""
        return get_args(Part) if self.part == "all" else (self.part,)
