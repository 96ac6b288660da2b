"""The objective: the relation shall have no cycle, and few edges."""

from collections.abc import Mapping

import torch
from torch import Tensor

from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import CausalDagConfig
from .dual import Dual, weighted_mean


class CausalDag(Objective):
    """L_DAG and L_L1 of the relation that a modifier publishes, means over sequences by the weight of their targets.

    `acyclicity`: beta h + rho h^2 / 2; `sparsity`: lambda times the mean of |R| over ordered pairs of events. A term
    whose multipliers are all 0 is left out. Source: the paper's eq. (16) to (18).
    """

    def __init__(self, config: CausalDagConfig):
        super().__init__()
        self.sparsity = config.sparsity
        self.dual = Dual(config.rho, config.beta, config.growth, config.fall, config.rho_max)

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The terms `acyclicity` and `sparsity`, scalars."""
        h, shares = output.traces["acyclicity"], _shares(targets, batch)
        made = {}
        if self.dual.active and h.requires_grad:  # else no cycle is possible
            made["acyclicity"] = self.dual.penalty(h, shares.to(h.dtype))
        if self.sparsity > 0:
            edges = output.traces["sparsity"]
            made["sparsity"] = self.sparsity * weighted_mean(edges, shares.to(edges.dtype))
        return made

    def logs(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """h, its multipliers, and the largest |R| of a sequence."""
        h, shares = output.traces["acyclicity"], _shares(targets, batch)
        relation = output.traces["relation"]
        largest = torch.maximum(relation.amax(dim=(1, 2)), -relation.amin(dim=(1, 2)))
        return {"h": weighted_mean(h, shares.to(h.dtype)), "rho": self.dual.rho.clone(), "beta": self.dual.beta.clone(),
                "largest": weighted_mean(largest, shares.to(largest.dtype))}

    def epoch_ended(self, means: Mapping[str, float]) -> None:
        if "h" in means:
            self.dual.update(means["h"])


def _shares(targets: Targets, batch: Batch) -> Tensor:
    """The weight of each row's targets, (B)."""
    return torch.zeros(batch.n_rows, dtype=targets.weights.dtype, device=targets.weights.device).index_add(
        0, targets.row, targets.weights)
