"""Binary cross-entropy of every predicted action."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import ActionBCEConfig


class ActionBCE(Objective):
    """Sum over actions of the weighted mean binary cross-entropy; the mean is over events, under the targets' weights.

    Source: Cheng 2026, Beyond Interleaving, section 3 (the multi-task loss).
    """

    weights: Tensor

    def __init__(self, config: ActionBCEConfig, context: BuildContext):
        super().__init__()
        self.names = context.predicted
        self.register_buffer("weights", torch.tensor([config.weights.get(name, 1.0) for name in self.names]),
                             persistent=False)

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        each = self._each(output, targets)
        return {"nll": targets.mean((each * self.weights.to(each.dtype)).sum(dim=-1))}

    def logs(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The unweighted cross-entropy of each action, `nll.` and its name."""
        each = self._each(output, targets).unbind(dim=-1)
        return {f"nll.{name}": targets.mean(column) for name, column in zip(self.names, each, strict=True)}

    @staticmethod
    def _each(output: Output, targets: Targets) -> Tensor:
        """The cross-entropy of every event and action, (P, K)."""
        assert output.logits is not None, "assemble gives every model of the action task a head"
        return F.binary_cross_entropy_with_logits(output.logits, targets.actions.to(output.logits.dtype),
                                                  reduction="none")
