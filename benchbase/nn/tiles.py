"""Attention scores in blocks that stay in cache: what the kernels of our own share."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

QUERIES = 64
"""Queries taken at a time under the causal triangle: the keys after a block of them are never computed."""

CPU_SCORES = 2**17
"""Scores a CPU thread holds at a time, so that they stay in its cache from the first product to the last."""

SCORES = 2**25
"""Scores held at a time on other devices: a bound on memory."""


class Tile(NamedTuple):
    """Some rows, some of their queries, and the keys that come into question for these."""

    rows: slice
    queries: slice
    keys: slice

    def of(self, x: Tensor) -> Tensor:
        """The tile's part of a tensor (1 or B, 1 or H, 1 or S, 1 or S)."""
        at = (self.rows, slice(None), self.queries, self.keys)
        return x[tuple(slice(None) if size == 1 else part for size, part in zip(x.shape, at, strict=True))]

    def scores(self, q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
        """Products of the tile's queries and keys, the bias added."""
        scores = q[self.rows, :, self.queries] @ k[self.rows, :, self.keys].transpose(-1, -2)
        if bias is not None:
            scores += self.of(bias)
        return scores

    def later(self, scores: Tensor) -> Tensor:
        """Which of the last keys come after their query, (queries, queries) bool; those before are never later."""
        size = self.queries.stop - self.queries.start
        return torch.ones(size, size, dtype=torch.bool, device=scores.device).triu(1)


def tiles(shape: torch.Size, causal: bool, device: torch.device) -> Iterator[Tile]:
    """All scores of queries (B, H, S, Dk), in tiles that fit what may be held at a time."""
    rows, heads, size, _ = shape
    most = CPU_SCORES * torch.get_num_threads() if device.type == "cpu" else SCORES
    for first in range(0, size, QUERIES if causal else max(size, 1)):
        queries = slice(first, min(first + QUERIES, size) if causal else size)
        keys = slice(0, queries.stop)
        step = max(1, most // max(1, heads * (queries.stop - first) * keys.stop))
        for row in range(0, rows, step):
            yield Tile(slice(row, min(row + step, rows)), queries, keys)


def packed(x: Tensor, factor: float = 1.0) -> Tensor:
    """x times the factor, one head after the other in memory, as the products want it."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return x.contiguous() if factor == 1.0 else torch.mul(x, factor, out=out)


def add_to(whole: Tensor, tile: Tile, part: Tensor) -> None:
    """Add a tile's part to a gradient, summed where all share one entry."""
    into = tile.of(whole)
    into += part.sum_to_size(into.shape)
