"""h(W) = trace exp(W o W) - T, 0 exactly where the graph of W has no cycle; for a batch, with its own backward.

Source: Zheng et al., DAGs with NO TEARS, NeurIPS 2018, theorem 1; the paper's eq. for L_DAG.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .relation import blocks

CPU_ELEMENTS = 2**17
"""Elements of matrices that are exponentiated together on a CPU, so that they stay in its cache."""

NORMS = {torch.float32: 1.0, torch.float64: 0.06}
"""Up to these norms the polynomial of degree 8 is exact to rounding."""

ROOT = 177**0.5
X1, X2, X3 = (1 + ROOT) / 132, (1 + ROOT) / 528, 2 / 3
X4, X5 = (29 * ROOT - 271) / 210, 11 * (ROOT - 1) / 840
X6, X7 = 11 * (ROOT - 9) / 3360, (89 - ROOT) / 2240
Y2 = (857 - 58 * ROOT) / 630
"""Taylor's polynomial of degree 8 in three products. Source: Bader, Blanes and Casas 2019, eq. (13)."""


def acyclicity(relation: Tensor, bound: float = 1.0, max_nodes: int = 1_000) -> Tensor:
    """h of each W of (B, T, T), shape (B).

    Where the norm of W o W is above `bound`, W o W is scaled down to it first, and h is that of the scaled matrix, with
    the scale held fixed: 0 for the same graphs, and finite. Over `max_nodes` events, cycles are looked for within
    consecutive blocks of them alone.
    """
    size = relation.shape[-1]
    if size <= max_nodes:
        return _TraceExp.apply(relation, bound)  # type: ignore[no-any-return, no-untyped-call]
    parts = [_TraceExp.apply(relation[:, block, block], bound)  # type: ignore[no-untyped-call]
             for block in blocks(size, max_nodes)]
    return torch.stack(parts).sum(dim=0)


class _TraceExp(torch.autograd.Function):
    """The gradient, exp(W o W)' o 2 W, is made in the forward pass, from the exponential at hand."""

    @staticmethod
    def forward(ctx: Any, relation: Tensor, bound: float) -> Tensor:
        rows, size, _ = relation.shape
        step = max(1, CPU_ELEMENTS // max(1, size * size)) if relation.device.type == "cpu" else max(1, rows)
        values = relation.new_empty(rows)
        gradient = relation.new_empty(relation.shape) if ctx.needs_input_grad[0] else None
        with torch.autocast(relation.device.type, enabled=False):
            for start in range(0, rows, step):
                part = slice(start, start + step)
                w = relation[part]
                squares, scale = _scaled(w * w, bound)
                made = exponential(squares)
                values[part] = made.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - size
                if gradient is not None:
                    torch.mul(made.transpose(-1, -2), w, out=gradient[part]).mul_(2 * scale)
        ctx.save_for_backward(gradient)
        return values.clamp_min_(0)  # less by rounding alone

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        gradient, = ctx.saved_tensors
        return gradient * grad[:, None, None], None


def _scaled(matrix: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Non-negative matrices with norms of at most `bound`, and what they were multiplied by, (B, 1, 1)."""
    norm = norms(matrix)
    scale = torch.where(norm > bound, bound / norm, 1.0)[:, None, None]
    return (matrix.mul_(scale) if bool((scale < 1).any()) else matrix), scale


def norms(matrix: Tensor) -> Tensor:
    """An upper limit of the spectral radius of each non-negative matrix: the largest sum of a row, or of a column."""
    if not matrix.shape[-1]:
        return matrix.new_zeros(len(matrix))
    return torch.minimum(matrix.sum(dim=-1).amax(dim=-1), matrix.sum(dim=-2).amax(dim=-1))


def exponential(matrix: Tensor) -> Tensor:
    """exp of each non-negative matrix of (B, T, T): a polynomial of the matrix over 2^s, squared s times."""
    largest = float(norms(matrix).max()) if matrix.numel() else 0.0
    near, times = NORMS[matrix.dtype], 0
    while largest > near * 2**times:
        times += 1
    a = matrix if times == 0 else matrix / 2**times
    a2 = a @ a
    a4 = a2 @ (X1 * a + X2 * a2)
    made = torch.baddbmm(a + Y2 * a2, torch.add(a4, a2, alpha=X3), _plus_identity(X5 * a + X6 * a2 + X7 * a4, X4))
    made = _plus_identity(made, 1.0)
    for _ in range(times):
        made = made @ made
    return made


def _plus_identity(matrix: Tensor, factor: float) -> Tensor:
    matrix.diagonal(dim1=-2, dim2=-1).add_(factor)
    return matrix
