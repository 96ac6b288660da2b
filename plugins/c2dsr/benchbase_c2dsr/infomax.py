"""The objective: what the encoder of one domain and that of all know of each other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output

from . import CORRUPTED, MIXED, OWN


class Infomax(Objective):
    """A judge for each domain tells its own states' mean together with the mixed states' mean at other domains' events
    from the same where the domain's items are others, at random.

    Rows without events of the domain or of another say nothing. The sum over domains of the mean over rows.
    Source: C2DSR, contrastive cross-domain infomax, as released.
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        width = context.width // context.n_domains
        self.weight = nn.Parameter(torch.empty(context.n_domains, width, width))
        self.bias = nn.Parameter(torch.zeros(context.n_domains))
        for judge in self.weight.data:
            nn.init.xavier_uniform_(judge[None])

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`bce`, a scalar; 0 where no row has events of two domains."""
        tokens = output.tokens
        domain = torch.where(tokens.valid & (tokens.event >= 0), tokens.domain, -1)
        own, mixed, corrupted = (output.traces[name].to(self.weight.dtype) for name in (OWN, MIXED, CORRUPTED))
        total = self.weight.new_zeros(())
        for d in range(len(self.weight)):
            here, there = domain == d, (domain >= 0) & (domain != d)
            says = here.any(dim=1) & there.any(dim=1)
            prototype = _mean(own, here)
            real, false = (self._score(d, prototype, _mean(states, there)) for states in (mixed, corrupted[d]))
            each = F.softplus(-real) + F.softplus(false)
            total = total + (each * says).sum() / says.sum().clamp_min(1)
        return {"bce": total}

    def _score(self, domain: int, one: Tensor, other: Tensor) -> Tensor:
        """The log-odds (B) that two prototypes (B, w) belong together."""
        return ((one @ self.weight[domain]) * other).sum(dim=-1) + self.bias[domain]


def _mean(states: Tensor, some: Tensor) -> Tensor:
    """The mean of states (B, S, w) over some tokens (B, S), (B, w); 0 where there is none."""
    counted = some.unsqueeze(-1)
    return (states * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)
