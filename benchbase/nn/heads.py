"""Heads: from a state, and the late features of its event, to the log-odds of every action that is predicted."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..specs import HeadConfig

LEAST = 1e-4
"""A rate that is nearer to 0 or 1 starts here: log-odds must be finite."""


class ActionHead(nn.Module):
    """Log-odds (P, K) of K actions from states (P, D) and late features (P, F); it starts at their rates (K,)."""

    def __init__(self, config: HeadConfig, width: int, n_features: int, rates: Any):
        super().__init__()
        self.body = BODIES[config.kind](config, width + n_features, len(rates))
        rate = torch.as_tensor(rates, dtype=torch.float32).clamp(LEAST, 1 - LEAST)
        self.bias = nn.Parameter(torch.logit(rate))

    def forward(self, states: Tensor, features: Tensor) -> Tensor:
        """(P, D) and (P, F) -> (P, K)."""
        made: Tensor = self.body(torch.cat([states, features.to(states.dtype)], dim=-1).to(self.bias.dtype))
        return made + self.bias


class SharedMLP(nn.Module):
    """One hidden layer that all actions share."""

    def __init__(self, config: HeadConfig, width: int, n_actions: int):
        super().__init__()
        self.rise, self.fall = nn.Linear(width, config.hidden), nn.Linear(config.hidden, n_actions, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(P, D) -> (P, K)."""
        return self.fall(F.silu(self.rise(x)))  # type: ignore[no-any-return]


class MMoE(nn.Module):
    """Experts of one layer; each action mixes them by a softmax gate and reads the mixture with a tower of its own.

    Source: Ma et al. 2018, eq. (5) to (7).
    """

    def __init__(self, config: HeadConfig, width: int, n_actions: int):
        super().__init__()
        hidden, self.shape = config.hidden, (config.experts, config.hidden)
        self.experts = nn.Linear(width, config.experts * hidden)
        self.gates = nn.Linear(width, n_actions * config.experts)
        towers = [nn.Linear(hidden, hidden) for _ in range(n_actions)]  # run as one product
        self.rise = nn.Parameter(torch.stack([tower.weight.detach() for tower in towers]))
        self.shift = nn.Parameter(torch.stack([tower.bias.detach() for tower in towers]))
        self.fall = nn.Parameter(torch.stack([nn.Linear(hidden, 1).weight.detach()[0] for _ in range(n_actions)]))

    def forward(self, x: Tensor) -> Tensor:
        """(P, D) -> (P, K)."""
        made = F.silu(self.experts(x)).view(len(x), *self.shape)
        gate = self.gates(x).view(len(x), -1, self.shape[0]).softmax(dim=-1)
        mixed = gate @ made  # (P, K, hidden)
        risen = torch.einsum("pkh,koh->pko", mixed, self.rise) + self.shift
        return (F.silu(risen) * self.fall).sum(dim=-1)


BODIES: dict[str, type[SharedMLP] | type[MMoE]] = {"mlp": SharedMLP, "mmoe": MMoE}
