"""Popularity as a confounder: it helps to explain what was seen, and has no say in the ranking."""

import numpy as np
import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import ItemBias, Objective

from .config import BackdoorConfig


class PopularityBackdoor(Objective):
    """A term of popularity in the scores, or the log-odds of actions, of training alone; it has no loss of its own.

    Additive: s = f(u, i) + g(z_i), g learned for each bin of log popularity, of actions for each action, of mean 0
    under P(z). The adjusted score sum over z of P(z) sigmoid(f + g(z)) ascends with f, so ranking by f is ranking by
    it; it is what an action's probability is. Multiplicative: exp(s) = exp(f) pop^power, and pop^inject in ranking and
    predicting. Source: Ma et al. 2025, P(Y | do(i)) = sum over z of P(Y | i, z) P(z),
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
            actions = (len(context.predicted),) if "action" in context.tasks else ()
            self.effect = nn.Parameter(torch.zeros(len(share), *actions))
            self.register_buffer("bins", torch.from_numpy(bins), persistent=False)
            self.register_buffer("share", torch.from_numpy(share / share.sum()).to(kind), persistent=False)
        else:
            popularity = (counts + 1) / (counts + 1).mean()  # an item without events has a finite logarithm
            self.register_buffer("log_popularity", torch.from_numpy(np.log(popularity)).to(kind), persistent=False)
        self.bins: Tensor
        self.share: Tensor
        self.log_popularity: Tensor

    def score_term(self, batch: Batch, items: Tensor, phase: str) -> ItemBias | None:
        """The term of popularity in training; in ranking nothing, or what is injected; nothing of actions."""
        if self.additive:
            return ItemBias(self._g()[self.bins]) if phase == "train" and self.effect.dim() == 1 else None
        power = self.power if phase == "train" else self.inject
        return ItemBias(power * self.log_popularity) if power else None

    def action_logits(self, logits: Tensor, targets: Targets, batch: Batch, phase: str) -> Tensor:
        """f + g(z) in training; the log-odds of the adjusted probability in predicting."""
        item = targets.item - 1
        if not self.additive:
            power = self.power if phase == "train" else self.inject
            return logits + (power * self.log_popularity[item]).unsqueeze(1).to(logits.dtype)
        if phase == "train":
            return logits + self._g()[self.bins[item]]
        adjusted = torch.einsum("z,pzk->pk", self.share.double(), (logits.unsqueeze(1) + self._g()).double().sigmoid())
        return torch.logit(adjusted, 1e-12).to(logits.dtype)

    def _g(self) -> Tensor:
        """The effect of each bin, (bins) or (bins, K), of mean 0 under P(z)."""
        return self.effect - self.share @ self.effect


def popularity_bins(counts: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each item (n_items,), from 0, evenly spaced in log(1 + count); bins that hold nothing are left out."""
    level = np.log1p(counts)
    low, high = level.min(initial=np.inf), level.max(initial=0)
    at = (level - low) / (high - low) * bins if high > low else np.zeros(len(level))
    return np.asarray(np.unique(np.minimum(at.astype(np.int64), bins - 1), return_inverse=True)[1])
