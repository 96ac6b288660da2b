"""Losses that many objectives share, each with the cheapest exact backward we know."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CPU_ROWS = 128
"""Rows of the softmax a CPU thread holds at a time, so that they stay in its cache between the three products."""

ELEMENTS = 2**25
"""Scores held at a time, at most: a bound on memory where items are many, and the chunk of other devices."""

UNDERFLOW = 1e-30
"""Below this a probability has lost digits, and its logarithm is made from the scores again."""


def softmax_loss(query: Tensor, vectors: Tensor, target: Tensor, weights: Tensor, bias: Tensor | None = None,
                 products: torch.dtype | None = None) -> Tensor:
    """Mean cross-entropy of a softmax over all items, exact, in chunks, with its own backward.

    Shapes: query (P, D), vectors (N, D), target (P) index into N, weights (P), bias (N) or None. The
    gradients are made in the forward pass, from the probabilities at hand, so no (P, N) tensor exists.
    `products`: a narrower type for the two products that make the gradients; the loss stays exact.
    """
    query, share = query.to(vectors.dtype), weights.to(vectors.dtype)
    share = share / share.sum().clamp_min(torch.finfo(share.dtype).tiny)
    loss: Tensor = _SoftmaxLoss.apply(query, vectors, target, share, bias, products)  # type: ignore[no-untyped-call]
    return loss


def chunk_rows(n_rows: int, n_items: int, device: torch.device) -> int:
    """Rows to hold at a time: at least one, whatever the sizes."""
    most = max(1, ELEMENTS // max(n_items, 1))
    cached = CPU_ROWS * torch.get_num_threads() if device.type == "cpu" else n_rows
    return max(1, min(n_rows, most, cached))


class _SoftmaxLoss(torch.autograd.Function):
    """Sum over rows of share * -log softmax(query vectors' + bias)[target]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, target: Tensor, share: Tensor, bias: Tensor | None,
                products: torch.dtype | None) -> Tensor:
        gradients = _Gradients(query, vectors, share, bias, products) if any(ctx.needs_input_grad) else None
        rows = chunk_rows(len(query), len(vectors), query.device)
        scores = query.new_empty(rows, len(vectors))
        probs = scores if query.device.type == "cpu" else torch.empty_like(scores)  # in place it stays in cache
        index = torch.arange(rows, device=query.device)
        losses = torch.empty_like(share)
        for start in range(0, len(query), rows):
            chunk = slice(start, min(start + rows, len(query)))
            n, at = chunk.stop - start, target[chunk]
            s, p = scores[:n], probs[:n]
            torch.mm(query[chunk], vectors.T, out=s)
            if bias is not None:
                s += bias
            torch.softmax(s, dim=-1, out=p)
            losses[chunk] = _negative_log(p, at, query[chunk], vectors, bias)
            if gradients is not None:
                p[index[:n], at] -= 1
                gradients.add(chunk, p)
        ctx.save_for_backward(*((None, None, None) if gradients is None else gradients.finish(share)))
        return (losses * share).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, vectors, bias = ctx.saved_tensors
        return query * grad, vectors * grad, None, None, None if bias is None else bias * grad, None


class _Gradients:
    """Gradients of query, vectors and bias, filled chunk by chunk from probabilities less the target's 1."""

    def __init__(self, query: Tensor, vectors: Tensor, share: Tensor, bias: Tensor | None,
                 products: torch.dtype | None):
        self.narrow = products if products != query.dtype else None
        self.weighted, self.other, self.share = query * share[:, None], vectors, share
        if self.narrow is not None:
            self.weighted, self.other = self.weighted.to(self.narrow), vectors.to(self.narrow)
        self.query, self.vectors = torch.empty_like(query), torch.zeros_like(vectors)
        self.bias = None if bias is None else torch.zeros_like(bias)

    def add(self, chunk: slice, p: Tensor) -> None:
        """Take in the rows of one chunk; p (rows, N)."""
        if self.bias is not None:
            self.bias.addmv_(p.T, self.share[chunk])
        if self.narrow is None:
            torch.mm(p, self.other, out=self.query[chunk])
            self.vectors.addmm_(p.T, self.weighted[chunk])
        else:
            p = p.to(self.narrow)
            self.query[chunk] = p @ self.other
            self.vectors += p.T @ self.weighted[chunk]

    def finish(self, share: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.query.mul_(share[:, None]), self.vectors, self.bias


def _negative_log(p: Tensor, target: Tensor, query: Tensor, vectors: Tensor, bias: Tensor | None) -> Tensor:
    """-log p (rows) at the target, made from the scores again where p (rows, N) has underflowed."""
    picked = p.gather(1, target[:, None]).squeeze(1)
    loss = -picked.log()
    lost = picked < UNDERFLOW
    if bool(lost.any()):
        scores = query[lost] @ vectors.T
        again = F.log_softmax(scores if bias is None else scores + bias, dim=-1)
        loss[lost] = -again.gather(1, target[lost, None]).squeeze(1)
    return loss


def softmax_loss_from_scores(scores: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """The same mean cross-entropy from scores (P, N) held in full: for score terms that are matrices."""
    losses = F.cross_entropy(scores, target, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
