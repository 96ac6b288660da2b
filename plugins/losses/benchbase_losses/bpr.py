"""Bayesian personalised ranking: the target above each negative."""

import torch.nn.functional as F
from torch import Tensor

from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import BPRConfig
from .sampled import pair_scores


class BayesianPersonalisedRanking(Objective):
    """Mean over positions, and over the negatives of each, of -log sigmoid(positive - negative).

    Source: Rendle et al. 2009, section 4.1, with k negatives for their one.
    """

    def __init__(self, config: BPRConfig):
        super().__init__()
        self.asked = config.request()

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        positive, negative = pair_scores(output, targets, self.asked)
        counted = (negative > float("-inf")).sum(dim=1).clamp_min(1)
        return {"nll": targets.mean(F.softplus(negative - positive[:, None]).sum(dim=1) / counted)}
