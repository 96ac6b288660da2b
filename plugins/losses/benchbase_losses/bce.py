"""Binary cross-entropy of the target against sampled negatives."""

import torch.nn.functional as F
from torch import Tensor

from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import BCEConfig


class BinaryCrossEntropy(Objective):
    """Mean over positions of -log sigmoid(positive) - sum over negatives of log(1 - sigmoid(negative)).

    A shared negative that is a position's own target counts nothing there. Source: Kang and McAuley 2018,
    section III-E, with k negatives for their one.
    """

    def __init__(self, config: BCEConfig):
        super().__init__()
        self.scope = config.scope

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        negatives = self._negatives(targets)  # (P, k), or (k) for all
        positive = output.scorer.score_items(output.states, targets.item[:, None]).squeeze(1)  # (P)
        scores = output.scorer.score_items(output.states, negatives)  # (P, k)
        scores = scores.masked_fill(negatives == targets.item[:, None], float("-inf"))  # softplus(-inf) = 0
        return {"nll": targets.mean(F.softplus(-positive) + F.softplus(scores).sum(dim=1))}

    def _negatives(self, targets: Targets) -> Tensor:
        assert targets.negatives is not None, "the core draws what `needs` asks for"
        return targets.negatives[targets.row] if self.scope == "sequence" else targets.negatives
