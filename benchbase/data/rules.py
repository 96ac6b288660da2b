"""Rules: the ways to divide events into train, valid and test, and the parameters of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ..errors import ConfigError, DataError, Refusal, nearest
from ..specs import Config
from .draws import derive_seed
from .interactions import Interactions
from .order import hash_ids

TRAIN, VALID, TEST, UNUSED = range(4)
PARTS = ("train", "valid", "test", "unused")
"""Unused are events that are neither learned from nor evaluated; later events of their user read them all the same."""

Division = tuple[np.ndarray, dict[str, Any]]
"""The part of every event, (n,) uint8, and what the rule adds to the split's facts."""

Periods = tuple[np.ndarray, np.ndarray]
"""Of every event the period of the stream, from 0, or -1 before it, (n,) int32, and whether it is retained, bool."""


@dataclass(frozen=True)
class SplitRule:
    """A way to divide: its name in a suite, its parameters, and the function that divides.

    `divide(interactions, config, seed)` draws from nothing but the seed. A user's train events are the oldest of the
    user. `new_users`: nothing is learned from those that are evaluated. `follow(interactions, config)`: where the test
    part is a stream, in which periods it comes.
    """

    name: str
    config: type[Config]
    divide: Callable[[Interactions, Any, int], Division]
    new_users: bool = False
    follow: Callable[[Interactions, Any], Periods] | None = None


def _seconds(value: Any) -> Any:
    """Unix seconds out of an ISO date (midnight UTC unless it names another zone) or a number."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no ISO date. Expected for example 2019-06-30 or Unix seconds.") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    return value


Moment = Annotated[int, BeforeValidator(_seconds)]


class Fractions(Config):
    """Shares of events kept for evaluation."""

    valid: float = Field(0.1, ge=0, lt=1, description="Share of events in the valid part")
    test: float = Field(0.1, gt=0, lt=1, description="Share of events in the test part")

    @model_validator(mode="after")
    def _leave_some(self) -> "Fractions":
        if self.valid + self.test >= 1:
            raise ValueError(
                f"valid {self.valid} and test {self.test} leave nothing to train on. Expected a sum below 1."
            )
        return self


class GlobalTime(Fractions):
    """One cut in time for all users: shares of events, or the moments at which the valid and test parts begin."""

    valid_from: Moment | None = Field(None, description="First moment of the valid part: ISO date or Unix seconds")
    test_from: Moment | None = Field(None, description="First moment of the test part: ISO date or Unix seconds")

    @model_validator(mode="after")
    def _both_moments(self) -> "GlobalTime":
        if (self.valid_from is None) != (self.test_from is None):
            raise ValueError("only one of valid_from and test_from is given. Expected both or neither.")
        if self.valid_from is not None and self.test_from is not None and self.valid_from > self.test_from:
            raise ValueError("valid_from is later than test_from. Expected the valid part before the test part.")
        return self


class RandomExposure(GlobalTime):
    """global_time, where only events that were shown at random are evaluated: what the recommender of the log chose to
    show has no say. A column of marks or features says which: 1 where an event was.

    Of tasks [action] this is an unbiased sample of what users do with what they are shown. Of next_item it is one only
    where the log holds what was liked alone; else the target is what was drawn.
    """

    column: str = Field("random", min_length=1, description="Mark or feature of events that is 1 where at random")


class Prequential(Fractions):
    """One cut in time for all users, and after it a stream in periods: each is predicted, then learned from.

    What is learned from the stream is every event of a period, none before it was predicted, by steps of SGD with
    momentum: v = momentum v + gradient, parameters less lr v. Events between the valid part and the stream are
    retained: never learned from, they tell after each period how much is still known of before.
    Source: Dawid 1984, Statistical theory: the prequential approach.
    """

    valid: float = Field(0.05, ge=0, lt=1, description="Share of events in the valid part")
    test: float = Field(0.5, gt=0, lt=1, description="Share of events in the stream, the test part")
    retained: float = Field(0.05, ge=0, lt=1, description="Share of events before it that tell what is forgotten")
    periods: int = Field(10, ge=1, le=1000, description="Stretches of the stream, of about equally many events")
    lr: float = Field(1e-3, gt=0, le=1e6, description="Learning rate of the steps in the stream, η")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of these steps, γ")
    batch: int = Field(128, ge=1, le=10**9, description="Sequences in such a step")
    epochs: int = Field(1, ge=1, le=10_000, description="Passes over the events of a period")

    @model_validator(mode="after")
    def _leave_some_before(self) -> "Prequential":
        if self.valid + self.retained + self.test >= 1:
            raise ValueError(f"valid {self.valid}, retained {self.retained} and test {self.test} leave nothing to "
                             "train on. Expected a sum below 1.")
        return self


class LeaveOneOut(Config):
    """Each user's last event is test, the one before valid, for users with at least three events."""


class LeaveLast(Config):
    """Each user's last events, so many, are test, those before valid; users without one more to train on only train."""

    valid: int = Field(1, ge=0, description="Events of a user in the valid part")
    test: int = Field(1, ge=1, description="Events of a user in the test part, the last")


