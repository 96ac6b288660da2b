"""Experiment: everything one run needs, built and ready to train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from ..config import Configuration, Suite
from ..data import Explainer
from ..data.batches import Feed, FeedConfig, OwnDomainFeed
from ..data.draws import derive_seed
from ..data.mislabel import mislabelled
from ..data.windows import WINDOWINGS
from ..errors import RunError
from ..nn import Combiner, SequenceModel
from ..registry import Registry
from ..specs import BuildContext, CombinerConfig, Negatives
from .data import RunData
from .fits import check
from .model import Builder, build_context
from .settings import settled


@dataclass
class Experiment:
    """One configuration on one data set with one seed: a sequence model with its feed, or a recommender.

    `weights` by objective: one number, or one per term. `balance` names the two losses of `combiner`. `explainers` are
    built once all is ranked: until then they cost nothing.
    """

    configuration: Configuration
    suite: Suite
    data: RunData
    seed: int
    context: BuildContext
    device: torch.device
    model: SequenceModel | None = None
    feed: Feed | None = None
    weights: Mapping[str, float | Mapping[str, float]] | None = None
    combiner: Combiner | None = None
    balance: tuple[str, str] | None = None
    recommender: Any = None
    explainers: Mapping[str, Callable[[], Explainer]] = field(default_factory=dict)


def assemble(configuration: Configuration, suite: Suite, registry: Registry, data: RunData, seed: int) -> Experiment:
    """Build the parts of a configuration and put them together.

    Errors: `Refusal` where they do not fit, `RunError` where this machine lacks the device.
    """
    check(configuration, suite, registry, data)
    with settled(suite.train.threads):
        return _assemble(configuration, suite, registry, data, seed)


def _assemble(configuration: Configuration, suite: Suite, registry: Registry, data: RunData, seed: int) -> Experiment:
    told = as_told(configuration, data, seed)
    context = build_context(configuration, suite, told)
    if configuration.recommender is not None:
        part = configuration.recommender
        own = derive_seed(seed, "recommender", part.name)
        context = replace(context, seed=own)
        torch.manual_seed(own)
        built = registry.get("recommender", part.name).build(part.config, context)
        return Experiment(configuration, suite, data, seed, context, torch.device("cpu"), recommender=built)
    device = choose_device(suite.train.device)
    builder = Builder(configuration, registry, context, seed, device)
    model = builder.build()
    feed = _feed(configuration, suite, registry, told, seed, model)
    experiment = Experiment(
        configuration, suite, data, seed, context, device, model, feed,
        weights={part.name: part.weight for part in configuration.objectives},
    )
    if configuration.combiner is not None:
        config = configuration.combiner.config
        assert isinstance(config, CombinerConfig)
        experiment.combiner = builder.combiner(configuration.combiner)
        experiment.balance = config.balance
    experiment.explainers = {part.name: partial(builder.explainer, part) for part in configuration.explainers}
    return experiment


def as_told(configuration: Configuration, data: RunData, seed: int) -> RunData:
    """The data as the parts of a model see it, some domains wrong if the configuration says so."""
    share = configuration.sequence.mislabelled
    if not share:
        return data
    catalogue = mislabelled(data.prepared.catalogue, share, derive_seed(seed, "mislabelled"))
    return replace(data, prepared=replace(data.prepared, catalogue=catalogue))


def choose_device(wanted: str) -> torch.device:
    """The device a suite asks for; `auto` is the GPU where there is one.

    Errors: `RunError` for a missing GPU: that is a fact about this machine, another may run the same cell.
    """
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise RunError("train.device: no CUDA device is at hand. Expected one. Use device: auto or cpu.")
    return torch.device("cuda" if present and wanted != "cpu" else "cpu")


def _feed(configuration: Configuration, suite: Suite, registry: Registry, data: RunData, seed: int,
          model: SequenceModel) -> Feed:
    protocol, train = suite.protocol, suite.train
    config = FeedConfig(
        window=configuration.reads(protocol), masked=model.traits.masked, query_time=protocol.query_time,
        supervise=train.supervise, mask_rate=train.mask_rate, seed=seed, negatives=_negatives(configuration, registry),
        task=protocol.tasks[0], candidates=protocol.action_candidates,
        stride=WINDOWINGS[train.windows.name].stride(train.windows.config, configuration.reads(protocol)),
    )
    prepared = data.prepared
    made = OwnDomainFeed if configuration.sequence.events == "own_domain" else Feed
    return made(prepared.interactions, prepared.catalogue, data.split, config, model.compressor)


def _negatives(configuration: Configuration, registry: Registry) -> dict[str, Negatives]:
    asked = {
        part.name: registry.get("objective", part.name).resolve("needs", part.config).negatives
        for part in configuration.objectives
    }
    return {name: request for name, request in asked.items() if request is not None}
