"""The kernel of softmax attention whose weights are multiplied or whose bias is learned, with its own backward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .tiles import Tile, add_to, packed, tiles


def boosted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None,
            factor: Tensor | None, scale: float) -> Tensor:
    """softmax(scale q k' + bias) times the factor, times v: (B, H, S, Dv); every row of the mask sees something.

    Shapes as in `attend`; `factor` (1 or B, 1 or H, S, S). Gradients reach bias and factor as well. The weights are
    made again in the backward pass: never more than a tile of (B, H, S, S) exists in either.
    """
    hidden = None if mask is None else ~mask
    k, v = k.to(q.dtype), v.to(q.dtype)
    bias, factor = (None if x is None else x.to(q.dtype) for x in (bias, factor))
    out: Tensor = _Boosted.apply(q, k, v, bias, factor, hidden, causal, scale)  # type: ignore[no-untyped-call]
    return out


class _Boosted(torch.autograd.Function):
    """The scale is folded into the queries, once; `hidden` is the mask's opposite.

    With w the softmax and f the factor, out = (w f) v. So for the gradient g of out: v gets (w f)' g, f gets w (g v'),
    and the scores get w (f (g v') - g out), g out summed over the width.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, factor: Tensor | None,
                hidden: Tensor | None, causal: bool, scale: float) -> Tensor:
        ctx.causal, ctx.scale = causal, scale
        queries, keys, values = packed(q, scale), packed(k), packed(v)
        out = torch.empty_like(values)
        with torch.autocast(q.device.type, enabled=False):
            for tile in tiles(q.shape, causal, q.device):
                w = _softmax(queries, keys, bias, hidden, causal, tile)
                if factor is not None:
                    w *= tile.of(factor)
                torch.matmul(w, values[tile.rows, :, tile.keys], out=out[tile.rows, :, tile.queries])
        ctx.save_for_backward(q, k, v, bias, factor, hidden, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, factor, hidden, out = ctx.saved_tensors
        q, k, v, grad = packed(q, ctx.scale), packed(k), packed(v), grad.contiguous()
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        to_bias, to_factor = (torch.zeros_like(x) if asked else None
                              for x, asked in zip((bias, factor), ctx.needs_input_grad[3:5], strict=True))
        with torch.autocast(q.device.type, enabled=False):
            pull = (grad * out).sum(dim=-1, keepdim=True)
            for tile in tiles(q.shape, ctx.causal, q.device):
                rows, queries, keys = tile
                w, from_out = _softmax(q, k, bias, hidden, ctx.causal, tile), grad[rows, :, queries]
                change = from_out @ v[rows, :, keys].transpose(-1, -2)
                change *= w
                if factor is None:
                    to_v[rows, :, keys] += w.transpose(-1, -2) @ from_out
                else:
                    f = tile.of(factor)
                    to_v[rows, :, keys] += (w * f).transpose(-1, -2) @ from_out
                    if to_factor is not None:
                        add_to(to_factor, tile, change)
                    change *= f
                change.addcmul_(w, pull[rows, :, queries], value=-1)
                to_q[rows, :, queries] = change @ k[rows, :, keys]
                to_k[rows, :, keys] += change.transpose(-1, -2) @ q[rows, :, queries]
                if to_bias is not None:
                    add_to(to_bias, tile, change)
        return to_q.mul_(ctx.scale), to_k, to_v, to_bias, to_factor, None, None, None


def _softmax(q: Tensor, k: Tensor, bias: Tensor | None, hidden: Tensor | None, causal: bool, tile: Tile) -> Tensor:
    """The tile's weights; those that may not be seen are 0."""
    scores = tile.scores(q, k, bias)
    if causal:
        scores[..., tile.queries.start :].masked_fill_(tile.later(scores), float("-inf"))
    if hidden is not None:
        scores.masked_fill_(tile.of(hidden), float("-inf"))
    return torch.softmax(scores, dim=-1, out=scores) if scores.device.type == "cpu" else torch.softmax(scores, dim=-1)
