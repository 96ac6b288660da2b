"""Popularity as a confounder: it helps to explain what was seen, and has no say in the ranking."""

import numpy as np
import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data.batches import Batch
from benchbase.nn import ItemBias, Objective

from .config import BackdoorConfig


class PopularityBackdoor(Objective):
    """A term of popularity in the scores of training alone; it has no loss of its own.

    Additive: s = f(u, i) + g(z_i), g learned for each bin of log popularity, of mean 0 under P(z). The adjusted score
    sum over z of P(z) sigmoid(f + g(z)) ascends with f, so ranking by f is ranking by it. Multiplicative: exp(s) =
    exp(f) pop^power, and pop^inject in ranking. Source: Ma et al. 2025, P(Y | do(i)) = sum over z of P(Y | i, z) P(z),
    where the form is left open; multiplicative after Zhang et al. 2021, Causal intervention for leveraging popularity
    bias in recommendation, here on the odds of a softmax.
    """

    def __init__(self, config: BackdoorConfig, context: BuildContext):
        super().__init__()
        counts = np.asarray(context.item_counts, np.float64)[1:]
        kind = torch.get_default_dtype()
        self.additive, self.power, self.inject = config.form == "additive", config.power, config.inject
        if self.additive:
            bins = popularity_bins(counts, config.bins)
            share = np.bincount(bins, counts if config.prior == "events" and counts.any() else None)
            self.effect = nn.Parameter(torch.zeros(len(share)))
            self.register_buffer("bins", torch.from_numpy(bins), persistent=False)
            self.register_buffer("share", torch.from_numpy(share / share.sum()).to(kind), persistent=False)
        else:
            popularity = (counts + 1) / (counts + 1).mean()  # an item without events has a finite logarithm
            self.register_buffer("log_popularity", torch.from_numpy(np.log(popularity)).to(kind), persistent=False)
        self.bins: Tensor
        self.share: Tensor
        self.log_popularity: Tensor

    def score_term(self, batch: Batch, items: Tensor, phase: str) -> ItemBias | None:
        """The term of popularity in training; in ranking nothing, or what is injected."""
        if self.additive:
            return ItemBias((self.effect - self.share @ self.effect)[self.bins]) if phase == "train" else None
        power = self.power if phase == "train" else self.inject
        return ItemBias(power * self.log_popularity) if power else None


def popularity_bins(counts: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each item (n_items,), from 0, evenly spaced in log(1 + count); bins that hold nothing are left out."""
    level = np.log1p(counts)
    low, high = level.min(initial=np.inf), level.max(initial=0)
    at = (level - low) / (high - low) * bins if high > low else np.zeros(len(level))
    return np.asarray(np.unique(np.minimum(at.astype(np.int64), bins - 1), return_inverse=True)[1])
