"""CAUSE: one token for each of the categories that a user met last before the window."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data import Categories
from benchbase.nn import Compressor, DevicePlan, Events, Plan, PrefixTokens, init_linear, init_normal

from .buckets import fill
from .clusters import cluster
from .config import CauseConfig
from .newest import give_way, longer, only

LOTS = 4096
"""Numbers that items are drawn by, the same in every run: a user's plan does not depend on the seed."""


class Cause(Compressor):
    """Buckets of the history by category, each a token: the category's vector and the mean of its items'.

    Source: CAUSE, bucketing, selection and bucket embedding; options of the release by its names.
    """

    def __init__(self, config: CauseConfig, context: BuildContext):
        super().__init__()
        self.config = config
        self.categories = self._categories(config, context)
        count = len(self.categories.labels)
        self.max_tokens = min(config.buckets, count) if config.buckets else count
        self.action = context.action_names.index(config.action) if config.action else None
        self.lots = np.random.default_rng(0).random(LOTS) if config.pick == "random" else None
        width = context.width
        self.category = nn.Parameter(init_normal(torch.empty(count, width)))
        self.slots = nn.Parameter(torch.zeros(self.max_tokens, width)) if config.slots else None
        self.align = None if config.fusion == "sum" else nn.Linear(width, width)
        self.fuse = nn.Linear(2 * width, width) if config.fusion == "concat" else None
        if self.align is not None:
            nn.init.eye_(self.align.weight)
            nn.init.zeros_(self.align.bias)
        if self.fuse is not None:
            init_linear(self.fuse)

    @staticmethod
    def _categories(config: CauseConfig, context: BuildContext) -> Categories:
        if config.clusters:
            return cluster(context.train(), context.n_items, config.clusters)
        known: dict[str, Categories] = context.catalogue.categories
        return known[config.categories] if config.categories else next(iter(known.values()))

    def plan(self, history: Events, window: Events, budget: int) -> Plan:
        config = self.config
        known = history if self.action is None else only(history, self.action)
        most: int | np.ndarray = self.max_tokens
        made = fill(known, self.categories, most, config.items, self.max_tokens, self.lots)
        displaced = give_way(made.tokens, window, budget, config.budget)
        if config.refill and displaced.any():
            joined = longer(history, window, displaced)
            known = joined if self.action is None else only(joined, self.action)
            # as many tokens as before, so that no more events have to give way
            made = fill(known, self.categories, made.tokens, config.items, self.max_tokens, self.lots)
        arrays = {"category": made.category, "items": made.items}
        latest = made.latest
        if config.order == "chronological":
            place = np.arange(self.max_tokens)
            turned = np.where(place < made.tokens[:, None], made.tokens[:, None] - 1 - place, place)
            latest = np.take_along_axis(latest, turned, axis=1)
            arrays = {name: np.take_along_axis(array, turned.reshape(*turned.shape, *[1] * (array.ndim - 2)), axis=1)
                      for name, array in arrays.items()}
        return Plan(made.tokens, displaced, latest, arrays)

    def encode(self, plan: DevicePlan, embed: Callable[[Tensor], Tensor]) -> PrefixTokens:
        """Tokens (B, K, D); of a plan without any, none."""
        count = plan.latest.shape[1]
        items = plan.arrays["items"][:, :count]
        vectors = embed(items.long())  # (B, K, G, D)
        weights = (items > 0).to(vectors.dtype)
        if self.config.decay < 1:
            place = torch.arange(items.shape[2], device=items.device, dtype=vectors.dtype)
            weights = weights * self.config.decay**place
        total = weights.sum(2, keepdim=True)
        # a linear map of the mean is the mean of the maps, and costs a bucket's share
        mean = (weights.unsqueeze(2) @ vectors).squeeze(2) / total.clamp_min(torch.finfo(total.dtype).tiny)
        x = self._fused(self.category[plan.arrays["category"][:, :count]], mean, total)
        if self.slots is not None:
            x = x + self.slots[:count]
        return PrefixTokens(x, valid=plan.used, timestamp=plan.latest)

    def _fused(self, category: Tensor, mean: Tensor, total: Tensor) -> Tensor:
        """Category vectors (B, K, D) and item means (B, K, D) of so much weight (B, K, 1) as tokens."""
        aligned = mean if self.align is None else self.align(mean)
        if self.fuse is not None:
            return self.fuse(torch.cat([category, aligned], dim=-1))  # type: ignore[no-any-return]
        return (category + total * aligned) / (1 + total) if self.config.fusion == "mean" else category + aligned
