"""Published figures beside ours: in the band, or not, where both ranked all items."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ..config import Published
from ..stats import Interval
from .load import Folder

TIED = 1e-12
"""A mean this far out of a band is in it."""


@dataclass(frozen=True)
class Figure:
    """A published figure and ours; `badge`: in the band | below | above | no band | not compared | no result."""

    published: Published
    ours: Interval | None
    badge: str
    under_trained: bool


def figures_of(folder: Folder, dataset: str, means: Mapping[str, Mapping[str, Interval]],
               late: Collection[str]) -> Iterator[Figure]:
    """The figures for one data set as the suite lists them; `means`: label -> metric -> ours, `late`: labels of those
    under-trained.
    """
    for each in folder.published:
        if each.dataset in (None, dataset):
            ours = means.get(each.entry, {}).get(each.metric)
            yield Figure(each, ours, _badge(each, ours), each.entry in late)


def _badge(published: Published, ours: Interval | None) -> str:
    """What our mean over seeds and users says; figures over sampled candidates are another metric."""
    if ours is None:
        return "no result"
    if published.ranking == "sampled":
        return "not compared"
    if published.band is None:
        return "no band"
    low, high = published.band
    return "below" if ours.point < low - TIED else "above" if ours.point > high + TIED else "in the band"
