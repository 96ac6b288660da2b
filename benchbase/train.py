"""Train: the one loop; it alone does zero_grad, backward (or asks the combiner), clipping, step and logging."""

import ctypes
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint, evaluate
from .assemble import Experiment
from .data.batches import Batch, Targets, TrainBatch
from .data.draws import derive_seed
from .errors import RunError
from .memory import peak_memory, reset_peak
from .nn import CombinerParameters, Objective, Output, SequenceModel, TaggedParameter, Tokens

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """What is known after an epoch: the selection metric now and at its best, and seconds spent so far."""

    epoch: int
    epochs: int
    metric_name: str
    metric: float
    best: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """How training went; the experiment is left with its best parameters.

    `curve`: (epoch, name, value); `stopped`: plateau | epochs | fitted; `seconds` over all sittings;
    `peak_memory` in bytes; `route`: attention routes that ran; `tokens_per_sequence`: mean over sequences.
    """

    curve: list[tuple[int, str, float]]
    epochs: int
    best_epoch: int
    under_trained: bool
    stopped: str
    seconds: float
    peak_memory: int
    parameters: int
    route: tuple[str, ...]
    tokens_per_sequence: float
    device: str


def fit(experiment: Experiment, folder: Path | None = None, report: Callable[[Progress], None] | None = None) -> Fit:
    """Train to the plateau of the valid part, going on from a checkpoint in `folder` if there is one.

    Errors: `RunError` (`diverged` where a loss is not finite, `timeout` past `train.minutes`).
    """
    torch.set_num_threads(experiment.suite.train.threads)
    reset_peak()
    if experiment.model is None:
        return _fit_recommender(experiment)
    return _Trainer(experiment, experiment.model, folder, report or (lambda progress: None)).fit()


def _fit_recommender(experiment: Experiment) -> Fit:
    from .data.sequences import train_events

    start = time.perf_counter()
    data = experiment.data
    experiment.recommender.fit(train_events(data.prepared.interactions, data.split), experiment.context)
    seconds = time.perf_counter() - start
    return Fit([], 0, 0, False, "fitted", seconds, peak_memory(), 0, (), 0.0, "cpu")


