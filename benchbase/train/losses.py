"""From a group of rows to its losses, and their means over an epoch."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..assemble import Experiment
from ..data.batches import Batch, Targets, TrainBatch
from ..errors import PluginError, RunError
from ..evaluate import autocast
from ..nn import Objective, Output, SequenceModel, Tokens

Losses = dict[str, Tensor]


class LossMaker:
    """From a group of rows to its losses by `objective.term`; remembers the routes and tokens of the last call.

    Errors: `PluginError` for losses or weights of another shape than the contract's.
    """

    def __init__(self, experiment: Experiment, model: SequenceModel):
        self.experiment, self.model = experiment, model
        self.weights = experiment.weights or {}
        self.objectives = dict(model.objectives.items())
        self.grouping = [name for name, o in self.objectives.items() if type(o).groups is not Objective.groups]
        self.routes: tuple[str, ...] = ()
        self.valid: Tensor | None = None  # the tokens of the last group that are no padding

    def weighted(self, batch: Batch, targets: Targets) -> Targets:
        """The targets with every objective's example weights multiplied in."""
        for name, objective in self.objectives.items():
            factors = objective.example_weights(targets, batch)
            if factors is not None:
                _check_shape(f"{name}: example weights", factors, tuple(targets.weights.shape))
                targets = replace(targets, weights=targets.weights * factors.detach())
        return targets

    def __call__(self, group: TrainBatch) -> Losses:
        """Every loss of a group, unweighted, means under the targets' weights."""
        slices: dict[str, slice] = {}
        with autocast(self.experiment):
            encoded = self.model.encode(group.batch, "train", self._groups(slices) if self.grouping else None)
        output = self.model.output(encoded, group.batch, group.targets, "train")
        output = replace(output, states=output.states.float())
        self.routes, self.valid = tuple(encoded.routes), encoded.tokens.valid
        losses = {}
        for name, objective in self.objectives.items():
            seen = replace(output, masses=_own_masses(output, slices.get(name)))
            for term, loss in objective.losses(seen, group.targets_for(name), group.batch).items():
                _check_shape(f"{name}: the term {term}", loss, ())
                losses[f"{name}.{term}"] = loss
        return losses

    def tokens(self) -> int:
        """How many tokens the last group had, padding left out."""
        return 0 if self.valid is None else int(self.valid.sum())

    def _groups(self, slices: dict[str, slice]) -> Callable[[Tokens], Tensor | None]:
        """All groups of keys that objectives ask for, side by side; `slices` notes whose are whose."""

        def groups(tokens: Tokens) -> Tensor | None:
            found, at = [], 0
            for name in self.grouping:
                given = self.objectives[name].groups(tokens)
                if given is not None:
                    slices[name] = slice(at, at + given.shape[-1])
                    at += given.shape[-1]
                    found.append(given.to(tokens.x.dtype))
            return torch.cat(found, dim=-1) if found else None

        return groups

    def weigh(self, losses: Losses) -> Losses:
        """The losses times the suite's weights. Errors: `RunError` for a weight of a term that is not there."""
        for name, weight in self.weights.items():
            if isinstance(weight, Mapping):
                terms = {loss.partition(".")[2] for loss in losses if loss.startswith(f"{name}.")}
                if unknown := set(weight) - terms:
                    raise RunError(f"{name}: weight names the term {min(unknown)}, which it does not return. "
                                   f"Expected terms out of {', '.join(sorted(terms))}.")
        return {name: value * self._weight(name) for name, value in losses.items()}

    def _weight(self, loss: str) -> float:
        name, _, term = loss.partition(".")
        weight = self.weights.get(name, 1.0)
        return float(weight.get(term, 1.0)) if isinstance(weight, Mapping) else float(weight)

    def total(self, losses: Losses) -> Tensor:
        """The weighted sum. Errors: `RunError` where no objective returns a loss."""
        if not losses:
            raise RunError("training: no objective returns a loss. Expected at least one that does. "
                           "Add one under `objectives`.")
        return torch.stack(list(self.weigh(losses).values())).sum()


def _check_shape(what: str, given: Tensor, shape: tuple[int, ...]) -> None:
    if given.shape != shape:
        raise PluginError(f"{what} has shape {tuple(given.shape)}. Expected {shape}.")


def _own_masses(output: Output, own: slice | None) -> list[Tensor]:
    return [] if own is None else [mass[..., own] for mass in output.masses]


class Means:
    """Means over an epoch's examples of every loss and logged number; they reach the CPU when they are asked for."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor | float] = defaultdict(float)
        self.weights: dict[str, float] = defaultdict(float)

    def add(self, values: Mapping[str, Tensor | float], weight: float) -> None:
        """Take in values that are means over examples of this weight in all."""
        for name, value in values.items():
            self.sums[name] += (value.detach().double() if isinstance(value, Tensor) else value) * weight
            self.weights[name] += weight

    def result(self) -> dict[str, float]:
        return {name: float(total) / self.weights[name] for name, total in self.sums.items()}

    def of(self, objective: str) -> dict[str, float]:
        """Means of one objective's terms, by term."""
        named = ((*name.partition("."), value) for name, value in self.result().items())
        return {term: value for owner, _, term, value in named if owner == objective}
