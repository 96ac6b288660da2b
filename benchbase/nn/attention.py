"""The one seam to attention kernels: every backbone calls `attend`, every modifier reaches it through sites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from .pointwise import pointwise
from .softmax import boosted

FUSED, FUSED_MASK, BLOCKWISE, EXPLICIT = "fused", "fused-mask", "blockwise", "explicit"
FUSED_SHIFTED = "fused-shifted"
"""The routes that attention can run: one kernel, one kernel with a folded mask, our own block by block, our own with
all weights at hand; one kernel on queries shifted by one."""


@dataclass(frozen=True)
class Attended:
    """Output (B, H, S, Dv), the route that ran, and the mass on groups of keys (B, H, S, G) if asked for."""

    out: Tensor
    route: str
    mass: Tensor | None = None


@dataclass(frozen=True)
class Boost:
    """A factor > 0 on attention weights, (1 or B, 1 or H, S, S); `renormalise` makes rows sum to 1 again."""

    factor: Tensor
    renormalise: bool = True


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    boosts: Sequence[Boost] = (),
    weights: Sequence[Callable[[Tensor], Tensor]] = (),
    groups: Tensor | None = None,
    scale: float | None = None,
    normaliser: float | None = None,
    drop: Callable[[Tensor], Tensor] | None = None,
) -> Attended:
    """Attention over S keys on the fastest route that gives the same numbers.

    Shapes: q, k (B, H, S, Dk); v (B, H, S, Dv); mask (1 or B, 1 or H, S, S) bool, True = may attend; bias
    like mask, finite, added to the scaled scores. `causal` stands for the lower triangle and adds to `mask`.
    `normaliser` given: pointwise attention, SiLU of the scores over it, instead of softmax. `drop`: dropout
    on the weights. A row that may attend to nothing gives zeros, in value and gradient.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if normaliser is not None:
        if weights or drop is not None:
            mask = _with_causal(mask, causal, q)
            return _explicit_pointwise(q, k, v, mask, bias, boosts, weights, scale, normaliser, drop)
        factor = _product([boost.factor for boost in boosts])
        return Attended(pointwise(q, k, v, mask, causal, bias, factor, scale, normaliser), BLOCKWISE)
    factor = _product([boost.factor for boost in boosts if not boost.renormalise])
    for boost in boosts:
        if boost.renormalise:
            log = boost.factor.log()
            bias = log if bias is None else bias + log
    if weights or drop is not None:
        return _explicit(q, k, v, _with_causal(mask, causal, q), bias, factor, weights, groups, scale, drop)
    learned = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    if factor is not None or (learned and q.device.type == "cpu"):  # where no fused kernel learns a bias
        return _blockwise(q, k, v, mask, causal, bias, factor, groups, scale)
    return _fused(q, k, v, mask, causal, bias, groups, scale)


@dataclass(frozen=True)
class Earlier:
    """A mask by which events see earlier tokens alone, not themselves; tokens before all events see what they saw.

    `null` (D), heads joined: what a token that sees nothing, the first event, gets instead of zeros.
    """

    null: Tensor | None = None


