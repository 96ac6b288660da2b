"""Softmax over the target and sampled negatives."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from .config import InBatchSoftmaxConfig, InfoNCEConfig, SampledSoftmaxConfig
from .sampled import pair_scores, per_position


class SampledSoftmax(Objective):
    """Mean over positions of -log softmax(scores of the target and its k negatives)[target], scores corrected.

    `negatives`: log(k q) is taken from the score of a negative, so that the sum over negatives has the mean of the
    sum over all other items. `both`: log q is taken from every score.
    Source: Bengio and Senecal 2008 for the first; Yi et al. 2019 for the second.
    """

    def __init__(self, config: SampledSoftmaxConfig | InBatchSoftmaxConfig):
        super().__init__()
        self.asked, self.correct = config.request(), config.correct

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        positive, negative = pair_scores(output, targets, self.asked)
        if self.correct != "none":
            negative = negative - per_position(targets.log_q_negatives, targets, self.asked)
        if self.correct == "negatives":
            negative = negative - math.log(max(1, negative.shape[1]))
        if self.correct == "both":
            assert targets.log_q is not None, "the core gives it with the negatives"
            positive = positive - targets.log_q
        return {"nll": targets.mean(_against(positive, negative))}


class InfoNCE(Objective):
    """The same on scores divided by a temperature, as they are. Source: van den Oord et al. 2018, eq. (4)."""

    def __init__(self, config: InfoNCEConfig):
        super().__init__()
        self.asked, self.temperature = config.request(), config.temperature

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """The term `nll`, a scalar."""
        positive, negative = pair_scores(output, targets, self.asked)
        return {"nll": targets.mean(_against(positive / self.temperature, negative / self.temperature))}


def _against(positive: Tensor, negative: Tensor) -> Tensor:
    """-log softmax of the positive (P) among itself and its negatives (P, k): log(1 + sum of exp of differences)."""
    return F.softplus(torch.logsumexp(negative, dim=1) - positive)
