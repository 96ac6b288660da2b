"""Tables of vectors that the core owns: items (with the mask vector), actions, users."""

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Phase = Literal["train", "score"]

STD = 0.02
"""Standard deviation of the normal law that tables start from."""


def init_normal(table: Tensor) -> Tensor:
    """Fill with N(0, STD) in place."""
    return nn.init.normal_(table, std=STD)


def init_linear(*layers: nn.Linear) -> None:
    """N(0, STD) weights and zero biases."""
    for layer in layers:
        init_normal(layer.weight.data)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class Items(Protocol):
    """Where vectors of items come from: those of a forward pass, all made by the same parameters."""

    def items(self) -> Tensor:
        """The vectors of all items (n_items, D)."""

    def rows(self, items: Tensor) -> Tensor:
        """Vectors (k, D) of item ids (k), from 1 on."""

    def __call__(self, items: Tensor, hide: Tensor | None = None) -> Tensor:
        """Vectors (..., D) of item ids; 0 for id 0, the hidden vector where `hide`."""


class ItemEmbedding(nn.Module):
    """Vectors of items 1..n_items; row 0 pads and is always 0; one more vector stands for a hidden item."""

    def __init__(self, n_items: int, width: int, hidden: bool):
        super().__init__()
        self.n_items, self.width = n_items, width
        self.table = nn.Parameter(init_normal(torch.empty(n_items, width)))
        self.hidden = nn.Parameter(init_normal(torch.empty(width))) if hidden else None

    def items(self) -> Tensor:
        """The vectors of all items (n_items, D)."""
        return self.table

    def rows(self, items: Tensor) -> Tensor:
        """Vectors (k, D) of item ids (k), from 1 on; of the ways to pick rows the one with the cheapest backward."""
        return self.table.index_select(0, items - 1)

    def forward(self, items: Tensor, hide: Tensor | None = None) -> Tensor:
        """Vectors (..., D) of item ids; 0 for id 0, the hidden vector where `hide`."""
        x = nn.functional.embedding((items - 1).clamp_min(0), self.table)
        return self.finished(x, items, hide)

    def finished(self, x: Tensor, items: Tensor, hide: Tensor | None) -> Tensor:
        """Vectors (..., D) as they are read: 0 for id 0, the hidden vector where `hide`."""
        x = x * (items > 0).unsqueeze(-1)
        if hide is not None and self.hidden is not None:
            x = torch.where(hide.unsqueeze(-1), self.hidden, x)
        return x

    def bound(self, phase: Phase) -> Items:
        """The vectors of items in one forward pass, or in all for which the parameters stay as they are."""
        return self


class ActionEmbedding(nn.Module):
    """A vector for an event's actions: a linear map of its A values, and one vector for hidden actions."""

    def __init__(self, n_actions: int, width: int):
        super().__init__()
        self.map = nn.Linear(n_actions, width)
        self.hidden = nn.Parameter(init_normal(torch.empty(width)))
        init_linear(self.map)

    def forward(self, actions: Tensor) -> Tensor:
        """Vectors (B, T, D) of actions (B, T, A)."""
        return self.map(actions)  # type: ignore[no-any-return]


class UserEmbedding(nn.Module):
    """A vector per user, for layouts with a user token."""

    def __init__(self, n_users: int, width: int):
        super().__init__()
        self.table = nn.Parameter(init_normal(torch.empty(n_users, width)))

    def forward(self, users: Tensor) -> Tensor:
        """Vectors (B, D) of user rows (B)."""
        return nn.functional.embedding(users, self.table)
