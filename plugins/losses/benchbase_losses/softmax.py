"""The exact softmax over all items."""

import torch
from torch import Tensor

from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output, full_scores, softmax_loss, softmax_loss_from_scores

from .config import SoftmaxConfig


class Softmax(Objective):
    """Mean of -log softmax(scores of all items)[target] under the targets' weights, in chunks.

    A score term that is a matrix needs all scores at once: then they are held in full, and `gradients`
    has no say, since that route is exact. Source: Klenitskiy and Vasilev 2023.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__()
        self.products = torch.bfloat16 if config.gradients == "bfloat16" else None

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        query, vectors, bias, matrix = output.scorer.linear(output.states)  # (P, D), (N, D), (N), (P, N)
        target = targets.item - 1
        if matrix is None:
            return {"nll": softmax_loss(query, vectors, target, targets.weights, bias, self.products)}
        scores = full_scores(query, vectors, bias, matrix)
        return {"nll": softmax_loss_from_scores(scores, target, targets.weights)}
