"""Scores of a few items for each state, without a tensor of their vectors, and with the cheapest backward we know."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .losses import chunk_rows

ITEMS_PER_PICK = 12
"""Up to so many items in all for each one picked, scores of all items and a look-up are the cheaper route."""


def picked_scores(query: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
    """Scores (P, k) of query (P, D) with the vectors (N, D) that index (P, k) picks for each.

    No (P, k, D) tensor exists, nor one of (P, N): where N is small beside k all scores are made, a chunk of rows at
    a time; otherwise vectors are read where they lie. The two routes are equal, gradients too.
    """
    picks = index.shape[1]
    few = not picks or len(vectors) <= ITEMS_PER_PICK * picks
    # the look-up is a derivative, and none are made in inference mode
    route = _FromAllScores if few or torch.is_inference_mode_enabled() else _FromVectors
    scores: Tensor = route.apply(query.to(vectors.dtype), vectors, index)  # type: ignore[no-untyped-call]
    return scores


class _FromAllScores(torch.autograd.Function):
    """Products with all vectors in chunks of rows, of which the picked are kept."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(query, vectors, index)
        scores = query.new_empty(index.shape)
        rows = chunk_rows(len(query), len(vectors), query.device)
        held = query.new_empty(rows, len(vectors))
        for start in range(0, len(query), rows):
            chunk = slice(start, start + rows)
            part = index[chunk]
            torch.mm(query[chunk], vectors.T, out=held[: len(part)])
            torch.gather(held[: len(part)], 1, part, out=scores[chunk])
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        query, vectors, index = ctx.saved_tensors
        by_query, by_vectors = torch.empty_like(query), torch.zeros_like(vectors)
        rows = chunk_rows(len(query), len(vectors), query.device)
        held = query.new_empty(rows, len(vectors))
        for start in range(0, len(query), rows):
            chunk = slice(start, start + rows)
            part = held[: len(index[chunk])].zero_().scatter_add_(1, index[chunk], grad[chunk])
            torch.mm(part, vectors, out=by_query[chunk])
            by_vectors.addmm_(part.T, query[chunk])
        return by_query, by_vectors, None


class _FromVectors(torch.autograd.Function):
    """Sums of picked vectors, weighed, are linear in the weights: the scores are the derivative along the query.

    The library has that derivative as a loop over the picks that copies no vector, as it has the sum itself.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(query, vectors, index)
        with torch.enable_grad():
            weights = query.new_zeros(index.shape).requires_grad_()
            total = _weighed_sum(index, vectors.detach(), weights)
        return torch.autograd.grad(total, weights, query.detach())[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, vectors, index = ctx.saved_tensors
        grad = grad.contiguous()
        with torch.enable_grad():
            table = vectors.detach().requires_grad_()
            total = _weighed_sum(index, table, grad)
        return total.detach(), torch.autograd.grad(total, table, query)[0], None


def _weighed_sum(index: Tensor, vectors: Tensor, weights: Tensor) -> Tensor:
    """Sum over k of weights (P, k) * vectors[index (P, k)], (P, D)."""
    return F.embedding_bag(index, vectors, per_sample_weights=weights, mode="sum")
