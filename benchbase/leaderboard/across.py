"""Attention across domains, by what the targets need: found without other domains, or with them alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BenchbaseError
from ..metrics import action_metric, parse
from ..runner.records import Record
from .load import Entry


@dataclass(frozen=True)
class Targets:
    """A class of evaluated events: how many, the mean over seeds, and each entry's share of attention that crosses
    domains before them, the mean over events and seeds, None where there are none.
    """

    name: str
    events: float
    shares: Mapping[str, float | None]


@dataclass(frozen=True)
class Across:
    """All evaluated events, and by what they need, where the baseline has a twin trained on each domain `alone`: those
    that the twin finds among its first `cutoff`, and those that the baseline finds and the twin does not, of each seed.
    """

    classes: tuple[Targets, ...]
    baseline: str | None
    alone: str | None
    cutoff: int


def across_of(entries: Sequence[Entry], metric: str, baseline: str | None) -> Across | None:
    """What the records of a data set's entries say; None where none of them has such shares.

    Errors: `BenchbaseError` for entries evaluated on different events.
    """
    shares = {entry.label: found for entry in entries if (found := entry.across)}
    if not shares or action_metric(metric) is not None:
        return None
    _same_events(entries)
    cutoff = parse(metric).cutoff
    together = next((entry for entry in entries if entry.label == baseline and baseline in shares), None)
    alone = None if together is None else _twin(entries, together)
    every = {seed: np.ones(len(each), bool) for found in shares.values() for seed, each in found.items()}
    classes = {"all": every}
    if together is not None and alone is not None:
        ours, theirs = _found(together, cutoff), _found(alone, cutoff)
        seeds = ours.keys() & theirs.keys()
        classes["found without other domains"] = {seed: theirs[seed] for seed in seeds}
        classes["found with them alone"] = {seed: ours[seed] & ~theirs[seed] for seed in seeds}
    return Across(tuple(_targets(name, some, shares) for name, some in classes.items()),
                  together.label if together else None, alone.label if alone else None, cutoff)


def _same_events(entries: Sequence[Entry]) -> None:
    """Check that classes made of one entry's events can be taken of another's."""
    first, *others = [(entry, events) for entry in entries for events in entry.events.values()]
    for entry, events in others:
        if not all(np.array_equal(events[name], first[1][name]) for name in ("user", "event")):
            raise BenchbaseError(f"leaderboard: '{first[0].label}' and '{entry.label}' on {entry.dataset} were "
                                 "evaluated on different events. Expected the same ones. Run both under one suite.")


def _twin(entries: Sequence[Entry], together: Entry) -> Entry | None:
    """The entry that is the baseline but for what it reads: of each target's own domain alone."""
    for entry in entries:
        if entry.good and (sequence := _choices(entry.good[0]).get("sequence")):
            same = {**_choices(entry.good[0]), "sequence": None} == {**_choices(together.good[0]), "sequence": None}
            window = (_choices(together.good[0]).get("sequence") or {}).get("window")
            same = same and sequence.get("window") == window
            if same and sequence["events"] == "own_domain" and not sequence.get("mislabelled"):
                return entry
    return None


def _choices(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.facts["configuration"].items() if name not in ("label", "ablate")}


def _found(entry: Entry, cutoff: int) -> dict[int, NDArray[np.bool_]]:
    """Seed -> whether each event's target is among the first `cutoff`, ties behind the others."""
    return {seed: events["above"] + events["tied"] < cutoff for seed, events in entry.events.items()}


def _targets(name: str, some: Mapping[int, NDArray[np.bool_]],
             shares: Mapping[str, Mapping[int, NDArray[np.float32]]]) -> Targets:
    means = {label: [float(each[some[seed]].mean(dtype=np.float64)) for seed, each in found.items()
                     if seed in some and some[seed].any()] for label, found in shares.items()}
    return Targets(name, fmean(int(each.sum()) for each in some.values()),
                   {label: fmean(each) if each else None for label, each in means.items()})
