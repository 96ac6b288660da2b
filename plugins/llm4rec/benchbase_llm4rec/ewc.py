"""Elastic weight consolidation: what mattered before the stream is held while the stream is learned from."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets, TrainBatch
from benchbase.errors import RunError
from benchbase.nn import Objective, Output, TaggedParameter

from .config import EWCConfig


class ElasticWeights(Objective):
    """The penalty (lambda / 2) sum over k of F_k (theta_k - theta*_k)^2, once training before the stream is over.

    theta* are the parameters then, without those of objectives; F is the mean squared gradient of the loss of single
    training targets at theta*, drawn evenly. Of items without a training event F is 0: nothing is known of them that
    could be forgotten. The penalty is 0, and so is its gradient, where nothing has moved.
    Source: Ma et al. 2025, L_EWC; Kirkpatrick et al. 2017, Overcoming catastrophic forgetting, eq. 3.
    """

    def __init__(self, config: EWCConfig, context: BuildContext):
        super().__init__()
        self.strength, self.examples = config.strength, config.examples
        self.unknown = torch.from_numpy(context.item_counts[1:] == 0)
        self.kept: list[TaggedParameter] = []

    def bind(self, parameters: Sequence[TaggedParameter]) -> None:
        self.kept = [each for each in parameters if each.tag != "objective"]

    @property
    def anchored(self) -> bool:
        """Whether there is something to hold on to."""
        return "anchor_0" in self._buffers

    def period_ended(self, batches: Iterator[TrainBatch], loss: Callable[[TrainBatch], Tensor]) -> None:
        """Take anchor and F where training ends; later periods change neither."""
        if self.anchored or self.strength == 0:
            return
        parameters = [each.parameter for each in self.kept]
        squares = [torch.zeros_like(each) for each in parameters]
        for batch in islice(batches, self.examples):
            for total, gradient in zip(squares, _gradients(loss(batch), parameters), strict=True):
                if gradient is not None:
                    total.addcmul_(gradient, gradient)
        for place, (each, total) in enumerate(zip(self.kept, squares, strict=True)):
            self.register_buffer(f"anchor_{place}", each.parameter.detach().clone())
            self.register_buffer(f"fisher_{place}", self._of_known(each.name, total / self.examples))

    def _of_known(self, name: str, fisher: Tensor) -> Tensor:
        """F without the rows of items that no training event holds."""
        if name in ("embedding.table", "scorer.table", "scorer.item_bias"):
            fisher[self.unknown.to(fisher.device)] = 0
        return fisher

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`penalty`, in a stream alone."""
        if not self.anchored:
            return {}
        moved = [(self.get_buffer(f"fisher_{place}") * (each.parameter - self.get_buffer(f"anchor_{place}")) ** 2).sum()
                 for place, each in enumerate(self.kept)]
        return {"penalty": self.strength / 2 * torch.stack(moved).sum()}


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    if not bool(torch.isfinite(loss)):
        raise RunError("ewc: the loss of a training target is not finite. Expected a finite number.", "diverged")
    if not loss.requires_grad:
        return (None,) * len(parameters)
    return torch.autograd.grad(loss, list(parameters), allow_unused=True)
