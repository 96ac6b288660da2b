"""What a plugin says about each part it offers: frozen specs, checked when they are made.

A spec describes; the object that its `build` returns acts. Nothing here imports torch, numpy or data.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import PluginError

API = 1
"""Major version of the contract between the core and its plugins."""

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})
"""Places in a backbone that a modifier can change (see `benchbase.nn.Modifier`)."""

LAYOUTS = frozenset({"items", "stacked", "interleaved"})
TASKS = frozenset({"next_item", "action"})
ATTENTION = frozenset({"softmax", "pointwise", "none"})
TRAINING = frozenset({"next", "masked"})
LAWS = ("uniform", "popularity", "in_batch", "mixed")
"""Laws that negatives are drawn from (see `Negatives`)."""

SCOPES = ("position", "sequence", "batch")
RESERVED = frozenset({"name", "weight"})
"""Keys of a part in a suite that are not parameters of the part."""


class Config(BaseModel):
    """Parameters of a part: typed, bounded, described; unknown keys are refused and values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class ScorerConfig(Config):
    """How a state becomes a score for every item; one choice for loss and ranking."""

    score: Literal["dot", "cosine"] = Field("dot", description="product of query and item vector, or their cosine")
    output: Literal["tied", "separate"] = Field("tied", description="item vectors: those of the input, or their own")
    temperature: float = Field(1.0, gt=0, description="scores are divided by it")
    bias: bool = Field(False, description="add a learned bias per item")


class LayoutConfig(Config):
    """How events become tokens: one token an event, item and action summed, or item and action in turn."""

    kind: Literal["items", "stacked", "interleaved"] = Field("items", description="tokens made of an event")
    position: Literal["from_start", "from_end"] = Field("from_start", description="end that positions count from")
    user_token: bool = Field(False, description="put a learned token of the user first")


class HeadConfig(Config):
    """How a state becomes a probability for every action that is predicted; one choice for loss and evaluation.

    Source of `mmoe`: Ma et al. 2018, Modeling task relationships in multi-task learning with multi-gate
    mixture-of-experts, eq. (5) to (7).
    """

    kind: Literal["mlp", "mmoe"] = Field("mlp", description="one hidden layer that all actions share, or experts that "
                                                            "each mixes by a gate of its own")
    hidden: int = Field(64, ge=1, description="units of the hidden layer, or of each expert and tower")
    experts: int = Field(4, ge=1, description="experts of mmoe")


