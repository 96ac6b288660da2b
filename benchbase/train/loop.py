"""The loop: epochs of steps, evaluations of the valid part, checkpoints; a run can end and go on between any two."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .. import checkpoint, evaluate
from ..assemble import Experiment, settled
from ..data.batches import TrainBatch
from ..data.draws import derive_seed
from ..data.sequences import train_events
from ..errors import RunError
from ..memory import peak_memory, reset_peak, trim_heap
from ..metrics import higher_is_better
from ..nn import SequenceModel
from .losses import Means
from .optimizer import make_optimizer
from .steps import Steps


@dataclass(frozen=True)
class Progress:
    """What is known after an evaluation: the selection metric now and at its best, and seconds spent so far.

    `metric` and `best` are None where no valid event can be evaluated.
    """

    epoch: int
    epochs: int
    metric_name: str
    metric: float | None
    best: float | None
    seconds: float


@dataclass(frozen=True)
class Fit:
    """How training went; the experiment is left with its best parameters.

    `curve`: (epoch, name, value); `stopped`: plateau | epochs | fitted; `seconds` over all sittings;
    `peak_memory` in bytes; `route`: attention routes that ran; `tokens_per_sequence`: mean over sequences; `history`:
    likewise the events before the window and the tokens that stand for them, where a compressor makes such;
    `device`: cpu, or the model of the GPU; each in turn where a later sitting was on another one.
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
    history: tuple[float, float] | None = None


