"""The stream of a prequential split: each period is predicted, then learned from, by the protocol's own steps."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from .. import evaluate
from ..assemble import Experiment, settled
from ..data.batches import Feed, TrainBatch
from ..data.draws import derive_seed
from ..data.rules import Prequential
from ..data.sequences import item_counts, train_events
from ..errors import RunError
from ..evaluate.ranking import Watcher
from ..memory import peak_memory, trim_heap
from ..nn import Objective, SequenceModel
from .losses import Means
from .steps import Steps

CheckTime = Callable[[str], None]
"""Told what is being done; raises where there is no time left."""


@dataclass(frozen=True)
class Streamed:
    """What was predicted of the stream, all periods together, and how accuracy went.

    `curve`: (period, name, value), periods from 1, 0 before the stream: `stream.<metric>` of the period,
    `retained.<metric>` after it, `stream.<loss>` while it was learned from. `figures`: what is retained before and
    after the stream, and accuracy in its first and last period, by metric. `seconds` of learning; `peak_memory` in
    bytes.
    """

    tested: evaluate.Assessment
    curve: list[tuple[int, str, float]]
    figures: dict[str, float]
    seconds: float
    peak_memory: int


def predict_then_learn(experiment: Experiment, top_k: int = 0, watch: Watcher | None = None,
                       minutes_left: float | None = None) -> Streamed:
    """Go through the stream with a trained model, or a recommender that is fitted anew after each period.

    What it draws depends on the run's seed and the period, not on how training went. `watch` is shown rankings of the
    whole stream. Errors: `RunError` as of training, `timeout` once `minutes_left` are over.
    """
    with settled(experiment.suite.train.threads):
        return _Stream(experiment, top_k, watch, minutes_left).run()


class _Stream:
    def __init__(self, experiment: Experiment, top_k: int, watch: Watcher | None, minutes_left: float | None):
        stream, config = experiment.data.split.stream, experiment.suite.protocol.split.config
        assert stream is not None and isinstance(config, Prequential)
        self.experiment, self.stream, self.config = experiment, stream, config
        self.top_k, self.watch, self.minutes = top_k, watch, minutes_left
        self.places = evaluate.ranked_events(experiment, "test") if watch is not None else None
        self.learner = _Recommending(experiment) if experiment.model is None else _Learner(experiment, experiment.model)
        self.curve: list[tuple[int, str, float]] = []
        self.start, self.seconds = time.perf_counter(), 0.0

    def run(self) -> Streamed:
        found: list[evaluate.Assessment] = []
        retained = [self._retained(0)]
        self._timed(partial(self.learner.begin, self._check_time))
        for period in range(self.stream.n_periods):
            asked = evaluate.when(self.experiment, period)
            found.append(evaluate.assess(asked, "test", self.top_k, self._watching(asked)))
            self._note(period + 1, "stream", self._values(found[-1]))
            losses = self._timed(partial(self.learner.learn, period, self._check_time))
            self._note(period + 1, "stream", losses)
            retained.append(self._retained(period + 1))
            trim_heap()
        ends = {"retained_before": retained[0], "retained_after": retained[-1],
                "first_period": self._values(found[0]), "last_period": self._values(found[-1])}
        figures = {f"{what}.{name}": value for what, values in ends.items() for name, value in values.items()}
        return Streamed(evaluate.join(found), self.curve, figures, self.seconds, peak_memory())

    def _values(self, found: evaluate.Assessment) -> dict[str, float]:
        return evaluate.metric_values(found, self.experiment.suite.protocol.metrics)

    def _timed(self, what: Callable[[], dict[str, float]]) -> dict[str, float]:
        start = time.perf_counter()
        done = what()
        self.seconds += time.perf_counter() - start
        return done

    def _retained(self, period: int) -> dict[str, float]:
        """The metrics of the retained events, all after earlier events alone, with the parameters of now."""
        if not len(self.stream.retained_events):
            return {}
        values = self._values(evaluate.assess(self.experiment, "retained"))
        self._note(period, "retained", values)
        return values

    def _note(self, period: int, what: str, values: dict[str, float]) -> None:
        self.curve += [(period, f"{what}.{name}", value) for name, value in values.items()]

    def _watching(self, asked: Experiment) -> Watcher | None:
        """The watch of the whole stream, shown a period's events at their places in it."""
        watch, places = self.watch, self.places
        if watch is None or places is None:
            return None
        at = places.searchsorted(evaluate.ranked_events(asked, "test"))
        return lambda index, scores, states: watch(at[index], scores, states)

    def _check_time(self, now: str) -> None:
        if self.minutes is not None and time.perf_counter() - self.start > 60 * self.minutes:
            raise RunError(f"training: over {self.experiment.suite.train.minutes} minutes in {now}. Expected an end "
                           "before train.minutes. Allow more, or fewer periods.", "timeout")