def attend_earlier(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Attended:
    """Attention of S tokens to those before each, as the plain triangle of the queries but the first over the keys but
    the last; the first gives zeros. Shapes as in `attend`.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    rest = _fused(q[:, :, 1:], k[:, :, :-1], v[:, :, :-1], None, True, None, None, scale).out
    return Attended(F.pad(rest, (0, 0, 1, 0)), FUSED_SHIFTED)


def causal_mask(size: int, device: torch.device | str) -> Tensor:
    """The lower triangle, (1, 1, S, S) bool."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()[None, None]


def _with_causal(mask: Tensor | None, causal: bool, q: Tensor) -> Tensor | None:
    if not causal:
        return mask
    triangle = causal_mask(q.shape[-2], q.device)
    return triangle if mask is None else mask & triangle


def _open_dead_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mask with rows that see nothing opened, and which rows are alive, (..., S, 1) bool."""
    alive = mask.any(dim=-1, keepdim=True)
    return mask | ~alive, alive


def _product(factors: Sequence[Tensor]) -> Tensor | None:
    return reduce(torch.mul, factors) if factors else None


def _blockwise(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None, factor: Tensor | None,
    groups: Tensor | None, scale: float,
) -> Attended:
    alive = None
    if mask is not None:
        mask, alive = _open_dead_rows(mask & causal_mask(q.shape[-2], q.device) if causal else mask)
    width = v.shape[-1]
    if groups is not None:  # and one group of all keys: rows need not sum to 1
        v = _with_mass_columns(v, F.pad(groups, (0, 1), value=1.0))
    out = boosted(q, k, v, mask, causal, bias, factor, scale)
    if alive is not None:
        out = torch.where(alive, out, 0.0)
    if groups is None:
        return Attended(out, BLOCKWISE)
    total = out[..., -1:]
    return Attended(out[..., :width], BLOCKWISE, out[..., width:-1] / total.masked_fill(total == 0, 1.0))


def _fused(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None,
    groups: Tensor | None, scale: float,
) -> Attended:
    route, alive, folded = FUSED, None, None
    if mask is not None or bias is not None:
        mask, causal = _with_causal(mask, causal, q), False
        if mask is not None:
            mask, alive = _open_dead_rows(mask)
        folded = mask if bias is None else _fold(bias, mask)
        assert folded is not None
        folded = folded if torch.is_grad_enabled() else folded.detach()  # who learns nothing keeps the kernel
        route = FUSED_MASK
    width = v.shape[-1]
    if groups is not None:
        v = _with_mass_columns(v, groups)
    q, k, v = _one_width(q, k, v)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=folded, is_causal=causal, scale=scale)
    if alive is not None:
        out = torch.where(alive, out, 0.0)
    mass = None if groups is None else out[..., width : width + groups.shape[-1]]
    return Attended(out if out.shape[-1] == width else out[..., :width], route, mass)


def _fold(bias: Tensor, mask: Tensor | None) -> Tensor:
    """One additive mask out of a bias and a boolean mask."""
    return bias if mask is None else torch.where(mask, bias, float("-inf"))


def _with_mass_columns(v: Tensor, groups: Tensor) -> Tensor:
    """The values with one column more per group, so that the output holds each group's weight."""
    return torch.cat([v, groups.to(v.dtype)[:, None].expand(*v.shape[:-1], -1)], dim=-1)


def _one_width(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three padded with zeros to one width: the fused kernel takes no other, and would fall back unseen."""
    if q.shape[-1] == v.shape[-1]:
        return q, k, v
    width = max(q.shape[-1], v.shape[-1])
    return F.pad(q, (0, width - q.shape[-1])), F.pad(k, (0, width - k.shape[-1])), F.pad(v, (0, width - v.shape[-1]))


def _explicit(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, factor: Tensor | None,
    weights: Sequence[Callable[[Tensor], Tensor]], groups: Tensor | None, scale: float,
    drop: Callable[[Tensor], Tensor] | None,
) -> Attended:
    scores = (q @ k.transpose(-1, -2)) * scale
    if bias is not None:
        scores = scores + bias
    alive = None
    if mask is not None:
        mask, alive = _open_dead_rows(mask)
        scores = scores.masked_fill(~mask, float("-inf"))
    w = torch.softmax(scores, dim=-1)
    if alive is not None:
        w = torch.where(alive, w, 0.0)
    if factor is not None:
        w = w * factor
    for change in weights:
        w = change(w)
    mass = _mass(w, groups) if groups is not None else None
    if drop is not None:
        w = drop(w)
    return Attended(w @ v, EXPLICIT, mass)


def _mass(w: Tensor, groups: Tensor) -> Tensor:
    """The share of each row's weight that lies on each group of keys; rows without weight give 0."""
    total = w.sum(dim=-1, keepdim=True)
    return (w @ groups.to(w.dtype)[:, None]) / total.masked_fill(total == 0, 1.0)


def _explicit_pointwise(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, boosts: Sequence[Boost],
    weights: Sequence[Callable[[Tensor], Tensor]], scale: float, normaliser: float,
    drop: Callable[[Tensor], Tensor] | None,
) -> Attended:
    """Pointwise attention: SiLU instead of softmax, so the mask multiplies (SiLU of a bias is not 0)."""
    scores = (q @ k.transpose(-1, -2)) * scale
    w = F.silu(scores if bias is None else scores + bias) / normaliser
    for boost in boosts:
        w = w * boost.factor
    for change in weights:
        w = change(w)
    if mask is not None:
        w = torch.where(mask, w, 0.0)
    if drop is not None:
        w = drop(w)
    return Attended(w @ v, EXPLICIT)
