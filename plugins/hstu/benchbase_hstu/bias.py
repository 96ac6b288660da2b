"""Relative biases: how far back a key lies, in positions and in time, looked up in tables that a block learns."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase.nn import Kind, Tokens, init_normal

BUCKETS = 129
"""Entries of the time table."""

BUCKET_WIDTH = 0.301
"""Width of a bucket in log seconds."""

CELLS = 2**16
"""Gaps put into buckets at a time, so that they stay in the processor's cache."""


class Cells(NamedTuple):
    """Where every pair of events looks, made once for all blocks: int32 (1 or B, E, E), queries first.

    Each row of `positions` and of `gaps` points into a copy of the table of its own; `n_prefix` tokens that are no
    event stand before the E events.
    """

    positions: Tensor
    gaps: Tensor | None
    n_prefix: int


def cells(tokens: Tokens, n_positions: int, time_ref: str) -> Cells:
    """The cells of a batch's tokens; positions are below `n_positions`, and mostly the same in all rows."""
    position = tokens.position[:, tokens.n_prefix :].int()
    if bool((position == position[:1]).all()):
        position = position[:1]
    apart = position[:, None, :] - position[:, :, None] + n_positions - 1
    gaps = None if time_ref == "none" else _of_own_copy(_gaps(tokens, time_ref), BUCKETS)
    return Cells(_of_own_copy(apart, 2 * n_positions - 1), gaps, tokens.n_prefix)


def _of_own_copy(cell: Tensor, size: int) -> Tensor:
    """Cells (R, E, E) of one table as cells of R copies of it, one after the other."""
    return cell.add_(size * torch.arange(len(cell), dtype=cell.dtype, device=cell.device)[:, None, None])


def _gaps(tokens: Tokens, time_ref: str) -> Tensor:
    """Buckets (B, E, E) of the time from each key's event to when a query asks."""
    happened, asked = tokens.timestamp, tokens.query_time if time_ref == "next" else tokens.timestamp
    if tokens.per_event > 1:  # the item of a pair asks for its own action, at its own time
        asked = torch.where(tokens.kind == Kind.ITEM, happened, asked)
    return buckets(asked[:, tokens.n_prefix :], happened[:, tokens.n_prefix :])


def buckets(asked: Tensor, happened: Tensor) -> Tensor:
    """floor(ln(max(|asked - happened|, 1)) / 0.301), at most 128: int32 (B, E, E) from seconds (B, E)."""
    asked, happened = asked.double(), happened.double()  # exact, and quicker to subtract than whole numbers
    rows, size = asked.shape
    found = torch.empty(rows, size, size, dtype=torch.int32, device=asked.device)
    step = max(1, CELLS // max(1, size * size)) if asked.device.type == "cpu" else max(rows, 1)
    for row in range(0, rows, step):
        some = slice(row, row + step)
        gap = (asked[some, :, None] - happened[some, None, :]).float()
        found[some] = gap.abs_().clamp_(min=1).log_().div_(BUCKET_WIDTH).clamp_(max=BUCKETS - 1)
    return found


class RelativeBias(nn.Module):
    """One block's tables: 2N - 1 relative positions and, with time, 129 buckets of gaps; all heads share them.

    Source: Zhai et al. 2024, section 3.2 and the official code.
    """

    def __init__(self, n_positions: int, time: bool):
        super().__init__()
        self.positions = nn.Parameter(init_normal(torch.empty(2 * n_positions - 1)))
        self.gaps = nn.Parameter(init_normal(torch.empty(BUCKETS))) if time else None

    def forward(self, at: Cells) -> Tensor:
        """Biases (1 or B, 1, S, S), queries first; 0 where either token is no event."""
        bias = _look_up(self.positions, at.positions)
        if self.gaps is not None and at.gaps is not None:
            bias = _look_up(self.gaps, at.gaps).add_(bias)
        return F.pad(bias, (at.n_prefix, 0, at.n_prefix, 0)).unsqueeze(1) if at.n_prefix else bias.unsqueeze(1)


def _look_up(table: Tensor, at: Tensor) -> Tensor:
    """Entries (R, E, E) of R copies of a table.

    Gradients of copies are summed apart and then together: one sum over all pairs of a batch would lose digits. With
    one index to select by, torch adds them up in a plain loop, which indexing and `embedding` do not.
    """
    copies = table.expand(len(at), -1).reshape(-1)
    return copies.index_select(0, at.flatten()).view(at.shape)
