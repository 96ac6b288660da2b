"""Steps: from the groups of a batch to an update; zero_grad, backward (or the combiner), clipping and step are here
alone.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..assemble import Experiment
from ..data.batches import TrainBatch
from ..errors import RunError
from ..nn import CombinerParameters, Items, SequenceModel, for_several_passes
from .losses import Losses, LossMaker, Means
from .optimizer import tag_parameters

MakeOptimizer = Callable[[list[list[nn.Parameter]]], torch.optim.Optimizer]
"""From groups of parameters, those of the objectives last, to the optimiser over them."""


class Steps:
    """Updates of one model by one optimiser.

    `rate`: the suite's key for the learning rate; `now`: what errors call the time, as `epoch 3`. `seen` is told of
    each group whose losses were made. `routes` are those of attention that ran.
    """

    def __init__(self, experiment: Experiment, model: SequenceModel, make_optimizer: MakeOptimizer,
                 rate: str = "train.lr"):
        self.rate = rate
        self.experiment, self.model, self.loss = experiment, model, LossMaker(experiment, model)
        self.tagged = tag_parameters(model)
        own = [t.parameter for t in self.tagged if t.tag == "objective"]
        self.groups = [group for group in ([t.parameter for t in self.tagged if t.tag != "objective"], own) if group]
        self.parameters = CombinerParameters(
            all=[t.parameter for t in self.tagged], shared=[t.parameter for t in self.tagged if t.tag == "encoder"]
        )
        self.optimizer = make_optimizer(self.groups)
        self.now = ""
        self.seen: Callable[[TrainBatch], None] | None = None
        self.routes: set[str] = set()

    def moved(self, group: TrainBatch) -> TrainBatch:
        """A group on the device, its targets weighted by every objective."""
        device = self.experiment.device
        batch = group.batch.to(device)
        targets = self.loss.weighted(batch, group.targets.to(device))
        drawn = {name: replace(given.to(device), weights=targets.weights) for name, given in group.negatives.items()}
        return TrainBatch(batch, targets, drawn)

    def step(self, groups: list[TrainBatch], means: Means) -> bool:
        """One update from the groups of a batch, each of which counts by its share of the weights; whether anything
        could be learned from them.

        Errors: `RunError` (`diverged`) where the loss is not finite.
        """
        groups = [self.moved(group) for group in groups]
        weights = torch.stack([group.targets.weights.sum() for group in groups]).tolist()
        whole = [(group, weight) for group, weight in zip(groups, weights, strict=True) if weight != 0]
        total = sum(weights)
        if not whole or total == 0:
            return False
        self.optimizer.zero_grad(set_to_none=True)
        if self.experiment.combiner is None:
            self._descend(whole, total, means)
        else:
            means.add(self._combine(whole, total, means), total)
        self._clip()
        self.optimizer.step()
        return any(parameter.grad is not None for parameter in self.parameters.all)

    def check_parameters(self) -> None:
        """The last step's gradients show in no loss: look at what they left. Errors: `RunError` (`diverged`)."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters.all):
            raise RunError(f"training: a parameter is not finite after {self.now}. Expected finite numbers. Lower "
                           f"{self.rate}, or set train.clip.", "diverged")

    def _losses(self, group: TrainBatch, weight: float, means: Means, items: Items | None) -> Losses:
        losses = self.loss(group, items)
        means.add({**losses, **self.loss.logged}, weight)
        if self.seen is not None:
            self.seen(group)
        self.routes.update(self.loss.routes)
        return losses

    def _descend(self, groups: list[tuple[TrainBatch, float]], total: float, means: Means) -> None:
        """The gradient of the weighted sum, group by group, so that one group's graph is held at a time."""
        spent = []
        items, carry_on = for_several_passes(self.model.items("train"))
        for group, weight in groups:
            loss = self.loss.total(self._losses(group, weight, means, items)) * (weight / total)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            spent.append(loss.detach())
        carry_on()
        self._check(torch.stack(spent).sum())

    def _combine(self, groups: list[tuple[TrainBatch, float]], total: float, means: Means) -> dict[str, float]:
        """Let the combiner fill the gradients from the two losses it balances; its weights, for the log."""
        combiner, balance = self.experiment.combiner, self.experiment.balance
        assert combiner is not None and balance is not None
        gathered: Losses = {}
        items = self.model.items("train")
        for group, weight in groups:
            for name, value in self._losses(group, weight, means, items).items():
                share = value * (weight / total)
                gathered[name] = gathered[name] + share if name in gathered else share
        for name in balance:
            if name not in gathered:
                raise RunError(f"combiner: balance names {name}, which no objective returns. "
                               f"Expected two out of {', '.join(sorted(gathered))}.")
        weighted = self.loss.weigh(gathered)
        other = weighted.pop(balance[1])
        main = torch.stack(list(weighted.values())).sum()
        self._check(main.detach() + other.detach())
        used = combiner.combine({balance[0]: main, balance[1]: other}, self.parameters)
        return {f"combiner.{name}": float(value) for name, value in used.items()}

    def _check(self, loss: Tensor) -> None:
        if not math.isfinite(value := float(loss)):
            raise RunError(f"training: the loss is {value} in {self.now}. Expected a finite number. Lower "
                           f"{self.rate}, or set train.clip.", "diverged")

    def _clip(self) -> None:
        clip = self.experiment.suite.train.clip
        if clip is not None:
            for group in self.groups:
                nn.utils.clip_grad_norm_(group, clip)
