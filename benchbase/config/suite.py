"""A suite: the question that a leaderboard answers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ..errors import ConfigError, nearest
from ..registry import Registry
from ..specs import Config, HeadConfig, RecommenderSpec, defaults
from .canonical import SCHEMA, canonical_json
from .expand import Choices, Faults, expand
from .labels import part_labels
from .models import Configuration, Label, Protocol, Train, canonical_choice, distinct
from .parts import Part
from .published import Published, published_faults

MAX_SEED = 2**32 - 1

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(distinct)]
Names = Annotated[tuple[str, ...], AfterValidator(distinct)]


class Head(Config):
    """The plain keys of a suite."""

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64, description="name, of a folder too")
    plugins: Names | None = Field(None, description="plugins it needs; BENCHBASE_AUTOLOAD=0 loads no others")
    seeds: Seeds = Field((1,), min_length=1, description="one run each; they vary training only")
    data_seed: Seed = Field(0, description="seed of the split and of generated data")
    guards: bool = Field(True, description="let installed guard recommenders join a next-item suite")
    baseline: Label | None = Field(None, description="label that all others are compared with; null = the first")


class Suite(Head):
    """Data sets, a protocol and configurations to run, all resolved; equal if they ask the same."""

    datasets: tuple[Part, ...] = Field(min_length=1, description="data sets to run on")
    protocol: Protocol = Field(default_factory=Protocol, description="what is asked and how answers are judged")
    train: Train = Field(default_factory=Train, description="how backbones learn")
    base: dict[str, Any] = Field({}, description="choices that all configurations begin with")
    grid: dict[str, tuple[Any, ...]] = Field({}, description="values per key; every combination is a configuration")
    entries: tuple[dict[str, Any], ...] = Field((), description="further configurations: base plus these keys")
    published: tuple[Published, ...] = Field((), description="figures from elsewhere to stand beside ours")
    source_text: str = Field("", exclude=True, repr=False, description="the text as it was written")
    folder: Path | None = Field(None, exclude=True, description="where relative paths are looked up first")

    def canonical(self) -> dict[str, Any]:
        """The suite as plain data with every default filled in; it loads to an equal suite."""
        head = {key: value for key in Head.model_fields if (value := canonical_choice(getattr(self, key))) is not None}
        figures = {"published": canonical_choice(self.published)} if self.published else {}
        return head | figures | {
            "datasets": canonical_choice(self.datasets),
            "protocol": defaults(self.protocol),
            "train": defaults(self.train),
            "base": _plain(self.base),
            "grid": {key: canonical_choice(values) for key, values in self.grid.items()},
            "entries": [_plain(entry) for entry in self.entries],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Suite) and canonical_json(self.canonical()) == canonical_json(other.canonical())

    def __hash__(self) -> int:
        return hash(canonical_json(self.canonical()))

    def configurations(self, registry: Registry) -> list[Configuration]:
        """Every configuration, different and labelled, guards last; ConfigError where the keys make no whole."""
        faults = Faults()
        found = expand_all(self, registry, faults)
        if faults.found:
            raise ConfigError(f"{'.'.join(map(str, steps))}: {message}" for steps, message in faults.found)
        return found

    @property
    def dataset_labels(self) -> list[str]:
        """A short name for each data set, in order."""
        return part_labels(self.datasets)


def expand_all(suite: Suite, registry: Registry, faults: Faults) -> list[Configuration]:
    """The suite's configurations and its guards; what is wrong is noted in `faults`."""
    base, asks_actions = suite.base, "action" in suite.protocol.tasks
    if asks_actions and not base.get("recommender"):
        base = {"head": HeadConfig(), **base}
    found = expand(base, suite.grid, suite.entries, faults)
    if not asks_actions:
        for steps, choices in ((("base",), suite.base), (("grid",), suite.grid),
                               *((("entries", i), entry) for i, entry in enumerate(suite.entries))):
            if choices.get("head"):
                faults.add((*steps, "head"), "a head predicts actions. Expected it with tasks: [action]. Remove it.")
    if suite.guards and "next_item" in suite.protocol.tasks:
        found += _guards(found, registry)
    labels = [each.label for each in found]
    if suite.baseline is not None and suite.baseline not in labels and not faults.found:
        message = f"no configuration is called '{suite.baseline}'. {nearest(suite.baseline, labels, 'Labels')}"
        faults.add(("baseline",), message)
    if not faults.found:
        metrics, datasets = suite.protocol.metrics, suite.dataset_labels
        faults.found += published_faults(suite.published, labels, metrics, datasets)
    return found


def _guards(configurations: Sequence[Configuration], registry: Registry) -> list[Configuration]:
    """The guards that are not among the configurations already."""
    known = {canonical_json(each.canonical()) for each in configurations}
    labels = {each.label for each in configurations}
    found = []
    for offer in registry.offers("recommender"):
        if isinstance(offer.spec, RecommenderSpec) and offer.spec.guard:
            part = Part(kind="recommender", name=offer.spec.name, config=offer.spec.config())
            label = part.name if part.name not in labels else f"{part.name} (guard)"
            guard = Configuration(label=label, recommender=part)
            if canonical_json(guard.canonical()) not in known:
                found.append(guard)
    return found


def _plain(choices: Choices) -> dict[str, Any]:
    return {key: canonical_choice(value) for key, value in choices.items()}


def run_id(configuration: Configuration, suite: Suite, data_hash: str, seed: int) -> str:
    """Twelve hex digits that name a run by all that can change its result.

    The data is named by the hash of its prepared form, so that the same file under another path is the same run;
    label, ablate and other configurations of the suite have no part in it.
    """
    identity = {
        "schema": SCHEMA,
        "configuration": configuration.canonical(),
        "protocol": defaults(suite.protocol),
        "train": defaults(suite.train),
        "data": data_hash,
        "data_seed": suite.data_seed,
        "seed": seed,
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:12]