class _Trainer:
    def __init__(self, experiment: Experiment, model: SequenceModel, folder: Path | None,
                 report: Callable[[Progress], None]):
        self.experiment, self.model, self.folder, self.report = experiment, model, folder, report
        self.train, self.metric = experiment.suite.train, experiment.suite.protocol.metrics[0]
        self.loss = LossMaker(experiment, model)
        tagged = tag_parameters(model)
        own = [t.parameter for t in tagged if t.tag == "objective"]
        self.groups = [group for group in ([t.parameter for t in tagged if t.tag != "objective"], own) if group]
        self.combiner_parameters = CombinerParameters(
            all=[t.parameter for t in tagged], shared=[t.parameter for t in tagged if t.tag == "encoder"]
        )
        self.optimizer = make_optimizer(self.groups, experiment)
        for objective in self._objectives():
            objective.bind(tagged)
        torch.manual_seed(derive_seed(experiment.seed, "torch"))
        self.epoch, self.best_epoch, self.waited, self.best = 0, 0, 0, -math.inf
        self.curve: list[tuple[int, str, float]] = []
        self.best_state: dict[str, Tensor] = {}
        self.earlier, self.start = 0.0, time.perf_counter()
        self.tokens = self.sequences = 0
        self.routes: set[str] = set()

    def _objectives(self) -> list[Objective]:
        return [o for o in self.model.objectives.values() if isinstance(o, Objective)]

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.start

    def fit(self) -> Fit:
        self._resume()
        while not self._finished():
            self.epoch += 1
            self._run_epoch()
            if self.epoch % self.train.eval_every == 0 or self.epoch == self.train.epochs:
                self._evaluate()
            self._save()
            trim_heap()
        self.model.load_state_dict(self.best_state or self.model.state_dict())
        stopped = "epochs" if self.epoch >= self.train.epochs else "plateau"
        last = max((epoch for epoch, name, _ in self.curve if name == f"valid.{self.metric}"), default=self.epoch)
        return Fit(
            self.curve, self.epoch, self.best_epoch, self.best_epoch == last, stopped, self.seconds, peak_memory(),
            sum(p.numel() for p in self.model.parameters()), tuple(sorted(self.routes)),
            self.tokens / max(self.sequences, 1), self.experiment.device.type,
        )

    def _finished(self) -> bool:
        plateau = self.train.patience > 0 and self.waited >= self.train.patience
        return plateau or self.epoch >= self.train.epochs

    def _run_epoch(self) -> None:
        self.model.train()
        feed = self.experiment.feed
        assert feed is not None
        means = _Means()
        for groups in feed.train_batches(self.epoch, self.train.batch, self.train.buckets):
            self._step([self._moved(group) for group in groups], means)
            if self.train.minutes is not None and self.seconds > 60 * self.train.minutes:
                raise RunError(f"training: over {self.train.minutes} minutes in epoch {self.epoch}. "
                               "Expected an end before train.minutes. Allow more, or fewer epochs.", "timeout")
        for name, value in means.result().items():
            self.curve.append((self.epoch, f"train.{name}", value))
        for name, objective in self.model.objectives.items():
            if isinstance(objective, Objective):
                objective.epoch_ended(means.of(name))

    def _moved(self, group: TrainBatch) -> TrainBatch:
        device = self.experiment.device
        targets = self.loss.weighted(group.batch.to(device), group.targets.to(device))
        drawn = {name: replace(given.to(device), weights=targets.weights) for name, given in group.negatives.items()}
        return TrainBatch(group.batch.to(device), targets, drawn)

    def _step(self, groups: list[TrainBatch], means: "_Means") -> None:
        """One update from the groups of a batch; each group counts by its share of the weights."""
        total = sum(float(group.targets.weights.sum()) for group in groups)
        if total <= 0:
            return
        self.optimizer.zero_grad(set_to_none=True)
        gathered: Losses = {}
        for group in groups:
            share = float(group.targets.weights.sum()) / total
            losses = self.loss(group)
            means.add(losses, share, len(groups))
            self._note(group)
            if self.experiment.combiner is None:
                self._backward(self.loss.total(losses) * share)
            else:
                for name, value in losses.items():
                    gathered[name] = gathered[name] + value * share if name in gathered else value * share
        if self.experiment.combiner is not None:
            means.log(self._combine(gathered))
        means.step_ended()
        self._clip()
        self.optimizer.step()

    def _backward(self, loss: Tensor) -> None:
        self._check(loss)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def _check(self, loss: Tensor) -> None:
        if not math.isfinite(float(loss)):
            raise RunError(f"training: the loss is {float(loss)} in epoch {self.epoch}. Expected a finite number. "
                           "Lower train.lr, or set train.clip.", "diverged")

    def _combine(self, losses: Losses) -> dict[str, float]:
        """Let the combiner fill the gradients from the two losses it balances."""
        combiner, balance = self.experiment.combiner, self.experiment.balance
        assert combiner is not None and balance is not None
        for name in balance:
            if name not in losses:
                raise RunError(f"combiner: balance names {name}, which no objective returns. "
                               f"Expected two out of {', '.join(sorted(losses))}.")
        weighted = self.loss.weigh(losses)
        other = weighted.pop(balance[1])
        main = torch.stack(list(weighted.values())).sum()
        self._check(main + other)
        used = combiner.combine({balance[0]: main, balance[1]: other}, self.combiner_parameters)
        return {f"combiner.{name}": float(value) for name, value in used.items()}

    def _clip(self) -> None:
        if self.train.clip is not None:
            for group in self.groups:
                nn.utils.clip_grad_norm_(group, self.train.clip)

    def _note(self, group: TrainBatch) -> None:
        self.tokens += self.loss.tokens
        self.sequences += group.batch.n_rows
        self.routes.update(self.loss.routes)

    def _evaluate(self) -> None:
        """Rank the valid part; keep the parameters where they are the best so far."""
        if not len(self.experiment.data.split.valid_events):
            self.best_epoch = self.epoch
            return
        ranking = evaluate.rank(self.experiment, "valid")
        values = evaluate.metric_values(ranking, self.experiment.suite.protocol.metrics)
        self.curve += [(self.epoch, f"valid.{name}", value) for name, value in values.items()]
        if values[self.metric] > self.best:
            self.best, self.best_epoch, self.waited = values[self.metric], self.epoch, 0
            self.best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        else:
            self.waited += 1
        self.report(Progress(self.epoch, self.train.epochs, self.metric, values[self.metric], self.best, self.seconds))

    def _save(self) -> None:
        if self.folder is None:
            return
        tensors = {"model": self.model.state_dict(), "best": self.best_state}
        if self.experiment.combiner is not None:
            tensors["combiner"] = self.experiment.combiner.state_dict()
        progress = {
            "epoch": self.epoch, "best_epoch": self.best_epoch, "waited": self.waited, "best": self.best,
            "curve": self.curve, "seconds": self.seconds, "tokens": self.tokens, "sequences": self.sequences,
            "routes": sorted(self.routes),
        }
        state = checkpoint.Checkpoint(tensors, self.optimizer.state_dict(), self._generator_states(), progress)
        checkpoint.save(self.folder, self.epoch, state)

    def _generator_states(self) -> dict[str, Tensor]:
        states = {f"part.{name}": generator.get_state() for name, generator in self.model.generators.items()}
        states["cpu"] = torch.get_rng_state()
        if self.experiment.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.experiment.device)
        return states

    def _resume(self) -> None:
        found = checkpoint.load(self.folder, self.experiment.device) if self.folder is not None else None
        if found is None:
            return
        self.model.load_state_dict(found.tensors["model"])
        self.best_state = dict(found.tensors["best"])
        if self.experiment.combiner is not None:
            self.experiment.combiner.load_state_dict(found.tensors["combiner"])
        self.optimizer.load_state_dict(dict(found.optimizer))
        for name, generator in self.model.generators.items():
            generator.set_state(found.generators[f"part.{name}"])
        torch.set_rng_state(found.generators["cpu"])
        if "cuda" in found.generators and self.experiment.device.type == "cuda":
            torch.cuda.set_rng_state(found.generators["cuda"], self.experiment.device)
        progress = found.progress
        self.epoch, self.best_epoch, self.waited = progress["epoch"], progress["best_epoch"], progress["waited"]
        self.best, self.earlier = progress["best"], progress["seconds"]
        self.curve = [(epoch, name, value) for epoch, name, value in progress["curve"]]
        self.tokens, self.sequences, self.routes = progress["tokens"], progress["sequences"], set(progress["routes"])