class TemporalRatio(Fractions):
    """Each user's last events are test, those before valid: at least one each for users with three events or more."""


class UserHoldout(Fractions):
    """Some users are held out whole: all others train, and of theirs the latest events are valid or test."""

    valid: float = Field(0.1, ge=0, lt=1, description="Share of users held out for the valid part")
    test: float = Field(0.1, gt=0, lt=1, description="Share of users held out for the test part")
    context: float = Field(0.8, gt=0, lt=1, description="Share of a held-out user's events that are only read")


def global_time(interactions: Interactions, config: GlobalTime, seed: int) -> Division:
    """Events from `test_from` on are test, from `valid_from` on valid, earlier ones train, whoever's they are."""
    time = _needed_times(interactions, "global_time")
    if config.valid_from is not None and config.test_from is not None:
        valid_from, test_from = config.valid_from, config.test_from
    else:
        valid_from, test_from = _cuts(time, config)
    part = (time >= valid_from).astype(np.uint8)
    part += time >= test_from
    return part, {"valid_from": int(valid_from), "test_from": int(test_from)}


def random_exposure(interactions: Interactions, config: RandomExposure, seed: int) -> Division:
    """As global_time; of the later parts those events alone that were shown at random, the rest is unused."""
    shown = _shown_at_random(interactions, config.column)
    part, facts = global_time(interactions, config, seed)
    for value in (VALID, TEST):
        if (part == value).any() and not (shown & (part == value)).any():
            none = ", or choose valid: 0" if value == VALID else ""
            raise DataError(f"split random_exposure: {config.column} is 1 in no event of the {PARTS[value]} part, in "
                            f"{np.count_nonzero(shown):,} events in all. Expected some. Cut elsewhere, or name another "
                            f"column{none}.")
    part[(part != TRAIN) & ~shown] = UNUSED
    return part, {**facts, "shown_at_random": int(np.count_nonzero(shown & (part != TRAIN)))}


def prequential(interactions: Interactions, config: Prequential, seed: int) -> Division:
    """Train, valid, retained (unused) and the stream, test, by time, whoever's events they are."""
    time, starts = _needed_times(interactions, "prequential"), _starts(interactions, config)
    stage = np.searchsorted(starts[:3], time, side="right")
    part = np.array([TRAIN, VALID, UNUSED, TEST], np.uint8)[stage]
    valid_from, retained_from, *period_from = starts.tolist()
    return part, {"valid_from": valid_from, "retained_from": retained_from, "test_from": period_from[0],
                  "period_from": period_from}


def periods_of(interactions: Interactions, config: Prequential) -> Periods:
    """The periods of the stream, and the events right before it that are retained."""
    time, starts = _needed_times(interactions, "prequential"), _starts(interactions, config)
    period = np.searchsorted(starts[2:], time, side="right").astype(np.int32) - 1
    return period, np.asarray((time >= starts[1]) & (period < 0))


