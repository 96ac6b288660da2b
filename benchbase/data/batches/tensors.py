"""Batch and Targets: what happened, and, kept apart from it, what must be predicted."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


class _Tensors:
    """A frozen group of tensors that can move to a device as one."""

    def to(self, device: torch.device | str) -> Self:
        """The same group on `device`."""
        moved = {f.name: _move(getattr(self, f.name), device) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **moved)  # type: ignore[type-var]


def _move(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    return value.to(device) if hasattr(value, "to") else value


@dataclass(frozen=True)
class History(_Tensors):
    """Events older than the window, ragged: row b has positions offsets[b]:offsets[b + 1], oldest first."""

    offsets: Tensor
    items: Tensor
    timestamps: Tensor


@dataclass(frozen=True)
class Batch(_Tensors):
    """What happened, one row per sequence, right-padded to the longest; valid positions never see padding.

    Shapes: users (B), items, timestamps, query_times, domains (B, T), actions (B, T, A), lengths (B),
    features (B, T, F), hide_item, hide_action, candidate (B, T) bool. Items are 1..n_items and 0 where
    padded or hidden; domains are -1 where unknown or hidden; times are 0 without timestamps.
    """

    users: Tensor
    items: Tensor
    timestamps: Tensor
    query_times: Tensor
    domains: Tensor
    actions: Tensor
    lengths: Tensor
    features: Tensor
    hide_item: Tensor
    hide_action: Tensor
    candidate: Tensor
    history: History | None = None
    plan: Any = None

    @property
    def n_rows(self) -> int:
        return self.items.shape[0]

    @property
    def valid(self) -> Tensor:
        """Positions that hold an event, (B, T) bool."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]


@dataclass(frozen=True)
class Targets(_Tensors):
    """What must be predicted: P supervised events, flat; made by the core alone.

    Shapes: row, event (P) int64 (the predicted event's index in its row; it may be one past the last),
    item (P) int64, actions (P, A), in the action task the labels (P, K) of those that are predicted, weights (P),
    marks (P, M) of the predicted events, or None where the data has none,
    negatives (P, k), (B, k), (k) or None, log_q (P) and log_q_negatives like negatives, the log-probability under the
    law that drew them: given that it is not the positive, where that was removed from each position's draw.
    """

    task: str
    row: Tensor
    event: Tensor
    item: Tensor
    actions: Tensor
    weights: Tensor
    negatives: Tensor | None = None
    log_q: Tensor | None = None
    log_q_negatives: Tensor | None = None
    marks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.row)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` (P) under the weights; weights that sum to 0 give 0."""
        return (values * self.weights).sum() / self.weights.sum().clamp_min(torch.finfo(values.dtype).tiny)
