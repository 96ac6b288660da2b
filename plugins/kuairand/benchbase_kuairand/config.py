"""Parameters of the KuaiRand data sets."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from benchbase.data import DatasetConfig

EARLY, LATE = "4_08_to_4_21", "4_22_to_5_08"


class ReleaseConfig(DatasetConfig):
    """Which files are read."""

    size: Literal["pure", "1k", "27k"] = Field("pure", description="The release: KuaiRand-Pure, -1K or -27K")
    path: Path | None = Field(None, description="Folder that holds the release's CSV files, packed (.gz) or not")

    def standard(self, period: str) -> list[str]:
        """What the log files of the app's own recommendations are called, in the order of their events."""
        parts = ("_part1", "_part2") if self.size == "27k" else ("",)
        wanted = {"all": (EARLY, LATE), "early": (EARLY,), "late": (LATE,)}[period]
        return [f"log_standard_{when}_{self.size}{part}.csv" for when in wanted for part in parts]

    @property
    def videos_name(self) -> str:
        """What the file of the videos is called."""
        return f"video_features_basic_{self.size}.csv"

    @property
    def users_names(self) -> list[str]:
        """What the file of the users is called, where they are grouped."""
        return [f"user_features_{self.size}.csv"] if self.user_groups else []


class ClicksConfig(ReleaseConfig):
    """Videos that users clicked among those the app recommended."""

    period: Literal["all", "early", "late"] = Field("all", description="April 8 to 21, April 22 to May 8, or both")

    @property
    def names(self) -> list[str]:
        """What all files are called that are read."""
        return [*self.standard(self.period), self.videos_name, *self.users_names]


class KuaiRandConfig(ReleaseConfig):
    """Videos shown in an app, and what users did with each; in one of three sizes."""

    log: Literal["standard", "random", "both"] = Field(
        "standard", description="Videos that the app recommended, those drawn at random in their place, or both"
    )
    period: Literal["all", "early", "late"] = Field(
        "all", description="April 8 to 21, April 22 to May 8, or both; the random log is of the second alone"
    )
    counts: bool = Field(True, description="Late features that count earlier events and actions of user and video")
    videos: bool = Field(True, description="Read what the videos are: author, duration, kinds, tags, music")
    domain: Literal["none", "music"] = Field("none", description="What the domains are: none, or types of music")

    @model_validator(mode="after")
    def _some_log(self) -> "KuaiRandConfig":
        if self.log == "random" and self.period == "early":
            raise ValueError(
                "log random has no events in period early. Expected period late or all. "
                "Videos were drawn at random from April 22 on."
            )
        if self.domain == "music" and not self.videos:
            raise ValueError("domain music is read from the videos, which are off. Expected videos true.")
        return self

    @property
    def logs(self) -> list[str]:
        """What the log files are called, in the order of their events."""
        standard = self.standard(self.period)
        random = [f"log_random_{LATE}_{self.size}.csv"]
        return {
            "standard": standard,
            "random": random,
            "both": standard + (random if self.period != "early" else []),
        }[self.log]

    @property
    def names(self) -> list[str]:
        """What all files are called that are read."""
        return self.logs + ([self.videos_name] if self.videos else []) + self.users_names