class CombinerConfig(Config):
    """Parameters that every combiner has."""

    balance: tuple[str, str] = Field(description="the two losses to balance, main first, as objective.term")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a technique comes from."""

    paper: str
    url: str = ""
    code: str = ""
    commit: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.paper, self.url, self.code, self.commit) if part)


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Negative items that an objective asks the core to draw.

    `law`: `uniform`; `popularity`, the share of the train part's events; `mixed`, popularity for a share `mix` of
    the draws and uniform for the rest; `in_batch`, up to `count` targets of the step, each taken once. `scope`: one
    draw per predicted position, per sequence, or per batch. `keep_positive` leaves accidental positives in
    (otherwise they are redrawn per position, and masked by the objective where a draw is shared).
    """

    count: int
    law: Literal["uniform", "popularity", "in_batch", "mixed"] = "uniform"
    scope: Literal["position", "sequence", "batch"] = "position"
    keep_positive: bool = False
    mix: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise PluginError(f"Negatives: count is {self.count!r}. Expected a whole number of at least 1.")
        for what, known in (("law", LAWS), ("scope", SCOPES)):
            if (given := getattr(self, what)) not in known:
                raise PluginError(f"Negatives: {what} {given!r} unknown. Expected one of {', '.join(known)}.")
        if self.law == "in_batch" and self.scope != "batch":
            raise PluginError(f"Negatives: law 'in_batch' with scope {self.scope!r}. Expected scope 'batch', since "
                              "all of a step share its targets.")
        if isinstance(self.mix, bool) or not isinstance(self.mix, (int, float)) or not 0 <= self.mix <= 1:
            raise PluginError(f"Negatives: mix is {self.mix!r}. Expected a share from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a part needs of its surroundings; checked by `assemble` before any compute.

    `None` means any. `tasks`, `layouts`: at least one must be what the suite runs. `attention`:
    `softmax` or `pointwise`. `actions`: the part reads them. `categories`: some, or the columns of these names.
    `traces`: names that some modifier must publish. `groups`: attention mass.
    """

    tasks: frozenset[str] | None = None
    layouts: frozenset[str] | None = None
    attention: frozenset[str] | None = None
    training: frozenset[str] | None = None
    causal: bool | None = None
    time: bool = False
    domains: bool = False
    actions: bool = False
    categories: bool | frozenset[str] = False
    traces: frozenset[str] = frozenset()
    groups: bool = False
    negatives: Negatives | None = None
    features: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        any_or_sets = {"tasks": TASKS, "layouts": LAYOUTS, "attention": ATTENTION, "training": TRAINING}
        for what in (*any_or_sets, "traces", "features", "categories"):
            given = getattr(self, what)
            if (what == "categories" and isinstance(given, bool)) or (what in any_or_sets and given is None):
                continue
            if not isinstance(given, (set, frozenset)):
                raise PluginError(f"Needs: {what} is {given!r}. Expected a set of names.")
            if what in any_or_sets:
                _check_names("Needs", what, given, any_or_sets[what])


@dataclass(frozen=True)
class BuildContext:
    """Facts given to every `build`: sizes, catalogue features and statistics of the train part only.

    `item_counts` (n_items + 1,) counts train-part events per item, entry 0 is padding. Positions are below
    `window`; `max_tokens` are those of the events of a full window. `width`, `n_heads` and `n_layers` are the
    backbone's, 0 while the backbone itself is built; `state_width` is the width that a modifier's `readout`
    meets, and that the states for predicting actions have. `predicted` names the actions that the action task asks for,
    `rates` (K,) their shares of the train part. `seed` is for
    recommenders, from the run's seed and their name; parts of a model are built under torch's own generator.
    """

    n_items: int
    n_users: int
    window: int
    max_tokens: int
    catalogue: Any = None
    item_counts: Any = None
    action_names: tuple[str, ...] = ()
    predicted: tuple[str, ...] = ()
    rates: Any = None
    n_features: int = 0
    n_domains: int = 0
    has_time: bool = False
    tasks: tuple[str, ...] = ("next_item",)
    layout: str = "items"
    width: int = 0
    n_heads: int = 0
    n_layers: int = 0
    state_width: int = 0
    seed: int = 0


@dataclass(frozen=True)
class DataContext:
    """Where a data set may look for files and keep what it fetches.

    `folders` are searched in order for relative paths (the suite's folder, then `BENCHBASE_DATA`).
    """

    folders: tuple[Any, ...] = ()
    cache: Any = None
    seed: int = 0


Resolvable = Any
"""A value, or a function from the part's config to that value."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One part that a plugin offers: its name, its parameters, and how to build it.

    `build(config, context)` may import heavy libraries; making the spec may not. `refuse(config, context)`
    returns why the part cannot run on such sizes, or None; it is asked before any compute.
    Errors: `PluginError` where a field breaks the contract.
    """

    kind: ClassVar[str] = ""

    name: str
    config: type[Config]
    build: Callable[[Any, Any], Any]
    source: Source | str
    api: int = API
    needs: Resolvable = field(default_factory=Needs)
    refuse: Callable[[Any, BuildContext], str | None] | None = None

    def __post_init__(self) -> None:
        where = f"{type(self).__name__} {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            raise PluginError(f"{where}: not a part name. Expected lower-case letters, digits and _, "
                              "starting with a letter.")
        if not (isinstance(self.config, type) and issubclass(self.config, Config)):
            raise PluginError(f"{where}: config is {self.config!r}. Expected a subclass of benchbase.Config.")
        if not callable(self.build):
            raise PluginError(f"{where}: build is not callable. Expected build(config, context).")
        if not str(self.source):
            raise PluginError(f"{where}: source is empty. Expected the paper or the origin of the part.")
        if taken := RESERVED & set(self.config.model_fields):
            raise PluginError(f"{where}: parameter {min(taken)!r} is reserved for the suite. Rename it.")
        if self.refuse is not None and not callable(self.refuse):
            raise PluginError(f"{where}: refuse is not callable. Expected refuse(config, context), or None.")
        if not callable(self.needs):
            _check_value(where, "needs", self.needs)
        self._check(where)

    def _check(self, where: str) -> None:
        """Check the fields of one kind of spec."""

    def resolve(self, what: str, config: Config) -> Any:
        """The value of a field that may depend on the part's parameters. PluginError where that breaks the contract."""
        value = getattr(self, what)
        if not callable(value):
            return value
        value = value(config)
        _check_value(f"{type(self).__name__} {self.name!r}", what, value)
        return value


def _check_value(where: str, what: str, value: Any) -> None:
    """Check the value of a field that has been resolved."""
    if what == "needs" and not isinstance(value, Needs):
        raise PluginError(f"{where}: needs is {value!r:.40}. Expected benchbase.Needs, or a function that returns it.")
    if what in ("sites", "layouts", "publishes"):
        if not isinstance(value, (set, frozenset, list, tuple)) or not all(isinstance(name, str) for name in value):
            raise PluginError(f"{where}: {what} is {value!r:.40}. Expected a set of names.")
        if what != "publishes":
            _check_names(where, what, value, SITES if what == "sites" else LAYOUTS)
    known = {"training": TRAINING, "attention": ATTENTION}.get(what)
    if known is not None and (not isinstance(value, str) or value not in known):
        raise PluginError(f"{where}: {what} {value!r:.40} unknown. Expected one of {', '.join(sorted(known))}.")


def _check_names(where: str, what: str, given: Resolvable, known: frozenset[str]) -> None:
    if callable(given) or given is None:
        return
    if isinstance(given, str) or (unknown := set(given) - known):
        wrong = given if isinstance(given, str) else sorted(unknown)
        raise PluginError(f"{where}: {what} {wrong!r} unknown. Expected a set out of {sorted(known)}.")


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set: `build(config, DataContext)` returns a `benchbase.data.Log`.

    `files(config, context)` lists the files the log is read from (their content is part of the cache
    key; empty for generated data); `fetch(config, context)` brings them, where that is possible.
    `truth(config, catalogue, seed)`: for data generated from a known law, a `benchbase.data.Truth` that judges what a
    trained model reveals; its figures stand in the record as `truth.<name>`.
    """

    kind: ClassVar[str] = "dataset"
    files: Callable[[Any, DataContext], list[Any]] = lambda config, context: []
    fetch: Callable[[Any, DataContext], list[Any]] | None = None
    truth: Callable[[Any, Any, int], Any] | None = None
    licence: str = "unknown"
    redistributable: bool = False

    def _check(self, where: str) -> None:
        if not callable(self.files):
            raise PluginError(f"{where}: files is not callable. Expected files(config, context).")
        if self.fetch is not None and not callable(self.fetch):
            raise PluginError(f"{where}: fetch is not callable. Expected fetch(config, context), or None.")
        if self.truth is not None and not callable(self.truth):
            raise PluginError(f"{where}: truth is not callable. Expected truth(config, catalogue, seed), or None.")
        if not isinstance(self.licence, str):
            raise PluginError(f"{where}: licence is {self.licence!r:.40}. Expected its name as text.")


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A sequence encoder, tokens in and states out; `sites` are those it honours for modifiers."""

    kind: ClassVar[str] = "backbone"
    training: Resolvable = "next"
    causal: Resolvable = True
    attention: Resolvable = "softmax"
    sites: Resolvable = frozenset()
    layouts: Resolvable = LAYOUTS

    def _check(self, where: str) -> None:
        _check_names(where, "sites", self.sites, SITES)
        _check_names(where, "layouts", self.layouts, LAYOUTS)
        if not callable(self.training) and self.training not in TRAINING:
            raise PluginError(f"{where}: training {self.training!r} unknown. Expected 'next' or 'masked'.")
        if not callable(self.attention) and self.attention not in ATTENTION:
            raise PluginError(f"{where}: attention {self.attention!r} unknown. "
                              "Expected 'softmax', 'pointwise' or 'none'.")


@dataclass(frozen=True, kw_only=True)
class ModifierSpec(Spec):
    """A change of attention at declared sites; `publishes` names the traces it offers to objectives.

    One that is costly may be left out in scoring, and where no objective needs it (`ctx.wants`).

    `reads_events`: its prefix tokens attend to events, so a causal backbone must supervise only the last.
    """

    kind: ClassVar[str] = "modifier"
    sites: Resolvable
    publishes: Resolvable = frozenset()
    reads_events: Resolvable = False

    def _check(self, where: str) -> None:
        _check_names(where, "sites", self.sites, SITES)
        if not callable(self.sites) and not self.sites:
            raise PluginError(f"{where}: sites is empty. Expected at least one out of {sorted(SITES)}.")


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(Spec):
    """Loss terms, example weights, a score term or groups of keys; whatever of it the parameters ask for."""

    kind: ClassVar[str] = "objective"


@dataclass(frozen=True, kw_only=True)
class CombinerSpec(Spec):
    """The way the losses named in `balance` become one gradient; offered by the objectives hook."""

    kind: ClassVar[str] = "combiner"

    def _check(self, where: str) -> None:
        if not issubclass(self.config, CombinerConfig):
            raise PluginError(f"{where}: config is {self.config.__name__}. "
                              "Expected a subclass of benchbase.CombinerConfig, which has `balance`.")


@dataclass(frozen=True, kw_only=True)
class CompressorSpec(Spec):
    """Long history in, few prefix tokens out."""

    kind: ClassVar[str] = "compressor"


@dataclass(frozen=True, kw_only=True)
class RecommenderSpec(Spec):
    """A whole recommender that is no torch sequence model: `fit(train, context)`, `scores(histories, times)`.

    `guard` marks one that every next-item suite should hold. `deterministic`: the seed changes none of its numbers,
    so that one run stands for all seeds.
    """

    kind: ClassVar[str] = "recommender"
    guard: bool = False
    deterministic: bool = False

    def _check(self, where: str) -> None:
        if not self.guard:
            return
        try:
            self.config()
        except ValidationError as error:
            missing = ", ".join(str(problem["loc"][0]) for problem in error.errors() if problem["loc"])
            raise PluginError(f"{where}: a guard without a default for {missing}. "
                              "Expected defaults for all: guards join suites by themselves.") from error


KINDS: Mapping[str, type[Spec]] = {
    spec.kind: spec
    for spec in (DatasetSpec, BackboneSpec, ModifierSpec, ObjectiveSpec, CombinerSpec, CompressorSpec, RecommenderSpec)
}


def defaults(config: BaseModel) -> dict[str, Any]:
    """Every parameter of a part with its value, ready for canonical JSON: sets sorted, since theirs is no order."""
    plain: dict[str, Any] = _plain(config.model_dump())
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, PurePath):
        return value.as_posix()
    return value if isinstance(value, (str, bool, int, float, type(None))) else str(value)
