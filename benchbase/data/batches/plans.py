"""Plans: what a compressor decided for some rows, and the memory of it, so that a row is planned once."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import PluginError
from ..sequences import Events

ROOM = 256 * 2**20
"""Bytes of plans that are kept; what does not fit is planned anew in each epoch."""
ENTRY = 300
"""Bytes that a row takes beside its plan, about."""


class Planner(Protocol):
    """A compressor as the data side sees it."""

    max_tokens: int

    def plan(self, history: Events, window: Events, budget: int) -> Any: ...


@dataclass(frozen=True)
class Plan:
    """What a compressor decided for some rows, integers only, the same for a row whatever rows stand beside it.

    tokens (B,): prefix tokens of each row; displaced (B,): oldest window events that give way; latest
    (B, max_tokens) int64: latest timestamp each token uses; `arrays`: whatever `encode` reads, by name, (B, ...) each,
    with 0 where there is nothing: they are filled up with it where rows of several plans come together.
    """

    tokens: np.ndarray
    displaced: np.ndarray
    latest: np.ndarray
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def columns(self) -> dict[str, np.ndarray]:
        """Every array by name."""
        return {"tokens": self.tokens, "displaced": self.displaced, "latest": self.latest, **self.arrays}

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self.columns().values())

    def to(self, device: torch.device | str) -> "DevicePlan":
        """The same plan as tensors on `device`, `latest` cut to the most tokens of a row."""
        most = int(self.tokens.max(initial=0))
        return DevicePlan(
            torch.as_tensor(self.tokens, device=device),
            torch.as_tensor(self.latest[:, :most], device=device),
            {name: torch.as_tensor(array, device=device) for name, array in self.arrays.items()},
        )


@dataclass(frozen=True)
class DevicePlan:
    """A plan on the device of the model: tokens (B), latest (B, K), arrays by name; K is the most tokens of a row."""

    tokens: Tensor
    latest: Tensor
    arrays: Mapping[str, Tensor]

    def to(self, device: torch.device | str) -> "DevicePlan":
        moved = {name: array.to(device) for name, array in self.arrays.items()}
        return DevicePlan(self.tokens.to(device), self.latest.to(device), moved)

    @property
    def used(self) -> Tensor:
        """Which of the K tokens a row has, (B, K) bool."""
        return torch.arange(self.latest.shape[1], device=self.tokens.device) < self.tokens[:, None]


class Plans:
    """Asks a compressor for plans and keeps them, by row, while there is room.

    Errors: `PluginError` for a plan that breaks the contract.
    """

    def __init__(self, compressor: Planner, room: int = ROOM):
        self.compressor, self.room = compressor, room
        self._kept: dict[Hashable, tuple[Plan, int]] = {}

    def of(self, keys: Sequence[Hashable], ask: Callable[[np.ndarray], Plan]) -> Plan:
        """The plan of rows that `keys` name; `ask` plans those at some indices. Equal keys must mean equal rows."""
        missing = np.array([at for at, key in enumerate(keys) if key not in self._kept], np.int64)
        fresh = self.checked(ask(missing), len(missing)) if len(missing) or not keys else None
        if fresh is not None and len(missing) == len(keys):
            self._keep(fresh, keys)
            return fresh
        found = [self._kept.get(key) for key in keys]
        if fresh is not None:
            self._keep(fresh, [keys[at] for at in missing])
            for row, at in enumerate(missing):
                found[at] = fresh, row
        return _joined([each for each in found if each is not None])

    def checked(self, plan: Plan, rows: int) -> Plan:
        """The plan, if it has the form it must have."""
        where, most = type(self.compressor).__name__, self.compressor.max_tokens
        if not isinstance(plan, Plan):
            raise PluginError(f"{where}: plan returned a {type(plan).__name__}. Expected a benchbase.nn.Plan.")
        wanted: dict[str, tuple[int, ...]] = {"tokens": (rows,), "displaced": (rows,), "latest": (rows, most)}
        for name, column in plan.columns().items():
            if not np.issubdtype(column.dtype, np.integer):
                raise PluginError(f"{where}: its plan has {name} of {column.dtype}. Expected integers.")
            shape = wanted.get(name, (rows, *column.shape[1:]))
            if column.shape != shape:
                raise PluginError(f"{where}: its plan has {name} of shape {column.shape}. Expected {shape}: an entry "
                                  f"for each row{', of max_tokens each' if name == 'latest' else ''}.")
        if rows and (count := int(plan.tokens.max())) > most:
            raise PluginError(f"{where}: its plan has {count} tokens for a row. Expected at most max_tokens: {most}.")
        for name in ("tokens", "displaced"):
            if rows and (least := int(plan.columns()[name].min())) < 0:
                raise PluginError(f"{where}: its plan has {least} {name} for a row. Expected 0 or more.")
        return plan

    def _keep(self, plan: Plan, keys: Sequence[Hashable]) -> None:
        size = plan.nbytes + ENTRY * len(plan)
        if size <= self.room:
            self.room -= size
            self._kept.update((key, (plan, row)) for row, key in enumerate(keys))


def _joined(rows: Sequence[tuple[Plan, int]]) -> Plan:
    """One plan of rows out of several."""
    first, _ = rows[0]
    columns = {name: _stacked([plan.columns()[name][row] for plan, row in rows]) for name in first.columns()}
    return Plan(columns.pop("tokens"), columns.pop("displaced"), columns.pop("latest"), columns)


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows as one array, the smaller filled up with 0."""
    shapes = {row.shape for row in rows}
    if len(shapes) == 1:
        return np.stack(rows)
    whole = np.zeros((len(rows), *(max(sizes) for sizes in zip(*shapes, strict=True))), rows[0].dtype)
    for at, row in enumerate(rows):
        whole[at][tuple(map(slice, row.shape))] = row
    return whole