def _starts(interactions: Interactions, config: Prequential) -> np.ndarray:
    """When the valid part, what is retained and each period begin, (2 + periods,); events of one time stay together."""
    time = _needed_times(interactions, "prequential")
    n = len(time)
    n_test = min(n - 1, max(config.periods, round(n * config.test)))
    later = [n_test + round(n * (config.valid + config.retained)), n_test + round(n * config.retained),
             *(n_test - np.arange(config.periods) * n_test // config.periods)]
    place = np.maximum(1, n - np.array(later))
    starts = np.partition(time, np.unique(place))[place]
    if (np.diff(starts[2:]) <= 0).any():
        raise DataError(f"split prequential: {config.periods} periods of {n_test:,} events would begin at "
                        f"{len(np.unique(starts[2:]))} different times. Expected as many. Ask for fewer periods.")
    if config.retained and starts[1] == starts[2]:
        raise DataError("split prequential: no event is retained before the stream begins. Expected some. Choose a "
                        "larger share, or retained: 0.")
    return np.asarray(starts, np.int64)


def _needed_times(interactions: Interactions, split: str) -> np.ndarray:
    if interactions.timestamp is None:
        raise Refusal(
            f"split {split}: the data set has no timestamps. Expected a time for every event. "
            "Use leave_one_out, temporal_ratio or user_holdout, which need only an order."
        )
    return interactions.timestamp


def _shown_at_random(interactions: Interactions, column: str) -> np.ndarray:
    """The events whose mark, or feature, of this name is 1, (n,) bool."""
    names = (*interactions.mark_names, *interactions.feature_names)
    if column not in names:
        known = nearest(column, names, "Columns") if names else "Expected one that says so. Use global_time."
        raise Refusal(f"split random_exposure: events have no column '{column}'. {known}")
    if column in interactions.mark_names:
        return np.asarray(interactions.mark(column) == 1)
    return np.asarray(interactions.features[:, interactions.feature_names.index(column)] == 1)


def _cuts(time: np.ndarray, config: Fractions) -> tuple[int, int]:
    """The times at which the last `test` and `valid + test` of all events begin; ties at a cut fall after it."""
    n = len(time)
    n_test = max(1, round(n * config.test))
    n_later = min(n - 1, n_test + round(n * config.valid))
    ordered = np.partition(time, sorted({n - n_later, n - n_test}))
    return int(ordered[n - n_later]), int(ordered[n - n_test])


def leave_one_out(interactions: Interactions, config: LeaveOneOut, seed: int) -> Division:
    """Two events at the end of each user of three or more; shorter users only train."""
    return leave_last(interactions, LeaveLast(), seed)


def leave_last(interactions: Interactions, config: LeaveLast, seed: int) -> Division:
    """So many events at the end of each user that has one more; shorter users only train."""
    long_enough = np.diff(interactions.offsets) > config.valid + config.test
    part = _at_the_end(interactions, long_enough * config.valid, long_enough * config.test)
    return part, {"users_too_short": int(np.count_nonzero(~long_enough))}


def temporal_ratio(interactions: Interactions, config: TemporalRatio, seed: int) -> Division:
    """Shares of each user's own events, rounded down but one at least, as of those to train on.

    Users of fewer than three only train.
    """
    size = np.diff(interactions.offsets)
    n_valid = np.maximum((size * config.valid).astype(np.int64), 1) if config.valid else np.zeros_like(size)
    n_valid = np.minimum(n_valid, size - 2)
    n_test = np.minimum(np.maximum((size * config.test).astype(np.int64), 1), size - n_valid - 1)
    part = _at_the_end(interactions, np.where(size >= 3, n_valid, 0), np.where(size >= 3, n_test, 0))
    return part, {"users_too_short": int(np.count_nonzero(size < 3))}


def _at_the_end(interactions: Interactions, n_valid: np.ndarray, n_test: np.ndarray) -> np.ndarray:
    """The part of every event where each user's last `n_test` are test and `n_valid` before them valid, (n_users,)."""
    part = np.full(interactions.n_events, TRAIN, np.uint8)
    stop = interactions.offsets[1:]
    for value, n in ((TEST, n_test), (VALID, n_valid)):
        start = stop - n
        before = np.cumsum(n) - n
        part[np.arange(n.sum()) + np.repeat(start - before, n)] = value
        stop = start
    return part


def user_holdout(interactions: Interactions, config: UserHoldout, seed: int) -> Division:
    """Shares of the users, those whose ids hash lowest under the seed; their oldest events are context, unused.

    At least one event of a held-out user is context and one is not, so that users of fewer than two only train.
    """
    size = np.diff(interactions.offsets)
    able = np.flatnonzero(size >= 2)
    n_valid, n_test = _held_out(len(able), config)
    ids = np.arange(interactions.n_users) if interactions.user_ids is None else interactions.user_ids
    order = able[np.argsort(hash_ids(ids, derive_seed(seed, "user_holdout"))[able], kind="stable")]
    later = np.full(interactions.n_users, TRAIN, np.uint8)
    later[order[:n_test]], later[order[n_test : n_test + n_valid]] = TEST, VALID
    n_context = np.clip((size * config.context).astype(np.int64), 1, size - 1)
    place = np.arange(interactions.n_events) - np.repeat(interactions.offsets[:-1], size)
    part = np.repeat(later, size)
    part[(place < np.repeat(n_context, size)) & (part != TRAIN)] = UNUSED
    return part, {"users_too_short": int(np.count_nonzero(size < 2)), "held_out": {"valid": n_valid, "test": n_test}}


def _held_out(n: int, config: Fractions) -> tuple[int, int]:
    """How many of n users are valid and test: at least one each where asked for, as long as one is left to train on."""
    n_test = min(max(1, round(n * config.test)), max(n - 1, 0))
    n_valid = max(1, round(n * config.valid)) if config.valid else 0
    return min(n_valid, max(n - n_test - 1, 0)), n_test


SPLITS: Mapping[str, SplitRule] = {
    rule.name: rule
    for rule in (
        SplitRule("global_time", GlobalTime, global_time),
        SplitRule("random_exposure", RandomExposure, random_exposure),
        SplitRule("prequential", Prequential, prequential, follow=periods_of),
        SplitRule("leave_one_out", LeaveOneOut, leave_one_out),
        SplitRule("leave_last", LeaveLast, leave_last),
        SplitRule("temporal_ratio", TemporalRatio, temporal_ratio),
        SplitRule("user_holdout", UserHoldout, user_holdout, new_users=True),
    )
}


def resolve_split(how: str | Mapping[str, Any] | tuple[str, Config]) -> tuple[SplitRule, Config]:
    """A split by name, as `{name: ..., parameter: ...}`, or as (name, config). Errors: `ConfigError`."""
    if isinstance(how, tuple):
        name, config = how
        return _rule(name), config
    given = {"name": how} if isinstance(how, str) else dict(how)
    rule = _rule(given.pop("name", None))
    try:
        return rule, rule.config.model_validate(given)
    except ValidationError as error:
        raise ConfigError(
            f"split {'.'.join([rule.name, *map(str, each['loc'])])}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ) from None


def _rule(name: Any) -> SplitRule:
    if name not in SPLITS:
        raise ConfigError([f"split: no split named {name!r}. {nearest(str(name), SPLITS)}"])
    return SPLITS[name]
