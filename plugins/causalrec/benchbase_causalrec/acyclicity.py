"""h(W) = trace exp(W o W) - T, 0 exactly where the graph of W has no cycle, and the sum of |W|, of a batch at once.

Source: Zheng et al., DAGs with NO TEARS, NeurIPS 2018, theorem 1; h and |W| are the same for the transpose.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .relation import blocks

CPU_ELEMENTS = 2**17
"""Elements of matrices that are exponentiated together on a CPU, so that they stay in its cache."""

NORMS = {torch.float32: 1.0, torch.float64: 0.06}
"""Up to these norms the polynomial of degree 8 is within 2e-6 of the exponential, or exact to rounding (double)."""

ROOT = 177**0.5
X1, X2, X3 = (1 + ROOT) / 132, (1 + ROOT) / 528, 2 / 3
X4, X5 = (29 * ROOT - 271) / 210, 11 * (ROOT - 1) / 840
X6, X7 = 11 * (ROOT - 9) / 3360, (89 - ROOT) / 2240
Y2 = (857 - 58 * ROOT) / 630
"""Taylor's polynomial of degree 8 in three products. Source: Bader, Blanes and Casas 2019."""


def acyclicity(relation: Tensor, bound: float = 1.0, max_nodes: int = 1_000) -> Tensor:
    """h of each W of (B, T, T), shape (B): see `penalties`."""
    return penalties(relation, bound, max_nodes)[0]


def penalties(relation: Tensor, bound: float = 1.0, max_nodes: int = 1_000) -> tuple[Tensor, Tensor]:
    """h and the sum of |W| of each W of (B, T, T), both (B).

    Where the norm of W o W is above `bound`, W o W is scaled down to it first, and h is that of the scaled matrix, with
    the scale held fixed: 0 for the same graphs, and finite. Over `max_nodes` events, cycles are looked for within
    consecutive blocks of them alone.
    """
    found: tuple[Tensor, Tensor] = _Penalties.apply(relation, bound, max_nodes)  # type: ignore[no-untyped-call]
    return found


def sizes(relation: Tensor) -> Tensor:
    """The sum of |W| of each W of (B, T, T), shape (B): quicker than the library's norm."""
    return relation.abs().sum(dim=(1, 2))


class _Penalties(torch.autograd.Function):
    """The gradient of h, exp(W o W)' o 2 W, is made in the forward pass, from the exponential at hand."""

    @staticmethod
    def forward(ctx: Any, relation: Tensor, bound: float, max_nodes: int) -> tuple[Tensor, Tensor]:
        rows, size, _ = relation.shape
        h, edges = relation.new_zeros(rows), relation.new_empty(rows)
        gradient = None
        if ctx.needs_input_grad[0]:
            make = relation.new_zeros if size > max_nodes else relation.new_empty
            gradient = make(relation.shape)
        with torch.autocast(relation.device.type, enabled=False):
            for part in _chunks(relation):
                edges[part] = sizes(relation[part])
                for block in blocks(size, max_nodes):
                    w = relation[part, block, block]
                    made, scale = _exponential_of_squares(w, bound)
                    h[part] += made.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - w.shape[-1]
                    if gradient is not None:
                        torch.mul(made.transpose(-1, -2), w, out=gradient[part, block, block]).mul_(2 * scale)
        ctx.save_for_backward(relation, gradient)
        return h.clamp_min_(0), edges  # less by rounding alone

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_h: Tensor, to_edges: Tensor) -> tuple[Tensor, None, None]:
        relation, gradient = ctx.saved_tensors
        out = torch.empty_like(gradient)
        for part in _chunks(relation):
            torch.sgn(relation[part], out=out[part]).mul_(to_edges[part, None, None])
            out[part].addcmul_(gradient[part], to_h[part, None, None])
        return out, None, None


def _chunks(matrices: Tensor) -> list[slice]:
    """Rows that are worked on together."""
    most = CPU_ELEMENTS // max(1, matrices[:1].numel()) if matrices.device.type == "cpu" else len(matrices)
    return blocks(len(matrices), max(1, most))


def _exponential_of_squares(w: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """exp(s W o W) and s of each W of (B, T, T); s (B, 1, 1) is 1 unless the norm of W o W is above the bound."""
    squares = w * w
    norm = norms(squares)
    scale = torch.where(norm > bound, bound / norm, 1.0)
    if bool((scale < 1).any()):
        squares *= scale[:, None, None]
    return exponential(squares, float((norm * scale).max()) if len(w) else 0.0), scale[:, None, None]


def norms(matrix: Tensor) -> Tensor:
    """An upper limit of the spectral radius of each non-negative matrix: the largest sum of a row, or of a column."""
    if not matrix.shape[-1]:
        return matrix.new_zeros(len(matrix))
    return torch.minimum(matrix.sum(dim=-1).amax(dim=-1), matrix.sum(dim=-2).amax(dim=-1))


def exponential(matrix: Tensor, norm: float) -> Tensor:
    """exp of matrices (B, T, T) with norms up to `norm`: a polynomial of the matrix over 2^s, squared s times."""
    near, times = NORMS[matrix.dtype], 0
    while norm > near * 2**times:
        times += 1
    a = matrix if times == 0 else matrix / 2**times
    a2 = a @ a
    a4 = a2 @ torch.mul(a, X1).add_(a2, alpha=X2)
    right = _plus_identity(torch.mul(a, X5).add_(a2, alpha=X6).add_(a4, alpha=X7), X4)
    made = torch.add(a, a2, alpha=Y2).baddbmm_(a4.add_(a2, alpha=X3), right)
    made = _plus_identity(made, 1.0)
    for _ in range(times):
        made = made @ made
    return made


def _plus_identity(matrix: Tensor, factor: float) -> Tensor:
    matrix.diagonal(dim1=-2, dim2=-1).add_(factor)
    return matrix
