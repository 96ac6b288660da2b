"""From a group of rows to its losses, and their means over an epoch."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from ..assemble import Experiment
from ..data.batches import Batch, Targets, TrainBatch
from ..errors import PluginError, RunError
from ..evaluate import autocast
from ..nn import Items, Objective, Output, SequenceModel, Tokens

Losses = dict[str, Tensor]


class LossMaker:
    """From a group of rows to its losses by `objective.term`; remembers the routes and tokens of the last call.

    Errors: `PluginError` for losses or weights of another shape than the contract's.
    """

    def __init__(self, experiment: Experiment, model: SequenceModel):
        self.experiment, self.model = experiment, model
        self.weights = experiment.weights or {}
        self.objectives = dict(model.objectives.items())
        self.logged: Losses = {}
        self.routes: tuple[str, ...] = ()
        self.valid: Tensor | None = None  # the tokens of the last group that are no padding

    def weighted(self, batch: Batch, targets: Targets) -> Targets:
        """The targets with every objective's example weights multiplied in."""
        return weigh_examples(self.model, targets, batch)

    def __call__(self, group: TrainBatch, items: Items | None = None) -> Losses:
        """Every loss of a group, unweighted, means under the targets' weights; `logged` then holds other numbers.

        `items`: their vectors, where they are made already for all groups of a step.
        """
        groups = Groups(self.model)
        with autocast(self.experiment):
            encoded = self.model.encode(group.batch, "train", groups if groups.asking else None, items)
        output = self.model.output(encoded, group.batch, group.targets, "train")
        output = replace(output, states=output.states.float())
        self.routes, self.valid = tuple(encoded.routes), encoded.tokens.valid
        losses, self.logged = ask_objectives(self.model, output, groups, group.targets_for, group.batch)
        return losses

    def tokens(self) -> int:
        """How many tokens the last group had, padding left out."""
        return 0 if self.valid is None else int(self.valid.sum())

    def weigh(self, losses: Losses) -> Losses:
        """The losses times the suite's weights. Errors: `RunError` for a weight of a term that is not there."""
        for name, weight in self.weights.items():
            if isinstance(weight, Mapping):
                terms = {loss.partition(".")[2] for loss in losses if loss.startswith(f"{name}.")}
                if terms and (unknown := set(weight) - terms):  # one may have none yet, before a stream
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


def _versions(targets: Targets) -> list[int]:
    """Counters that go up with every change in place."""
    return [value._version for field in fields(targets) if isinstance(value := getattr(targets, field.name), Tensor)]


class Groups:
    """The groups of keys of all objectives that ask, side by side, and each one's columns of the mass."""

    def __init__(self, model: SequenceModel):
        self.asking = {name: o for name, o in model.objectives.items() if type(o).groups is not Objective.groups}
        self._columns: dict[str, slice] = {}

    def __call__(self, tokens: Tokens) -> Tensor | None:
        found = {name: given for name, o in self.asking.items() if (given := o.groups(tokens)) is not None}
        start = 0
        for name, given in found.items():
            self._columns[name] = slice(start, start := start + given.shape[-1])
        return torch.cat([given.to(tokens.x.dtype) for given in found.values()], dim=-1) if found else None

    def masses_of(self, name: str, masses: Sequence[Tensor]) -> list[Tensor]:
        return [mass[..., self._columns[name]] for mass in masses] if name in self._columns else []


def weigh_examples(model: SequenceModel, targets: Targets, batch: Batch) -> Targets:
    """The targets with every objective's example weights multiplied in; no gradient passes through them."""
    for name, objective in model.objectives.items():
        factors = objective.example_weights(targets, batch)
        if factors is not None:
            _check_shape(f"{name}: example weights", factors, tuple(targets.weights.shape))
            targets = replace(targets, weights=targets.weights * factors.detach())
    return targets


def ask_objectives(model: SequenceModel, output: Output, groups: Groups, targets_for: Callable[[str], Targets],
                   batch: Batch) -> tuple[Losses, Losses]:
    """Every loss and every logged number by `objective.name`; each objective sees its own masses and generator.

    Errors: `PluginError` where one is no scalar, or a logged number has the name of a loss.
    """
    losses: Losses = {}
    logged: Losses = {}
    for name, objective in model.objectives.items():
        targets = targets_for(name)
        seen = replace(output, masses=groups.masses_of(name, output.masses),
                       generator=model.generators[f"objective.{name}"])
        before = _versions(targets)
        found = objective.losses(seen, targets, batch)
        if _versions(targets) != before:
            raise PluginError(f"{name}: it changes the targets it is given. Expected them untouched: others read them.")
        for term, loss in found.items():
            _check_shape(f"{name}: the term {term}", loss, ())
            losses[f"{name}.{term}"] = loss
        if type(objective).logs is Objective.logs:
            continue
        with torch.no_grad():
            for term, value in objective.logs(seen, targets, batch).items():
                _check_shape(f"{name}: the logged {term}", value, ())
                if f"{name}.{term}" in losses:
                    raise PluginError(f"{name}: the logged {term} has the name of a loss. Expected another name.")
                logged[f"{name}.{term}"] = value
    return losses, logged


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
        """Means of one objective's terms and logged numbers, by name."""
        named = ((*name.partition("."), value) for name, value in self.result().items())
        return {term: value for owner, _, term, value in named if owner == objective}
