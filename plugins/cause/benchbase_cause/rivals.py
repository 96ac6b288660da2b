"""What CAUSE is compared with: no history, one mean of it, and tokens that learn what to ask of it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchbase.nn import Compressor, DevicePlan, Events, Plan, PrefixTokens, attend, init_linear, init_normal

from .config import MeanPoolConfig, PMAConfig, RecentOnlyConfig
from .newest import give_way, newest


class RecentOnly(Compressor):
    """No tokens; window events may give way all the same, so that nothing but the tokens differs from CAUSE."""

    def __init__(self, config: RecentOnlyConfig):
        super().__init__()
        self.displaced, self.max_tokens = config.displaced, 0

    def plan(self, history: Events, window: Events, budget: int) -> Plan:
        tokens = np.zeros(history.n_rows, np.int64)
        gone = give_way(np.where(history.lengths > 0, self.displaced, 0), window, budget, "total")
        return Plan(tokens, gone, np.zeros((history.n_rows, 0), np.int64))

    def encode(self, plan: DevicePlan, embed: Callable[[Tensor], Tensor]) -> PrefixTokens:
        nothing = embed(plan.latest)  # (B, 0, D)
        return PrefixTokens(nothing, valid=plan.used, timestamp=plan.latest)


class Pooled(Compressor):
    """The same number of tokens for every row with history, all of them made of its newest items."""

    def __init__(self, config: MeanPoolConfig, tokens: int):
        super().__init__()
        self.items, self.budget, self.max_tokens = config.items, config.budget, tokens

    def plan(self, history: Events, window: Events, budget: int) -> Plan:
        items, time = newest(history, self.items)
        tokens = np.where(history.lengths > 0, self.max_tokens, 0)
        latest = np.repeat(time[:, None], self.max_tokens, axis=1)
        return Plan(tokens, give_way(tokens, window, budget, self.budget), latest, {"items": items})


class MeanPool(Pooled):
    """One token, the mean of the newest items."""

    def __init__(self, config: MeanPoolConfig):
        super().__init__(config, 1)

    def encode(self, plan: DevicePlan, embed: Callable[[Tensor], Tensor]) -> PrefixTokens:
        items = plan.arrays["items"]
        count = (items > 0).sum(1, keepdim=True).clamp_min(1)
        mean = (embed(items.long()).sum(1) / count).unsqueeze(1)
        return PrefixTokens(mean[:, : plan.latest.shape[1]], valid=plan.used, timestamp=plan.latest)


class PMA(Pooled):
    """Learned queries attend to the newest items: H = norm(S + attention(S, items)), token = norm(H + relu(W H)).

    Source: Lee et al. 2019, eq. (6) to (8) and section 3.2; as released, without a map of the items before.
    """

    def __init__(self, config: PMAConfig, width: int):
        super().__init__(config, config.tokens)
        self.heads = config.heads
        self.seeds = nn.Parameter(init_normal(torch.empty(config.tokens, width)))
        self.query, self.key, self.value, self.out, self.rest = (nn.Linear(width, width) for _ in range(5))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        init_linear(self.query, self.key, self.value, self.out, self.rest)

    def encode(self, plan: DevicePlan, embed: Callable[[Tensor], Tensor]) -> PrefixTokens:
        items = plan.arrays["items"]
        if not plan.latest.shape[1]:
            return PrefixTokens(embed(plan.latest), valid=plan.used, timestamp=plan.latest)
        vectors = embed(items.long())
        seeds = self.seeds.expand(len(items), -1, -1)
        found = attend(self._split(self.query(seeds)), self._split(self.key(vectors)), self._split(self.value(vectors)),
                       mask=(items > 0)[:, None, None, :].expand(-1, 1, self.max_tokens, -1)).out
        h = self.first(seeds + self.out(found.transpose(1, 2).flatten(2)))
        return PrefixTokens(self.second(h + torch.relu(self.rest(h))), valid=plan.used, timestamp=plan.latest)

    def _split(self, x: Tensor) -> Tensor:
        """(B, n, D) -> (B, heads, n, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
