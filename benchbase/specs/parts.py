"""One spec for every kind of part, checked when it is made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ValidationError

from ..errors import PluginError
from .config import CombinerConfig, Config
from .contexts import BuildContext, DataContext
from .names import API, ATTENTION, LAYOUTS, RESERVED, SITES, TRAINING, check_names
from .needs import Needs, Source

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
            check_names(where, what, value, SITES if what == "sites" else LAYOUTS)
    known = {"training": TRAINING, "attention": ATTENTION}.get(what)
    if known is not None and (not isinstance(value, str) or value not in known):
        raise PluginError(f"{where}: {what} {value!r:.40} unknown. Expected one of {', '.join(sorted(known))}.")


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
    """A sequence encoder, tokens in and states out; `sites` are those it honours for modifiers, `publishes` names the
    traces it offers to objectives, as modifiers do.
    """

    kind: ClassVar[str] = "backbone"
    training: Resolvable = "next"
    causal: Resolvable = True
    attention: Resolvable = "softmax"
    sites: Resolvable = frozenset()
    layouts: Resolvable = LAYOUTS
    publishes: Resolvable = frozenset()

    def _check(self, where: str) -> None:
        check_names(where, "sites", self.sites, SITES)
        check_names(where, "layouts", self.layouts, LAYOUTS)
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
        check_names(where, "sites", self.sites, SITES)
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
class EncoderSpec(Spec):
    """What is known of items in, item vectors out; they are added to those of the core's table."""

    kind: ClassVar[str] = "encoder"


@dataclass(frozen=True, kw_only=True)
class ExplainerSpec(Spec):
    """Says why items were recommended: `build` returns a `benchbase.data.Explainer`, asked once all is ranked.

    The core takes the evidence away and asks the model again; no other result depends on an explainer.
    """

    kind: ClassVar[str] = "explainer"


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
    for spec in (DatasetSpec, BackboneSpec, ModifierSpec, ObjectiveSpec, CombinerSpec, CompressorSpec, EncoderSpec,
                 ExplainerSpec, RecommenderSpec)
}
