"""Accuracy against what reading a sequence costs: operations, which no machine and no other load moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics import higher_is_better
from ..stats import Interval
from .table import TIED, Row


@dataclass(frozen=True)
class Cost:
    """An entry: a metric's mean and interval, operations and tokens of a sequence, events before its window and the
    tokens that stand for them (None without a compressor), and whether it is on the `front`: no other is as good for
    less, or better for as little.
    """

    label: str
    value: Interval
    flops: float
    tokens: float
    history: tuple[float, float] | None
    front: bool


def costs_of(rows: Sequence[Row], metric: str) -> tuple[Cost, ...]:
    """The entries whose records tell of operations, cheapest first; none unless these differ."""
    known = [(row, float(row.cost["flops_per_sequence"])) for row in rows
             if metric in row.metrics and row.cost.get("flops_per_sequence")]
    if len({flops for _, flops in known}) < 2:
        return ()
    sign = 1 if higher_is_better(metric) else -1
    front = unbeaten([(sign * row.metrics[metric].point, flops) for row, flops in known])
    found = [Cost(row.label, row.metrics[metric], flops, row.cost["tokens_per_sequence"], _history(row.cost), first)
             for (row, flops), first in zip(known, front, strict=True)]
    return tuple(sorted(found, key=lambda each: (each.flops, -sign * each.value.point, each.label)))


def unbeaten(worth: Sequence[tuple[float, float]]) -> list[bool]:
    """Of each (gain, price) whether no other gains as much for less, or more for as little."""
    return [not any(other >= gain - TIED and less <= price and (other > gain + TIED or less < price)
                    for other, less in worth) for gain, price in worth]


def _history(cost: Any) -> tuple[float, float] | None:
    events = cost.get("history_events_per_sequence")
    return None if events is None else (events, cost["history_tokens_per_sequence"])
