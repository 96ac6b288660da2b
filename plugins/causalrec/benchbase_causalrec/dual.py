"""The multipliers of the augmented Lagrangian beta h + rho h^2 / 2."""

import torch
from torch import Tensor, nn


class Dual(nn.Module):
    """beta <- beta + rho h; rho grows where h did not fall enough since the last time. All in `state_dict`.

    Source: Zheng et al. 2018, section 3.2 (their alpha is beta); once an epoch, from its mean h, as in the paper.
    """

    rho: Tensor
    beta: Tensor
    last: Tensor

    def __init__(self, rho: float, beta: float, growth: float = 10.0, fall: float = 0.25, rho_max: float = 1e6):
        super().__init__()
        self.growth, self.fall, self.rho_max = growth, fall, rho_max
        self.active = rho > 0 or beta > 0  # from 0 neither ever grows
        for name, value in (("rho", rho), ("beta", beta), ("last", float("inf"))):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def penalty(self, h: Tensor, weights: Tensor) -> Tensor:
        """beta times the mean of h (B) plus rho / 2 times the mean of its square, a scalar."""
        return weighted_mean(self.beta.to(h.dtype) * h + self.rho.to(h.dtype) / 2 * h.square(), weights)

    def update(self, h: float) -> None:
        """Take in the mean h since the last update."""
        self.beta += self.rho * h
        if h > self.fall * float(self.last):
            self.rho.copy_((self.rho * self.growth).clamp_max(self.rho_max))
        self.last.fill_(h)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of `values` (B) under `weights` (B); weights that sum to 0 give 0."""
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)
