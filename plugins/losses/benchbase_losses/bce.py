"""Binary cross-entropy of the target against sampled negatives, plain and generalised."""

import torch.nn.functional as F
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import BCEConfig, GBCEConfig
from .sampled import pair_scores


class BinaryCrossEntropy(Objective):
    """Mean over positions of -beta log sigmoid(positive) - sum over negatives of log(1 - sigmoid(negative)).

    `beta(k)` is 1 here. Source: Kang and McAuley 2018, section III-E, with k negatives for their one.
    """

    def __init__(self, config: BCEConfig | GBCEConfig):
        super().__init__()
        self.asked = config.request()

    def beta(self, drawn: int) -> float:
        """What the positive's part weighs beside so many negatives."""
        return 1.0

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        positive, negative = pair_scores(output, targets, self.asked)
        beta = self.beta(negative.shape[1])
        return {"nll": targets.mean(beta * F.softplus(-positive) + F.softplus(negative).sum(dim=1))}


class GeneralisedBCE(BinaryCrossEntropy):
    """The same with beta = alpha (t (1 - 1 / alpha) + 1 / alpha), alpha the share of the other items drawn, up to 1.

    sigmoid(s)^beta has the logarithm -beta softplus(-s): no power is made, and large scores stay exact.
    Source: Petrov and Macdonald 2023, gBCE.
    """

    def __init__(self, config: GBCEConfig, context: BuildContext):
        super().__init__(config)
        self.t, self.others = config.t, max(1, context.n_items - 1)

    def beta(self, drawn: int) -> float:
        """The paper's formula, multiplied out."""
        return 1 - self.t * (1 - min(1.0, drawn / self.others))
