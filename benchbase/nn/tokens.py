"""Tokens: what a backbone reads, made by the core's layout and shared with every attention site."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor


class Kind(IntEnum):
    """What a token stands for; those below ITEM stand before all events."""

    USER = 0
    HISTORY = 1
    PREFIX = 2
    ITEM = 3
    ACTION = 4
    JOINT = 5


@dataclass
class Tokens:
    """A sequence of S tokens per row, ordered user, compressor, prefixes, events.

    Shapes: x (B, S, D); event (B, S), -1 for none; kind, position (B, S), position -1 where there is no
    event; timestamp, query_time, domain (B, S), domain -1 matches all; segment (B, S); valid (B, S) bool.
    `n_prefix` tokens stand before the events; `per_event` tokens stand for one event.
    """

    x: Tensor
    event: Tensor
    kind: Tensor
    position: Tensor
    timestamp: Tensor
    query_time: Tensor
    domain: Tensor
    segment: Tensor
    valid: Tensor
    n_prefix: int = 0
    per_event: int = 1
    embed_actions: Callable[[], Tensor] | None = field(default=None, repr=False)
    _action: Tensor | None = field(default=None, repr=False)

    @property
    def action(self) -> Tensor:
        """The action vector of each token's event, (B, S, D); 0 where there is none or it is hidden."""
        if self._action is None:
            self._action = self._gather_actions()
        return self._action

    def _gather_actions(self) -> Tensor:
        if self.embed_actions is None:
            return self.x.new_zeros(()).expand_as(self.x)
        events = self.embed_actions().repeat_interleave(self.per_event, dim=1)
        before = events.new_zeros(len(events), self.n_prefix, events.shape[-1])
        return torch.cat([before, events], dim=1)


@dataclass(frozen=True)
class PrefixTokens:
    """Tokens put before the events by a modifier or a compressor.

    Shapes: x (B or 1, K, D); valid (B, K) bool or None for all; timestamp (B, K), the latest time used, or
    None for 0; domain (B or 1, K) or None for -1; segment: one number for all of them.
    """

    x: Tensor
    valid: Tensor | None = None
    timestamp: Tensor | None = None
    domain: Tensor | None = None
    segment: int = 1


@dataclass(frozen=True)
class States:
    """What the model knows, by event: `after` (B, T, D), `before` (B, T, the width of the readout).

    `after` event n predicts item n + 1; `before` knows item n but not action n. `own`: `after` of event
    n - 1 is stored at the hidden event n itself, as a masked backbone gives it.
    """

    after: Tensor | None
    before: Tensor | None
    own: bool = False

    def predicting_item(self, row: Tensor, event: Tensor) -> Tensor:
        """The states (P, D) that predict the items of these events."""
        assert self.after is not None
        return self.after[row, event if self.own else event - 1]

    def predicting_action(self, row: Tensor, event: Tensor) -> Tensor:
        """The states (P, D) that predict the actions of these events."""
        assert self.before is not None
        return self.before[row, event]
