"""Figures that papers and repositories report, to stand beside ours: no part of the question, nor of any run."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ..errors import nearest
from ..specs import Config
from .expand import Steps
from .models import Label


def _line(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is no line of text. Expected printable text on one line, without spaces at its "
                         "ends.")
    return text


def _ordered(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] > band[1]:
        raise ValueError(f"goes from {band[0]:g} to {band[1]:g}. Expected the lower end first. Swap them.")
    return band


Line = Annotated[str, Field(max_length=300), AfterValidator(_line)]
Share = Annotated[float, Field(ge=0, le=1)]
Band = Annotated[tuple[Share, Share], AfterValidator(_ordered)]


class Published(Config):
    """A figure from elsewhere for one entry and metric; `sampled` ones are shown, and never compared."""

    entry: Label = Field(description="label of the entry that it belongs to")
    metric: str = Field(description="one of the suite's metrics")
    value: Share | None = Field(None, description="the figure itself, a share of 1 and no percentage")
    band: Band | None = Field(None, description="lowest and highest figure that would agree with it, shares of 1")
    source: Line = Field(min_length=1, description="who reports it, and where")
    protocol: Line = Field("", description="how it was measured there")
    ranking: Literal["full", "sampled"] = Field("full", description="whether all items were ranked, or a sample")
    url: str | None = Field(None, pattern=r"^https?://[^\s<>()\[\]|\\`*]+$", max_length=300, description="its address")
    dataset: str | None = Field(None, description="label of the data set, where the suite has several")

    @model_validator(mode="after")
    def _some_figure(self) -> "Published":
        if self.value is None and self.band is None:
            raise ValueError("has neither value nor band. Expected one of them, or both.")
        return self


def published_faults(
    figures: Sequence[Published], labels: Collection[str], metrics: Collection[str], datasets: Sequence[str]
) -> Iterator[tuple[Steps, str]]:
    """What figures name that the suite does not have, each at the steps that lead to its place."""
    for place, figure in enumerate(figures):
        steps: Steps = ("published", place)
        if figure.entry not in labels:
            yield ((*steps, "entry"),
                   f"no configuration is called '{figure.entry}'. {nearest(figure.entry, labels, 'Labels')}")
        if figure.metric not in metrics:
            yield ((*steps, "metric"), f"the leaderboard does not show '{figure.metric}'. "
                                       f"{nearest(figure.metric, metrics, 'Metrics')}")
        if figure.dataset is None and len(datasets) > 1:
            yield ((*steps, "dataset"), f"missing. Expected one of the suite's data sets: {', '.join(datasets)}.")
        if figure.dataset is not None and figure.dataset not in datasets:
            yield ((*steps, "dataset"), f"no data set is called '{figure.dataset}'. "
                                        f"{nearest(figure.dataset, datasets, 'Data sets')}")