class LossMaker:
    """From a group of rows to its losses by `objective.term`; remembers the routes and tokens of the last call."""

    def __init__(self, experiment: Experiment, model: SequenceModel):
        self.experiment, self.model = experiment, model
        self.weights = experiment.weights or {}
        self.objectives = {name: o for name, o in model.objectives.items() if isinstance(o, Objective)}
        self.grouping = [name for name, o in self.objectives.items() if type(o).groups is not Objective.groups]
        self.routes: tuple[str, ...] = ()
        self.tokens = 0

    def weighted(self, batch: Batch, targets: Targets) -> Targets:
        """The targets with every objective's example weights multiplied in."""
        for objective in self.objectives.values():
            factors = objective.example_weights(targets, batch)
            if factors is not None:
                targets = replace(targets, weights=targets.weights * factors.detach())
        return targets

    def __call__(self, group: TrainBatch) -> Losses:
        """Every loss of a group, unweighted, means under the targets' weights."""
        slices: dict[str, slice] = {}
        with evaluate.autocast(self.experiment):
            encoded = self.model.encode(group.batch, "train", self._groups(slices) if self.grouping else None)
        output = self.model.output(encoded, group.batch, group.targets, "train")
        output = replace(output, states=output.states.float())
        self.routes, self.tokens = tuple(encoded.routes), int(encoded.tokens.valid.sum())
        losses = {}
        for name, objective in self.objectives.items():
            seen = replace(output, masses=_own_masses(output, slices.get(name)))
            for term, loss in objective.losses(seen, group.targets_for(name), group.batch).items():
                losses[f"{name}.{term}"] = loss
        return losses

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


def _own_masses(output: Output, own: slice | None) -> list[Tensor]:
    return [] if own is None else [mass[..., own] for mass in output.masses]


class _Means:
    """Means over an epoch's steps of every loss and logged number."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.steps = 0

    def add(self, losses: Losses, share: float, groups: int) -> None:
        for name, value in losses.items():
            self.sums[name] += float(value.detach()) * share

    def log(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] += value

    def step_ended(self) -> None:
        self.steps += 1

    def result(self) -> dict[str, float]:
        return {name: total / max(self.steps, 1) for name, total in self.sums.items()}

    def of(self, objective: str) -> dict[str, float]:
        """Means of one objective's terms, by term."""
        return {name.partition(".")[2]: value for name, value in self.result().items() if name.startswith(f"{objective}.")}


def tag_parameters(model: SequenceModel) -> list[TaggedParameter]:
    """Every trained parameter with the part it belongs to."""
    return [TaggedParameter(name, _tag(name), p) for name, p in model.named_parameters() if p.requires_grad]  # type: ignore[arg-type]


def _tag(name: str) -> str:
    top = name.partition(".")[0]
    tags = {"embedding": "embedding", "actions": "embedding", "users": "embedding", "objectives": "objective",
            "scorer": "head", "readout": "head"}
    if name == "scorer.table":
        return "embedding"
    return tags.get(top, "encoder")


def make_optimizer(groups: list[list[nn.Parameter]], experiment: Experiment) -> torch.optim.Optimizer:
    """The optimiser of the suite over the parameter groups."""
    train = experiment.suite.train
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer]
    return kind([{"params": group} for group in groups], lr=train.lr, betas=(0.9, train.beta2),
                weight_decay=train.weight_decay, fused=True)


def trim_heap() -> None:
    """Give freed memory back to the system: ever-changing shapes fragment the heap of glibc."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