@dataclass
class State:
    """Where training stands, as plain JSON; with tensors and generators it is all that a later sitting needs.

    `evaluated` and `best_epoch`: the last epoch that was evaluated, and the best one; `waited`: evaluations since.
    `peak`: the largest memory of all sittings, in bytes; `devices`: what they ran on, in turn.
    """

    epoch: int = 0
    evaluated: int = 0
    best_epoch: int = 0
    best: float | None = None
    waited: int = 0
    curve: list[tuple[int, str, float]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    sequences: int = 0
    history_events: int = 0
    history_tokens: int = 0
    routes: list[str] = field(default_factory=list)
    peak: int = 0
    devices: list[str] = field(default_factory=list)


def fit(experiment: Experiment, folder: Path | None = None, report: Callable[[Progress], None] | None = None) -> Fit:
    """Train to the plateau of the valid part, going on from a checkpoint in `folder` if there is one.

    `report` is called after each evaluation.
    Errors: `RunError` (`diverged` where a loss or a parameter is not finite, `timeout` past `train.minutes`).
    """
    reset_peak()
    with settled(experiment.suite.train.threads):
        if experiment.model is None:
            return _fit_recommender(experiment)
        return _Trainer(experiment, experiment.model, folder, report or (lambda progress: None)).fit()


def _fit_recommender(experiment: Experiment) -> Fit:
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
        self.steps = Steps(experiment, model, lambda groups: make_optimizer(groups, experiment))
        for objective in self.steps.loss.objectives.values():
            objective.bind(self.steps.tagged)
        torch.manual_seed(derive_seed(experiment.seed, "torch"))
        self.state, self.best_state = State(), dict[str, Tensor]()
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.state.seconds + time.perf_counter() - self.start

    def fit(self) -> Fit:
        self._resume()
        state = self.state
        if (name := device_name(self.experiment.device)) not in state.devices[-1:]:
            state.devices.append(name)
        while not self._plateau() and state.epoch < self.train.epochs:
            state.epoch += 1
            self._run_epoch()
            if state.epoch % self.train.eval_every == 0 or state.epoch == self.train.epochs:
                self._evaluate()
            self._save()
            trim_heap()
        if self.best_state:
            self.model.load_state_dict(self.best_state)
        return Fit(
            state.curve, state.epoch, state.best_epoch, state.best_epoch == state.evaluated,
            "plateau" if self._plateau() else "epochs", self.seconds,
            max(state.peak, peak_memory()),
            sum(p.numel() for p in self.model.parameters()), tuple(state.routes),
            state.tokens / max(state.sequences, 1), ", then ".join(state.devices), self._history(),
        )

    def _history(self) -> tuple[float, float] | None:
        """Events before the window and tokens that stand for them, means over sequences."""
        if self.model.compressor is None:
            return None
        sequences = max(self.state.sequences, 1)
        return self.state.history_events / sequences, self.state.history_tokens / sequences

    def _plateau(self) -> bool:
        return 0 < self.train.patience <= self.state.waited

    def _run_epoch(self) -> None:
        self.model.train()
        feed = self.experiment.feed
        assert feed is not None
        means, learned, steps = Means(), False, self.steps
        steps.now, steps.seen = f"epoch {self.state.epoch}", self._count if self.state.epoch == 1 else None
        for groups in feed.train_batches(self.state.epoch, self.train.batch, self.train.buckets):
            learned |= steps.step(groups, means)
            if self.train.minutes is not None and self.seconds > 60 * self.train.minutes:
                raise RunError(f"training: over {self.train.minutes} minutes in epoch {self.state.epoch}. "
                               "Expected an end before train.minutes. Allow more, or fewer epochs.", "timeout")
        if not learned:
            raise RunError(f"training: epoch {self.state.epoch} changed nothing: no loss had a gradient, or every "
                           "example weighed 0. Expected a loss that depends on the parameters. Check the objectives.")
        steps.check_parameters()
        self.state.routes = sorted({*self.state.routes, *steps.routes})
        self.state.curve += [(self.state.epoch, f"train.{name}", value) for name, value in means.result().items()]
        for name, objective in steps.loss.objectives.items():
            objective.epoch_ended(means.of(name))

    def _count(self, group: TrainBatch) -> None:
        """What a sequence holds; later epochs read the same ones."""
        self.state.tokens += self.steps.loss.tokens()
        self.state.sequences += group.batch.n_rows
        if group.batch.history is not None:
            self.state.history_events += len(group.batch.history.items)
            self.state.history_tokens += int(group.batch.plan.tokens.sum())

    def _evaluate(self) -> None:
        """Assess the valid part; keep the parameters where they are the best so far.

        Where no valid event can be evaluated nothing can be selected: the last parameters are the best known.
        """
        state, value = self.state, None
        state.evaluated = state.epoch
        found = evaluate.assess(self.experiment, "valid") if len(self.experiment.data.split.valid_events) else None
        if found is None or not len(found):
            state.best_epoch = state.epoch
        else:
            values = evaluate.metric_values(found, self.experiment.suite.protocol.metrics)
            state.curve += [(state.epoch, f"valid.{name}", each) for name, each in values.items()]
            value = values[self.metric]
            self._select(value)
        self.report(Progress(state.epoch, self.train.epochs, self.metric, value, state.best, self.seconds))

    def _select(self, value: float) -> None:
        state = self.state
        state.waited += 1
        if state.best is None or (value > state.best if higher_is_better(self.metric) else value < state.best):
            state.best, state.best_epoch, state.waited = value, state.epoch, 0
            self.best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def _save(self) -> None:
        self.state.peak = max(self.state.peak, peak_memory())
        if self.folder is None:
            return
        tensors = {"model": self.model.state_dict(), "best": self.best_state}
        if self.experiment.combiner is not None:
            tensors["combiner"] = self.experiment.combiner.state_dict()
        progress = asdict(self.state) | {"seconds": self.seconds}
        state = checkpoint.Checkpoint(tensors, self.steps.optimizer.state_dict(), self._generator_states(), progress)
        checkpoint.save(self.folder, self.state.epoch, state)

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
        self.steps.optimizer.load_state_dict(dict(found.optimizer))
        self.state = State(**found.progress)
        self._restore_generators(found.generators)
        if not self.state.devices:  # older ones name none
            kind, here = "cuda" if "cuda" in found.generators else "cpu", self.experiment.device
            self.state.devices.append(device_name(here) if here.type == kind else kind)
        self.state.curve = [(epoch, name, value) for epoch, name, value in self.state.curve]

    def _restore_generators(self, states: Mapping[str, Tensor]) -> None:
        """Let every generator go on where it was; after a move to another kind of device, on seeds of their own."""
        torch.set_rng_state(states["cpu"])
        moved = (self.experiment.device.type == "cuda") != ("cuda" in states)
        for name, generator in self.model.generators.items():
            if moved:
                generator.manual_seed(derive_seed(self.experiment.seed, "moved", self.state.epoch, name))
            elif (state := states.get(f"part.{name}")) is not None:  # older ones know no objectives'
                generator.set_state(state)
        if "cuda" in states and not moved:
            torch.cuda.set_rng_state(states["cuda"], self.experiment.device)


def device_name(device: torch.device) -> str:
    """What numbers may depend on: the model of a GPU, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
