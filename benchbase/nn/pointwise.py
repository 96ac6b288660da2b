"""The kernel of pointwise attention: SiLU of the scores instead of softmax, block by block, with its own backward."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

QUERIES = 64
"""Queries taken at a time under the causal triangle: the keys after a block of them are never computed."""

CPU_SCORES = 2**17
"""Scores a CPU thread holds at a time, so that they stay in its cache from the first product to the last."""

SCORES = 2**25
"""Scores held at a time on other devices: a bound on memory."""


def pointwise(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None,
              scale: float, normaliser: float) -> Tensor:
    """SiLU(scale q k' + bias) / normaliser, 0 where masked, times v: (B, H, S, Dv), as `attend` says.

    The weights are made again in the backward pass, so no (B, H, S, S) tensor exists in either.
    """
    hidden = None if mask is None else ~mask
    k, v, bias = k.to(q.dtype), v.to(q.dtype), None if bias is None else bias.to(q.dtype)
    out: Tensor = _Pointwise.apply(q, k, v, bias, hidden, causal, scale, normaliser)  # type: ignore[no-untyped-call]
    return out


class _Block(NamedTuple):
    """Some rows, some of their queries, and the keys that come into question for these."""

    rows: slice
    queries: slice
    keys: slice

    def of(self, x: Tensor) -> Tensor:
        """The block's part of a tensor (1 or B, 1 or H, 1 or S, S)."""
        at = (self.rows, slice(None), self.queries, self.keys)
        return x[tuple(slice(None) if size == 1 else part for size, part in zip(x.shape, at, strict=True))]


def _blocks(shape: torch.Size, causal: bool, device: torch.device) -> Iterator[_Block]:
    """All scores of queries (B, H, S, Dk), in blocks that fit what may be held at a time."""
    rows, heads, size, _ = shape
    most = CPU_SCORES * torch.get_num_threads() if device.type == "cpu" else SCORES
    for first in range(0, size, QUERIES if causal else max(size, 1)):
        queries = slice(first, min(first + QUERIES, size) if causal else size)
        keys = slice(0, queries.stop)
        step = max(1, most // max(1, heads * (queries.stop - first) * keys.stop))
        for row in range(0, rows, step):
            yield _Block(slice(row, min(row + step, rows)), queries, keys)


class _Pointwise(torch.autograd.Function):
    """Scale and normaliser are folded into queries and values, once; `hidden` is the mask's opposite."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, hidden: Tensor | None, causal: bool,
                scale: float, normaliser: float) -> Tensor:
        ctx.save_for_backward(q, k, v, bias, hidden)
        ctx.causal, ctx.scale, ctx.normaliser = causal, scale, normaliser
        q, k, v = _packed(q, scale), _packed(k), _packed(v, 1 / normaliser)
        out = torch.empty_like(v)
        with torch.autocast(q.device.type, enabled=False):
            for block in _blocks(q.shape, causal, q.device):
                rows, queries, keys = block
                w = F.silu(_scores(q, k, bias, block), inplace=True)
                torch.matmul(_shown(w, hidden, causal, block), v[rows, :, keys], out=out[rows, :, queries])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, hidden = ctx.saved_tensors
        q, k, v, grad = _packed(q, ctx.scale), _packed(k), _packed(v, 1 / ctx.normaliser), grad.contiguous()
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        to_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        with torch.autocast(q.device.type, enabled=False):
            for block in _blocks(q.shape, ctx.causal, q.device):
                rows, queries, keys = block
                scores, from_out = _scores(q, k, bias, block), grad[rows, :, queries]
                w = _shown(F.silu(scores), hidden, ctx.causal, block)
                to_v[rows, :, keys] += w.transpose(-1, -2) @ from_out
                change = from_out @ v[rows, :, keys].transpose(-1, -2)
                torch.ops.aten.silu_backward.grad_input(change, scores, grad_input=change)
                _shown(change, hidden, ctx.causal, block)
                to_q[rows, :, queries] = change @ k[rows, :, keys]
                to_k[rows, :, keys] += change.transpose(-1, -2) @ q[rows, :, queries]
                if to_bias is not None:
                    part = block.of(to_bias)
                    part += change.sum_to_size(part.shape)
        return to_q.mul_(ctx.scale), to_k, to_v.div_(ctx.normaliser), to_bias, None, None, None, None


def _packed(x: Tensor, factor: float = 1.0) -> Tensor:
    """x times the factor, one head after the other in memory, as the products want it."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return x.contiguous() if factor == 1.0 else torch.mul(x, factor, out=out)


def _scores(q: Tensor, k: Tensor, bias: Tensor | None, block: _Block) -> Tensor:
    """The block's scores, bias added."""
    scores = q[block.rows, :, block.queries] @ k[block.rows, :, block.keys].transpose(-1, -2)
    if bias is not None:
        scores += block.of(bias)
    return scores


def _shown(w: Tensor, hidden: Tensor | None, causal: bool, block: _Block) -> Tensor:
    """The block's weights with those that may not be seen set to 0, in place."""
    if causal:
        w[..., block.queries.start :].tril_()
    if hidden is not None:
        w.masked_fill_(block.of(hidden), 0.0)
    return w
