"""Splits: which events a model learns from, and which events it is evaluated on.

Inputs of an evaluated event are all the user's earlier events, whatever their part; parameters learn from the train
part only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError, DataError, nearest
from ..specs import Config, defaults
from .catalogue import Catalogue
from .interactions import Interactions
from .rules import PARTS, SPLITS, TEST, TRAIN, UNUSED, VALID, SplitRule, resolve_split

__all__ = [
    "PARTS",
    "SPLITS",
    "TEST",
    "TRAIN",
    "UNUSED",
    "VALID",
    "Split",
    "SplitRule",
    "Stream",
    "Targets",
    "resolve_split",
    "split",
]

Targets = Literal["next", "each"]


@dataclass(frozen=True)
class Stream:
    """The periods in which a test part is predicted, then learned from, and what is retained from before.

    `period` (n_events,) int32: from 0, or -1 before the stream. `retained_events`: as the other events to evaluate;
    they are never learned from.
    """

    period: np.ndarray
    n_periods: int
    retained_events: np.ndarray


@dataclass(frozen=True)
class Split:
    """A division of events into parts, and the events to evaluate.

    `part` (n_events,) uint8: 0 train, 1 valid, 2 test, 3 unused (read, never learned from). `valid_events`,
    `test_events`: rows of the interactions, int64, ascending; each has an earlier event of its user. `facts`: counts
    and shares for the card. `stream`: the periods of a test part that is learned from.
    """

    part: np.ndarray
    valid_events: np.ndarray
    test_events: np.ndarray
    facts: dict[str, Any]
    stream: Stream | None = None

    def events(self, part: str) -> np.ndarray:
        """The events to evaluate of a part: `valid`, `test`, or of a stream `retained`."""
        if part == "retained":
            assert self.stream is not None, "only what streams can be retained"
            return self.stream.retained_events
        return {"valid": self.valid_events, "test": self.test_events}[part]

    def at(self, period: int) -> "Split":
        """The split when a period begins: earlier ones train, this one is tested; after the last, none is."""
        stream = self.stream
        assert stream is not None, "only a stream has periods"
        part = self.part.copy()
        part[(stream.period >= 0) & (stream.period < period)] = TRAIN
        part[stream.period > period] = UNUSED
        tested = self.test_events[stream.period[self.test_events] == period]
        return Split(part, self.valid_events, tested, self.facts)


def split(
    interactions: Interactions,
    catalogue: Catalogue,
    how: str | Mapping[str, Any] | tuple[str, Config] = "global_time",
    targets: Targets = "next",
    seed: int = 0,
) -> Split:
    """Divide events and choose those to evaluate; `seed` is of what a split draws, the suite's `data_seed`.

    `targets`: `next`, each user's first event of a part, or of each period of a stream; `each`, all of them. An event
    without an earlier event of its user cannot be evaluated: it is left out and counted. Errors: `Refusal` where the
    data lacks what the split needs, `DataError` where a part that is needed comes out empty.
    """
    if targets not in ("next", "each"):
        raise ConfigError([f"targets: no such choice {targets!r}. {nearest(targets, ('next', 'each'))}"])
    rule, config = resolve_split(how)
    part, facts = rule.divide(interactions, config, seed)
    _check_parts(part, rule, config)
    first = interactions.offsets[:-1][np.diff(interactions.offsets) > 0]
    period, asked = None, {"valid": part == VALID, "test": part == TEST}
    if rule.follow is not None:
        period, asked["retained"] = rule.follow(interactions, config)
    chosen = {name: _events(interactions, which, targets, period) for name, which in asked.items()}
    kept = {name: events[~np.isin(events, first)] for name, events in chosen.items()}
    if not len(kept["test"]):
        raise DataError(
            f"split {rule.name}: no test event has an earlier event of its user. Expected at least one. "
            "Keep users with more events, or cut later."
        )
    facts = {
        "name": rule.name,
        "config": defaults(config),
        "targets": targets,
        **facts,
        **_facts(interactions, part, chosen, kept),
    }
    stream = None if period is None else Stream(period, int(period.max()) + 1, kept["retained"])
    return Split(part, kept["valid"], kept["test"], facts, stream)


def _check_parts(part: np.ndarray, rule: SplitRule, config: Config) -> None:
    sizes = np.bincount(part, minlength=len(PARTS))
    wanted = [TRAIN, TEST] if getattr(config, "valid", 1) == 0 else [TRAIN, VALID, TEST]
    for value in wanted:
        if not sizes[value]:
            raise DataError(
                f"split {rule.name}: the {PARTS[value]} part is empty. Expected events in train, valid and "
                "test. Choose other fractions or cut-off dates, or keep more users with more events."
            )


def _events(interactions: Interactions, which: np.ndarray, targets: Targets, period: np.ndarray | None) -> np.ndarray:
    """Events of a part, `which` (n_events,) bool, or the first of each user and period; ascending rows, int64."""
    rows = np.flatnonzero(which)
    if targets == "each" or not len(rows):
        return rows
    user = np.searchsorted(interactions.offsets, rows, side="right")
    fresh = user[1:] != user[:-1]
    if period is not None:
        fresh |= period[rows[1:]] != period[rows[:-1]]
    return rows[np.concatenate(([True], fresh))]


def _facts(
    interactions: Interactions,
    part: np.ndarray,
    chosen: Mapping[str, np.ndarray],
    kept: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    users = {name: np.searchsorted(interactions.offsets, rows, side="right") for name, rows in kept.items()}
    leak = leak_share(interactions, part, kept["test"])
    warnings = []
    if isinstance(leak, float) and leak > 0:
        warnings.append(f"{leak:.2%} of training events are later than some test event: models learn from the future")
    return {
        "events": dict(zip(PARTS, np.bincount(part, minlength=len(PARTS)).tolist(), strict=True)),
        "evaluated": {name: len(rows) for name, rows in kept.items()},
        "users": {name: len(np.unique(each)) for name, each in users.items()},
        "without_history": {name: len(chosen[name]) - len(kept[name]) for name in chosen},
        "leak_share": leak,
        "cold_share": {name: cold_share(interactions, part, rows) for name, rows in kept.items()},
        "warnings": warnings,
    }


def leak_share(interactions: Interactions, part: np.ndarray, test_events: np.ndarray) -> float | str:
    """Share of training events later than some test event, or "not known" without timestamps."""
    time = interactions.timestamp
    if time is None:
        return "not known"
    train = part == TRAIN
    later = np.count_nonzero(time[train] > time[test_events].min())
    return int(later) / int(np.count_nonzero(train))


def cold_share(interactions: Interactions, part: np.ndarray, events: np.ndarray) -> float | None:
    """Share of evaluated events whose item never occurs in the train part; None without such events."""
    if not len(events):
        return None
    item = interactions.item
    known = np.zeros(int(item.max()) + 1, bool)
    known[item[part == TRAIN]] = True
    return float(1 - known[item[events]].mean())
