"""What followed what in the train part, and item vectors spread along it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchbase.data.sequences import Events


class Graph(nn.Module):
    """The mean of item vectors and of what stands up to `layers` steps ahead of them, along shares of transitions.

    Nothing is learned here; an item that nothing followed has zeros ahead.
    Source: C2DSR, graph neural network; the release's weights of layers are never used, its bias is left out.
    """

    edges: Tensor
    shares: Tensor

    def __init__(self, edges: np.ndarray, shares: np.ndarray, n_items: int, layers: int):
        super().__init__()
        self.n_items, self.layers = n_items, layers
        self.register_buffer("edges", torch.from_numpy(edges), persistent=False)  # (2, edges): from, to
        self.register_buffer("shares", torch.from_numpy(shares).float(), persistent=False)

    def forward(self, x: Tensor, drop: Callable[[Tensor], Tensor]) -> Tensor:
        """Vectors (N, w) of all items -> (N, w); `drop` acts before each step."""
        size = (self.n_items, self.n_items)
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]  # else it warns
            ahead = torch.sparse_coo_tensor(self.edges, self.shares.to(x.dtype), size, is_coalesced=True)
        total = x
        with torch.autocast(x.device.type, enabled=False):  # sparse products know no bfloat16
            for _ in range(self.layers):
                x = torch.sparse.mm(ahead, drop(x))
                total = total + x
        return total / (self.layers + 1)


def transitions(events: Events, n_items: int, domain: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Edges (2, m) int64 from item i + 1 to item j + 1, each once and in order, and the share of i's successors that
    are j (m,).

    `domain` (n_items + 1,): successors are then those in the events of the item's own domain, where it has one.
    """
    row, item = events.row, np.asarray(events.item, dtype=np.int64)
    if domain is not None:
        known = domain[item] >= 0
        row, item = row[known], item[known]
        order = np.lexsort((domain[item], row))  # stable: events of one domain stay in their order
        row, item = row[order], item[order]
    follows = row[1:] == row[:-1]
    if domain is not None:
        follows &= domain[item[1:]] == domain[item[:-1]]
    pairs, counts = np.unique((item[:-1][follows] - 1) * n_items + item[1:][follows] - 1, return_counts=True)
    edges = np.stack(np.divmod(pairs, n_items)).astype(np.int64)
    return edges, counts / np.bincount(edges[0], counts, minlength=n_items)[edges[0]]
