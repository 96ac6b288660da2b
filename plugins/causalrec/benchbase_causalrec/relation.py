"""The relation R between the events of a sequence: R[i, j] is what event j does to event i, 0 on the diagonal.

Rows are effects and columns causes, as rows attend and columns are attended to; the papers' W is its transpose. The
features of an event's hidden are the samples, the events are the variables. R[i, j] depends on what the hiddens i and j
depend on (`cov`, `bilinear`), or on those up to i (`sem`), so under a causal backbone no relation looks ahead.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SOLVED = 32
"""Triangular systems of at most this size are given to the library's solver."""


def standardised(h: Tensor, valid: Tensor) -> Tensor:
    """Each event's features with mean 0 and variance 1, 0 where there is no event; (B, T, D), float32 or wider.

    A layer norm without scale and shift: the covariances of its output are correlations.
    """
    wide = h if h.dtype == torch.float64 else h.float()
    return F.layer_norm(wide, wide.shape[-1:]) * valid.unsqueeze(-1)


def covariance(z: Tensor) -> Tensor:
    """Covariances (B, T, T) of the events over their features z (B, T, D), the diagonal set to 0. Source: eq. (7)."""
    return _Covariance.apply(z * z.shape[-1] ** -0.5)  # type: ignore[no-any-return, no-untyped-call]


def bilinear(z: Tensor, matrix: Tensor) -> Tensor:
    """(z M z')' / D without its diagonal, for M (D, D): a covariance that may have a direction."""
    return _OffDiagonal.apply(z, z @ matrix / z.shape[-1])  # type: ignore[no-any-return, no-untyped-call]


def coefficients(z: Tensor, ridge: float, max_nodes: int) -> Tensor:
    """Coefficients of a linear structural model in the order of time, (B, T, T): of event i on each event j < i.

    They belong to the covariance z z' / D + ridge I. Over `max_nodes` events are solved block by block.
    """
    if z.shape[1] <= max_nodes:
        return _solved(z, ridge)
    made = z.new_zeros(*z.shape[:2], z.shape[1])
    for block in blocks(z.shape[1], max_nodes):
        made[:, block, block] = _solved(z[:, block], ridge)
    return made


def strength(relation: Tensor, sign: str) -> Tensor:
    """How strong a relation counts, element by element: its size, its positive part, its square, or itself."""
    made: dict[str, Callable[[Tensor], Tensor]] = {"abs": torch.abs, "relu": torch.relu, "square": torch.square}
    return made[sign](relation) if sign in made else relation.clone()


def factor_of(relation: Tensor, sign: str, alpha: float) -> Tensor:
    """1 + alpha times the strength, with one tensor of that size made in each direction."""
    return _Factor.apply(relation, sign, alpha)  # type: ignore[no-any-return, no-untyped-call]


def blocks(size: int, most: int) -> list[slice]:
    """Consecutive parts of at most so many, counted from the oldest event."""
    return [slice(start, min(start + most, size)) for start in range(0, size, most)]


def _solved(z: Tensor, ridge: float) -> Tensor:
    return _Effects.apply(z * z.shape[-1] ** -0.5, ridge)  # type: ignore[no-any-return, no-untyped-call]


class _Factor(torch.autograd.Function):
    """The slope is made of the relation in the backward pass, so nothing but the relation is kept."""

    @staticmethod
    def forward(ctx: Any, relation: Tensor, sign: str, alpha: float) -> Tensor:
        ctx.save_for_backward(relation)
        ctx.sign, ctx.alpha = sign, alpha
        return strength(relation, sign).mul_(alpha).add_(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        relation, = ctx.saved_tensors
        if ctx.sign == "signed":
            return grad * ctx.alpha, None, None
        slopes: dict[str, Callable[[Tensor], Tensor]] = {
            "abs": torch.sgn, "relu": lambda r: (r > 0).to(r.dtype), "square": lambda r: 2 * r}
        return slopes[ctx.sign](relation).mul_(grad).mul_(ctx.alpha), None, None


class _Covariance(torch.autograd.Function):
    """x x' with a diagonal of 0; x (B, T, D). It is symmetric, so its gradient is too, and takes one product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        made = x @ x.transpose(-1, -2)
        made.diagonal(dim1=-2, dim2=-1).zero_()
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, = ctx.saved_tensors
        both = grad + grad.transpose(-1, -2)
        both.diagonal(dim1=-2, dim2=-1).zero_()
        out: Tensor = both @ x
        return out


class _OffDiagonal(torch.autograd.Function):
    """x y' with a diagonal of 0; x and y (B, T, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        made = x @ y.transpose(-1, -2)
        made.diagonal(dim1=-2, dim2=-1).zero_()
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        own = grad.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        return grad @ y - own * y, grad.transpose(-1, -2) @ x - own * x


class _Effects(torch.autograd.Function):
    """R = I - U of S = x x' + ridge I, where U is lower triangular with a diagonal of 1 and U S U' = E is diagonal.

    With S = L L' and D the diagonal of L, U = D L^-1 and E = D^2: row i of R regresses i on all before it. From
    dU = X U, X strictly lower, follows X E = -tril(U dS U', -1), so the gradient G of R gives S the gradient U' Q U
    with Q = tril(G U', -1) E^-1, and x the gradient U' (Q + Q') U x: one product of squares and three as narrow as x,
    where the library's way through Cholesky's factor solves four systems.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ridge: float) -> Tensor:
        covariances = x @ x.transpose(-1, -2)
        covariances.diagonal(dim1=-2, dim2=-1).add_(ridge)
        lower, failed = torch.linalg.cholesky_ex(covariances)
        diagonal = lower.diagonal(dim1=-2, dim2=-1).clone()
        diagonal.masked_fill_((failed > 0)[:, None], float("nan"))  # the loss then tells of divergence
        unit = inverse(lower).mul_(diagonal.unsqueeze(-1))
        ctx.save_for_backward(x, unit, diagonal.square_().unsqueeze(-2))
        made = -unit
        made.diagonal(dim1=-2, dim2=-1).zero_()
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, unit, noise = ctx.saved_tensors
        inner = _lower_times_upper(grad, unit.transpose(-1, -2)).tril_(-1).div_(noise)
        gradient: Tensor = unit.transpose(-1, -2) @ ((inner + inner.transpose(-1, -2)) @ (unit @ x))
        return gradient, None


def _lower_times_upper(left: Tensor, right: Tensor) -> Tensor:
    """The lower half of a product with upper triangular matrices (B, n, n): above the diagonal anything may stand."""
    half = left.shape[-1] // 2
    made = torch.zeros_like(left)
    made[:, :, :half] = left[:, :, :half] @ right[:, :half, :half]
    made[:, half:, half:] = left[:, half:] @ right[:, :, half:]
    return made


def inverse(lower: Tensor) -> Tensor:
    """Inverses of lower triangular matrices (B, n, n), by halves: faster than to solve for many columns at once."""
    size = lower.shape[-1]
    if size <= SOLVED:
        eye = torch.eye(size, dtype=lower.dtype, device=lower.device)
        solved: Tensor = torch.linalg.solve_triangular(lower, eye.expand_as(lower), upper=False)
        return solved
    first, last = slice(0, size // 2), slice(size // 2, size)
    made = torch.zeros_like(lower)
    made[:, first, first], made[:, last, last] = inverse(lower[:, first, first]), inverse(lower[:, last, last])
    made[:, last, first] = -made[:, last, last] @ (lower[:, last, first] @ made[:, first, first])
    return made
