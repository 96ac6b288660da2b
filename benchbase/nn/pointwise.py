"""The kernel of pointwise attention: SiLU of the scores instead of softmax, block by block, with its own backward."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .tiles import Tile, add_to, packed, tiles


def pointwise(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None,
              factor: Tensor | None, scale: float, normaliser: float) -> Tensor:
    """SiLU(scale q k' + bias) / normaliser times the factor, 0 where masked, times v: (B, H, S, Dv), as `attend` says.

    The weights are made again in the backward pass: never more than a tile of (B, H, S, S) exists in either.
    """
    hidden = None if mask is None else ~mask
    k, v = k.to(q.dtype), v.to(q.dtype)
    bias, factor = (None if x is None else x.to(q.dtype) for x in (bias, factor))
    out: Tensor = _Pointwise.apply(  # type: ignore[no-untyped-call]
        q, k, v, bias, factor, hidden, causal, scale, normaliser)
    return out


class _Pointwise(torch.autograd.Function):
    """Scale and normaliser are folded into queries and values, once; `hidden` is the mask's opposite."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, factor: Tensor | None,
                hidden: Tensor | None, causal: bool, scale: float, normaliser: float) -> Tensor:
        ctx.save_for_backward(q, k, v, bias, factor, hidden)
        ctx.causal, ctx.scale, ctx.normaliser = causal, scale, normaliser
        q, k, v = packed(q, scale), packed(k), packed(v, 1 / normaliser)
        out = torch.empty_like(v)
        with torch.autocast(q.device.type, enabled=False):
            for tile in tiles(q.shape, causal, q.device):
                w = F.silu(tile.scores(q, k, bias), inplace=True)
                if factor is not None:
                    w *= tile.of(factor)
                _show(w, hidden, causal, tile)
                torch.matmul(w, v[tile.rows, :, tile.keys], out=out[tile.rows, :, tile.queries])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, factor, hidden = ctx.saved_tensors
        q, k, v, grad = packed(q, ctx.scale), packed(k), packed(v, 1 / ctx.normaliser), grad.contiguous()
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        to_bias, to_factor = (torch.zeros_like(x) if asked else None
                              for x, asked in zip((bias, factor), ctx.needs_input_grad[3:5], strict=True))
        with torch.autocast(q.device.type, enabled=False):
            for tile in tiles(q.shape, ctx.causal, q.device):
                rows, queries, keys = tile
                scores, from_out = tile.scores(q, k, bias), grad[rows, :, queries]
                w = _show(F.silu(scores), hidden, ctx.causal, tile)
                change = from_out @ v[rows, :, keys].transpose(-1, -2)
                if factor is not None:
                    f = tile.of(factor)
                    if to_factor is not None:
                        add_to(to_factor, tile, w * change)
                    w *= f
                    change *= f
                to_v[rows, :, keys] += w.transpose(-1, -2) @ from_out
                torch.ops.aten.silu_backward.grad_input(change, scores, grad_input=change)
                _show(change, hidden, ctx.causal, tile)
                to_q[rows, :, queries] = change @ k[rows, :, keys]
                to_k[rows, :, keys] += change.transpose(-1, -2) @ q[rows, :, queries]
                if to_bias is not None:
                    add_to(to_bias, tile, change)
        return to_q.mul_(ctx.scale), to_k, to_v.div_(ctx.normaliser), to_bias, to_factor, None, None, None, None


def _show(w: Tensor, hidden: Tensor | None, causal: bool, tile: Tile) -> Tensor:
    """The tile's weights with those that may not be seen set to 0, in place."""
    if causal:
        w[..., tile.queries.start :].tril_()
    if hidden is not None:
        w.masked_fill_(tile.of(hidden), 0.0)
    return w
