"""The structure of a linear model from data: the solver that the objective's Lagrangian is tested with, and a tool."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .acyclicity import acyclicity
from .dual import Dual


class LinearSEM:
    """W of x = W' x + e with independent noise of equal variance, for several data sets at once.

    Minimises 1/2 mean |x - W' x|^2 + lambda |W| under h(W) = 0, by Adam and the augmented Lagrangian, one step of the
    multipliers after every `steps` of Adam. `data` (B, n, d) or (n, d): samples, centred here. Each data set has
    multipliers of its own. Source: Zheng et al. 2018 with another optimiser; the schedule is that of `causal_dag`.
    """

    def __init__(self, data: Tensor, *, sparsity: float = 0.1, lr: float = 0.01, steps: int = 200, bound: float = 20.0):
        data = data[None] if data.dim() == 2 else data
        centred = data - data.mean(dim=1, keepdim=True)
        self.covariance = centred.transpose(1, 2) @ centred / data.shape[1]
        self.sparsity, self.steps, self.bound = sparsity, steps, bound
        self.eye = torch.eye(data.shape[2], dtype=data.dtype, device=data.device)
        self.relation = torch.zeros_like(self.covariance, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.relation], lr=lr)
        self.duals = [Dual(1.0, 0.0) for _ in range(len(data))]
        self.trace: list[list[tuple[float, float, float]]] = [[] for _ in self.duals]

    def run(self, updates: int) -> Tensor:
        """Go on for so many updates of the multipliers; W (B, d, d). `trace` grows by (rho, beta, h) of each."""
        for _ in range(updates):
            for _ in range(self.steps):
                self._step()
            with torch.no_grad():
                h = acyclicity(self._edges(), self.bound)
            for dual, trace, value in zip(self.duals, self.trace, h.tolist(), strict=True):
                trace.append((float(dual.rho), float(dual.beta), value))
                dual.update(value)
        return self._edges().detach()

    def graph(self, threshold: float = 0.3) -> Tensor:
        """Which edges there are, (B, d, d) bool: i causes j where |W[i, j]| reaches the threshold."""
        return self._edges().detach().abs() >= threshold

    def state_dict(self) -> dict[str, Any]:
        """All that a later run goes on from."""
        return copy.deepcopy({"relation": self.relation.detach(), "optimizer": self.optimizer.state_dict(),
                              "duals": [dual.state_dict() for dual in self.duals], "trace": self.trace})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.relation.copy_(state["relation"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        for dual, saved in zip(self.duals, state["duals"], strict=True):
            dual.load_state_dict(saved)
        self.trace = [list(each) for each in state["trace"]]

    def _edges(self) -> Tensor:
        return self.relation * (1 - self.eye)

    def _step(self) -> None:
        w = self._edges()
        residual = self.eye - w
        fit = (residual * (self.covariance @ residual)).sum(dim=(1, 2)) / 2
        rho, beta = (torch.stack([getattr(dual, name) for dual in self.duals]).to(w)
                     for name in ("rho", "beta"))
        h = acyclicity(w, self.bound)
        loss = fit + self.sparsity * w.abs().sum(dim=(1, 2)) + beta * h + rho / 2 * h.square()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.sum())
        self.optimizer.step()
