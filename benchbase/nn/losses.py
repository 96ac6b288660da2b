"""Losses that many objectives share, each with the cheapest exact backward we know."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 512
"""Rows of the softmax held at a time: (ROWS, n_items) stays in cache, nothing (P, n_items) is ever made."""


def softmax_loss(query: Tensor, vectors: Tensor, target: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of a softmax over all items, exact, in chunks, with its own backward.

    Shapes: query (P, D), vectors (N, D), target (P) index into N, weights (P), bias (N) or None. The
    gradients are made in the forward pass, from the probabilities at hand, so no (P, N) tensor exists.
    """
    total = weights.sum()
    share = weights / total.clamp_min(torch.finfo(weights.dtype).tiny)
    return _SoftmaxLoss.apply(query, vectors, target, share, bias)  # type: ignore[no-any-return,no-untyped-call]


class _SoftmaxLoss(torch.autograd.Function):
    """Sum over rows of share * -log softmax(query vectors' + bias)[target]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, target: Tensor, share: Tensor, bias: Tensor | None) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        grad_query = torch.empty_like(query) if wanted else None
        grad_vectors = torch.zeros_like(vectors) if wanted else None
        grad_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        loss = query.new_zeros(())
        rows = min(ROWS, max(len(query), 1))
        logits, probs = query.new_empty(rows, len(vectors)), query.new_empty(rows, len(vectors))
        for start in range(0, len(query), rows):
            chunk = slice(start, start + rows)
            q, t, s = query[chunk], target[chunk], share[chunk]
            scores, p = logits[: len(q)], probs[: len(q)]
            torch.mm(q, vectors.T, out=scores)
            if bias is not None:
                scores.add_(bias)
            torch.softmax(scores, dim=-1, out=p)
            loss += (s * _negative_log(scores, p, t)).sum()
            if grad_query is None or grad_vectors is None:
                continue
            p[torch.arange(len(q), device=p.device), t] -= 1
            torch.mm(p, vectors, out=grad_query[chunk])
            grad_query[chunk] *= s[:, None]
            grad_vectors.addmm_(p.T, q * s[:, None])
            if grad_bias is not None:
                grad_bias.addmv_(p.T, s)
        if wanted:
            ctx.save_for_backward(grad_query, grad_vectors, grad_bias)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, vectors, bias = ctx.saved_tensors
        return query * grad, vectors * grad, None, None, None if bias is None else bias * grad


def _negative_log(scores: Tensor, p: Tensor, target: Tensor) -> Tensor:
    """-log p at the target, from the scores where p has underflowed."""
    picked = p.gather(1, target[:, None]).squeeze(1)
    loss = -picked.log()
    lost = picked < 1e-30
    if bool(lost.any()):
        loss[lost] = torch.logsumexp(scores[lost], dim=-1) - scores[lost].gather(1, target[lost, None]).squeeze(1)
    return loss


def softmax_loss_from_scores(scores: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """The same mean cross-entropy from scores (P, N) held in full: for score terms that are matrices."""
    losses = F.cross_entropy(scores, target, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
