"""Tables of vectors that the core owns: items (with the mask vector), actions, users."""

import torch
from torch import Tensor, nn

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

    def forward(self, items: Tensor, hide: Tensor | None = None) -> Tensor:
        """Vectors (..., D) of item ids; 0 for id 0, the hidden vector where `hide`."""
        x = nn.functional.embedding((items - 1).clamp_min(0), self.table)
        x = x * (items > 0).unsqueeze(-1)
        if hide is not None and self.hidden is not None:
            x = torch.where(hide.unsqueeze(-1), self.hidden, x)
        return x


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
