"""Examples weighed by how unlikely they were to be seen."""

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.errors import RunError
from benchbase.nn import Objective, Output

from .config import IPSConfig
from .propensity import propensities


class InversePropensity(Objective):
    """Weights 1 / e for the examples of every loss, at most 1 / clip; it has no loss of its own.

    Losses are means under the weights, so the estimate is self-normalised. Logged: `effective`, the effective sample
    size as a share of the examples, (sum w)^2 / (n sum w^2); `variance` of the weights over their mean squared; and the
    share `clipped`. Source: Ma et al. 2025, L = (1 / |D|) sum of l / e(u, i); normalised as by Swaminathan and Joachims
    2015, The self-normalized estimator for counterfactual learning.
    """

    def __init__(self, config: IPSConfig, context: BuildContext):
        super().__init__()
        self.clip, self.name = config.clip, config.column
        self.mark = context.mark_names.index(config.column) if config.propensity == "mark" else None
        if self.mark is not None:
            return
        e = torch.from_numpy(propensities(config, context))
        self.register_buffer("weight", (1 / e).to(torch.get_default_dtype()), persistent=False)
        self.weight: Tensor

    def example_weights(self, targets: Targets, batch: Batch) -> Tensor:
        """1 / e of the targets (P). Errors: `RunError` for marks that are no propensities."""
        if self.mark is not None:
            assert targets.marks is not None
            e = targets.marks[:, self.mark].to(targets.weights.dtype)
            if not ((e > 0) & (e <= 1)).all():
                raise RunError(f"ips: the mark {self.name} holds {float(e[~((e > 0) & (e <= 1))][0]):g} for an event. "
                               "Expected shares above 0 and up to 1.")
            return 1 / e.clamp_min(self.clip)
        return self.weight[targets.item].to(targets.weights.dtype)

    def logs(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """Three scalars; other objectives' weights count as shares of an example."""
        w = self.example_weights(targets, batch)
        given = (targets.weights / w).double()  # without ours
        w, n = w.double(), given.sum().clamp_min(1e-300)
        first, second = (given * w).sum() / n, (given * w * w).sum() / n
        effective = first**2 / second.clamp_min(1e-300)
        clipped = (given * (w * self.clip > 1 - 1e-6)).sum() / n
        return {"effective": effective, "variance": 1 / effective.clamp_min(1e-300) - 1, "clipped": clipped}
