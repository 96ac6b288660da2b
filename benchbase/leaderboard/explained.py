"""What explainers said of each entry, and how much of it holds when the evidence is taken away."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..runner.measures import EXPLANATIONS
from ..runner.publish import shown_events
from ..runner.records import Record
from ..stats import Interval
from .load import Entry

FILE = "explanations.parquet"
SHOWN = 3
"""Sentences of each entry and explainer that a page shows."""


@dataclass(frozen=True)
class Explained:
    """One explainer on one entry: the mean over seeds of each figure, the least and the greatest, and by chance."""

    label: str
    explainer: str
    figures: Mapping[str, Interval]
    chance: Mapping[str, float]


@dataclass(frozen=True)
class Example:
    """A sentence of an entry's first seed, and the reciprocal rank of what it explains: when all events are read,
    without the evidence, and with it alone.
    """

    label: str
    explainer: str
    text: str
    whole: float
    without: float
    alone: float


@dataclass(frozen=True)
class Explanations:
    """All entries that have explainers, and sentences where records hold them."""

    entries: tuple[Explained, ...]
    examples: tuple[Example, ...] = ()


def explanations_of(entries: Sequence[Entry]) -> Explanations | None:
    """What the records of a data set's entries say of explanations, or None where they say nothing."""
    found = tuple(each for entry in entries for each in _explained(entry))
    examples = tuple(each for entry in entries if FILE in entry.good[0].facts["files"]
                     for each in _examples(entry.good[0]))
    return Explanations(found, examples) if found else None


def _explained(entry: Entry) -> Iterator[Explained]:
    names = {tuple(name.removeprefix(EXPLANATIONS).rpartition(".")[::2]) for record in entry.good
             for name in record.facts["metrics"] if name.startswith(EXPLANATIONS)}
    for explainer in sorted({explainer for explainer, _ in names}):
        figures = {figure: _told([record.facts["metrics"] for record in entry.good], explainer, figure)
                   for each, figure in sorted(names) if each == explainer}
        chance = {figure: _told([record.facts["evaluation"].get("by_chance", {}) for record in entry.good], explainer,
                                figure) for figure in figures}
        yield Explained(entry.label, explainer, {name: each for name, each in figures.items() if each},
                        {name: each.point for name, each in chance.items() if each})


def _told(facts: Sequence[Mapping[str, float | None]], explainer: str, figure: str) -> Interval | None:
    name = f"{EXPLANATIONS}{explainer}.{figure}"
    known = [value for each in facts if (value := each.get(name)) is not None]
    return Interval(fmean(known), min(known), max(known)) if known else None


def _examples(record: Record) -> Iterator[Example]:
    """The sentences to the users who stand first in what is published, so that entries show the same ones."""
    table, label = shown_events(record, FILE), record.facts["configuration"]["label"]
    for explainer in sorted(set(table["explainer"])):
        for place in np.flatnonzero(table["explainer"] == explainer)[:SHOWN]:
            ranks = (float(table[name][place]) for name in ("whole", "without", "alone"))
            yield Example(label, explainer, table["text"][place], *ranks)