class _Recommending:
    """A recommender, fitted anew on all that was learned from by then."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment

    def begin(self, check_time: CheckTime) -> dict[str, float]:
        return {}

    def learn(self, period: int, check_time: CheckTime) -> dict[str, float]:
        check_time(f"period {period + 1}")
        data, context = self.experiment.data, self.experiment.context
        split, interactions = data.split.at(period + 1), data.prepared.interactions
        known = replace(context, item_counts=item_counts(interactions, split, context.n_items),
                        train=partial(train_events, interactions, split))
        self.experiment.recommender.fit(train_events(interactions, split), known)
        return {}


class _Learner:
    """A model and the protocol's own optimiser, whose momentum lasts from period to period."""

    def __init__(self, experiment: Experiment, model: SequenceModel):
        config = experiment.suite.protocol.split.config
        assert isinstance(config, Prequential) and experiment.feed is not None
        self.experiment, self.model, self.config, self.feed = experiment, model, config, experiment.feed
        self.seed = _seed(experiment)
        self.steps = Steps(experiment, model, self._optimizer, "protocol.split.lr")

    def _optimizer(self, groups: list[list[nn.Parameter]]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": group} for group in groups], lr=self.config.lr,
                               momentum=self.config.momentum, fused=True)

    def begin(self, check_time: CheckTime) -> dict[str, float]:
        self._ended(self.feed, 0, check_time)
        return {}

    def learn(self, period: int, check_time: CheckTime) -> dict[str, float]:
        """Learn from every event of a period that has one before it; the means of the losses."""
        split = self.experiment.data.split
        assert split.stream is not None
        check_time(f"period {period + 1}")
        feed = self.feed.learning(split.at(period + 1), split.stream.period == period, self.seed)
        self._settle(period)
        self.model.train()
        self.steps.now, means, buckets = f"period {period + 1}", Means(), self.experiment.suite.train.buckets
        for epoch in range(self.config.epochs):
            number = period * self.config.epochs + epoch + 1
            for groups in feed.train_batches(number, self.config.batch, buckets):
                self.steps.step(groups, means)
                check_time(self.steps.now)
        self.steps.check_parameters()
        self._ended(feed, period + 1, check_time)
        return means.result()

    def _ended(self, feed: Feed, period: int, check_time: CheckTime) -> None:
        """Tell the objectives that ask for it that all of a feed was learned from."""
        asking = [each for each in self.model.objectives.values()
                  if type(each).period_ended is not Objective.period_ended]
        if not asking or not len(feed.rows):
            return
        self.model.eval()
        for objective in asking:
            self._settle(-period - 1)
            drawn = feed.examples(derive_seed(self.seed, "examples", period))
            examples = self._timely(drawn, period, check_time)
            objective.period_ended(examples, lambda group: self.steps.loss.total(self.steps.loss(group)))
        self.model.zero_grad(set_to_none=True)

    def _timely(self, drawn: Iterator[TrainBatch], period: int, check_time: CheckTime) -> Iterator[TrainBatch]:
        """Single targets on the device, as long as there is time."""
        for group in drawn:
            check_time(f"the end of period {period}")
            yield self.steps.moved(group)

    def _settle(self, period: int) -> None:
        """Give every generator a start of its own, so that nothing depends on what was drawn before."""
        torch.manual_seed(derive_seed(self.seed, "torch", period))
        for name, generator in self.model.generators.items():
            generator.manual_seed(derive_seed(self.seed, name, period))


def _seed(experiment: Experiment) -> int:
    return derive_seed(experiment.seed, "stream")
