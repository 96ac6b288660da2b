"""Demographic parity: an opponent tells users' groups from their states, and the states learn to leave it nothing."""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output, init_linear

from .config import ParityConfig


class DemographicParity(Objective):
    """An opponent D of one hidden layer descends CE(s, D(h)) of each user's group s, and the model is moved against it.

    `reversal`: the model ascends the opponent's loss, with its gradient times -strength. `prior`: the model descends
    CE(P(s), D(h)), with its gradient times strength; it is least, the entropy of P(s), where the opponent can only
    guess. P(s) is of training events, which count alike; those of nobody's group are 0 in every mean. Logged: `told`,
    the entropy of P(s) less the opponent's loss, in nats: 0 where the states tell nothing that it finds.
    Source: Ma et al. 2025, L_adv = -sum over s of P(s) log P(s | r), there of the scores, which follow from the states;
    reversal as by Ganin et al. 2016, Domain-adversarial training of neural networks.
    """

    def __init__(self, config: ParityConfig, context: BuildContext):
        super().__init__()
        groups = context.user_groups[config.group]
        self.reversal, self.strength = config.game == "reversal", config.strength
        width = context.state_width if "action" in context.tasks else context.width
        self.opponent = nn.Sequential(nn.Linear(width, config.hidden), nn.ReLU(),
                                      nn.Linear(config.hidden, len(groups.labels)))
        self.opponent.apply(_init)
        self.register_buffer("code", torch.from_numpy(groups.code.astype(np.int64)), persistent=False)
        known = groups.code >= 0
        events = np.bincount(groups.code[known], context.train().lengths[known], len(groups.labels))
        prior = torch.from_numpy(events / max(events.sum(), 1)).to(torch.get_default_dtype())
        self.register_buffer("prior", prior, persistent=False)
        self.code: Tensor
        self.prior: Tensor

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`opponent`, and `parity` where the model has a loss of its own."""
        group, known = self._who(targets, batch)
        if self.reversal:
            return {"opponent": targets.mean(known * self._told(_scaled(output.states, -self.strength), group))}
        found = {"opponent": targets.mean(known * self._told(output.states.detach(), group))}
        fixed = {name: parameter.detach() for name, parameter in self.opponent.named_parameters()}
        logits = functional_call(self.opponent, fixed, (_scaled(output.states, self.strength),))
        return found | {"parity": targets.mean(-known * (self.prior * logits.log_softmax(dim=1)).sum(dim=1))}

    def logs(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """What the opponent knows beyond the prior, in nats."""
        group, known = self._who(targets, batch)
        entropy = torch.special.entr(self.prior).sum()
        return {"told": targets.mean(known * (entropy - self._told(output.states, group)))}

    def _told(self, states: Tensor, group: Tensor) -> Tensor:
        """The opponent's loss of each target (P)."""
        return F.cross_entropy(self.opponent(states), group, reduction="none")

    def _who(self, targets: Targets, batch: Batch) -> tuple[Tensor, Tensor]:
        """The group of each target's user (P), and 1 where there is one, 0 of nobody's group (P)."""
        code = self.code[batch.users][targets.row]
        return code.clamp_min(0), (code >= 0).to(targets.weights.dtype)


class _Scaled(torch.autograd.Function):
    """Itself, with a gradient of another size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def _scaled(x: Tensor, factor: float) -> Tensor:
    return cast(Tensor, _Scaled.apply(x, factor))  # type: ignore[no-untyped-call]


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        init_linear(module)
