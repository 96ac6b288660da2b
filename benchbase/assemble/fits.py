"""Which parts fit each other: asked before any compute, answered with both names and what is missing."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

from ..config import Configuration, Part, Suite
from ..data import SPLITS, Interactions, Prepared
from ..data.windows import WINDOWINGS
from ..errors import BenchbaseError, PluginError, Refusal, brief, nearest
from ..metrics import action_metric
from ..registry import Registry
from ..specs import CombinerConfig, Needs
from .data import RunData
from .model import build_context


def check(configuration: Configuration, suite: Suite, registry: Registry, data: RunData) -> None:
    """Refuse a configuration whose parts, protocol and data do not fit each other. Errors: `Refusal`."""
    interactions, catalogue = data.prepared.interactions, data.prepared.catalogue
    if len(suite.protocol.tasks) > 1:
        refuse("protocol.tasks", "a run has one task", "tasks: [next_item] or tasks: [action]; make two suites")
    if suite.protocol.tasks == ("action",):
        _actions(configuration, suite, interactions)
    if suite.protocol.candidates == "domain" and catalogue.domain is None:
        refuse("protocol.candidates", "the data set has no domains", "candidates: catalogue")
    if configuration.sequence.events == "own_domain" and catalogue.domain is None:
        refuse("sequence.events", "the data set has no domains", "events: all")
    if configuration.sequence.mislabelled and (catalogue.domain is None or len(catalogue.domain_names) < 2):
        refuse("sequence.mislabelled", "the data set has no two domains", "mislabelled: 0")
    if configuration.reads(suite.protocol) > suite.protocol.window:
        refuse("sequence.window", f"{configuration.sequence.window} events are more than the window that the protocol "
               f"allows, {suite.protocol.window}", f"at most {suite.protocol.window}")
    if configuration.recommender is None:
        _Fit(configuration, suite, registry).check(data.prepared)
    else:
        part = configuration.recommender
        needs = ask(registry, part, "needs")
        _task_and_data(part, needs, suite, data.prepared)
    _own_reasons(configuration, suite, registry, data)


def _actions(configuration: Configuration, suite: Suite, interactions: Interactions) -> None:
    """Refuse the action task where nothing can be predicted, or by nobody."""
    names, protocol = interactions.label_names, suite.protocol
    if not names:
        refuse("protocol.tasks", "the data set has no action that is 0 or 1 in every event", "tasks: [next_item]")
    for metric in filter(None, map(action_metric, protocol.metrics)):
        if metric.action is not None and metric.action not in names:
            raise Refusal(f"protocol.metrics: {metric} is of no action that is predicted. "
                          f"{nearest(metric.action, names, 'Actions')}")
    if configuration.recommender is not None:
        refuse(configuration.recommender.name, "a recommender ranks items, it predicts no actions", "a backbone")
    window = configuration.reads(protocol)
    if protocol.action_candidates >= window:
        refuse("protocol.action_candidates", f"{protocol.action_candidates} of a window of {window} leave no "
               "event to read", f"fewer than {window}")


def _own_reasons(configuration: Configuration, suite: Suite, registry: Registry, data: RunData) -> None:
    """Ask the parts that have reasons of their own; what they are told lacks the backbone's sizes."""
    asked = [part for part in configuration.parts() if registry.get(part.kind, part.name).refuse is not None]
    context = build_context(configuration, suite, data) if asked else None
    for part in asked:
        reason = ask(registry, part, "refuse", context)
        if reason is not None and not isinstance(reason, str):
            raise PluginError(f"{_origin(registry, part)}: refuse returned {reason!r:.40}. Expected the reason as "
                              "text, or None. Mend the plugin.")
        if reason:
            raise Refusal(reason)


def ask(registry: Registry, part: Part, what: str, *context: Any) -> Any:
    """What a part says of itself: `refuse` under this context, any other field resolved for its parameters.

    Errors: `PluginError` naming part and distribution where it fails, or breaks the contract.
    """
    spec = registry.get(part.kind, part.name)
    try:
        if what == "refuse":
            assert spec.refuse is not None
            return spec.refuse(part.config, *context)
        return spec.resolve(what, part.config)
    except (Exception, SystemExit) as error:
        if isinstance(error, BenchbaseError) and not isinstance(error, PluginError):
            raise  # of the user's files, or of what is not installed
        raise PluginError(f"{_origin(registry, part)}: {what} failed: {brief(error)}. Expected an answer, not an "
                          "error. Mend the plugin.") from error


def _origin(registry: Registry, part: Part) -> str:
    return f"{part.kind} {part.name} of {registry.offer(part.kind, part.name).distribution}"


def refuse(where: str, what: str, expected: str) -> NoReturn:
    """Raise the refusal of a pair, in the form of every message."""
    raise Refusal(f"{where}: {what}. Expected {expected}.")


def _task_and_data(part: Part, needs: Needs, suite: Suite, prepared: Prepared) -> None:
    """Refuse a part whose tasks or data are not at hand."""
    tasks, interactions, catalogue = suite.protocol.tasks, prepared.interactions, prepared.catalogue
    if needs.tasks is not None and not needs.tasks & set(tasks):
        refuse(part.name, f"it does not fit tasks {', '.join(tasks)}", _one_of(needs.tasks))
    if needs.stream and SPLITS[split := suite.protocol.split.name].follow is None:
        streams = [rule.name for rule in SPLITS.values() if rule.follow is not None]
        refuse(f"{part.name} + split {split}", "nothing is learned after training, so that nothing can be forgotten",
               f"split: {_one_of(streams)}")
    missing = [name for name, needed, there in (
        ("timestamps", needs.time, catalogue.has_time),
        ("domains", needs.domains, catalogue.domain is not None),
        ("actions", needs.actions, bool(interactions.action_names)),
        ("categories", needs.categories is True, bool(catalogue.categories)),
    ) if needed and not there]
    if missing:
        refuse(part.name, f"the data set has no {', no '.join(missing)}", "a data set that has")
    categories = frozenset() if isinstance(needs.categories, bool) else needs.categories
    for what, wanted, known in (("categories", categories, catalogue.categories),
                                ("item feature", needs.features, catalogue.columns),
                                ("item vectors", needs.vectors, catalogue.vectors),
                                ("mark of events", needs.marks, interactions.mark_names),
                                ("groups of users by", needs.user_groups, prepared.groups)):
        if lacking := [f"{what} {name}" for name in sorted(wanted - set(known))]:
            refuse(part.name, f"the data set has no {', no '.join(lacking)}",
                   f"a data set that has; at hand: {', '.join(sorted(known)) or 'none'}")


class _Fit:
    """One configuration's parts with their specs."""

    def __init__(self, configuration: Configuration, suite: Suite, registry: Registry):
        self.configuration, self.suite, self.registry = configuration, suite, registry
        if configuration.backbone is None:
            refuse("configuration", "it has no backbone", "a backbone or a recommender")
        self.backbone = configuration.backbone
        self.layout = configuration.layout.kind
        self.training = ask(registry, self.backbone, "training")
        self.causal = bool(ask(registry, self.backbone, "causal"))
        self.attention = ask(registry, self.backbone, "attention")
        self.sites = frozenset(ask(registry, self.backbone, "sites"))

    def check(self, prepared: Prepared) -> None:
        self._names_once()
        self._layout(prepared.interactions)
        self._supervision()
        for part in self.configuration.parts():
            self._needs(part, self._needs_of(part))
            _task_and_data(part, self._needs_of(part), self.suite, prepared)
        for part in self.configuration.modifiers:
            self._honours(part, frozenset(ask(self.registry, part, "sites")))
        if self.configuration.compressor is not None:  # its tokens stand where a prefix stands
            self._honours(self.configuration.compressor, frozenset({"prefix"}))
        self._traces()
        self._combiner()
        self._explainers()

    def _needs_of(self, part: Part) -> Needs:
        needs = ask(self.registry, part, "needs")
        assert isinstance(needs, Needs)
        return needs

    def _names_once(self) -> None:
        if not self.configuration.objectives:
            refuse(self.backbone.name, "it has no objective to learn from", "at least one under `objectives`")
        choice = self.configuration
        for parts in (choice.encoders, choice.modifiers, choice.objectives, choice.explainers):
            name, count = Counter(part.name for part in parts).most_common(1)[0] if parts else ("", 0)
            if count > 1:
                refuse(name, "it stands in one configuration twice",
                       "each encoder, modifier, objective and explainer once")

    def _layout(self, interactions: Interactions) -> None:
        fitting = ask(self.registry, self.backbone, "layouts")
        if self.layout not in fitting:
            refuse(f"{self.backbone.name} + layout {self.layout}", "the backbone does not take it", _one_of(fitting))
        if self.layout != "items" and not interactions.action_names:
            refuse(f"layout {self.layout}", "the data set has no actions to make tokens of", "layout: items")
        split = self.suite.protocol.split.name
        if self.configuration.layout.user_token and SPLITS[split].new_users:
            refuse(f"layout.user_token + split {split}", "nothing is learned of the tokens of users that have no "
                   "train events, and those are evaluated", "user_token: false, or a split that trains on every user")

    def _supervision(self) -> None:
        supervise, protocol = self.suite.train.supervise, self.suite.protocol
        if supervise == "candidates" and protocol.tasks != ("action",):
            refuse("train.supervise", "candidates are of the action task alone", "all or last")
        if supervise == "candidates" and not protocol.action_candidates:
            refuse("train.supervise", "protocol.action_candidates is 0, so there are none to learn from",
                   "action_candidates: 1 or more, or supervise: all or last")
        if protocol.tasks == ("action",):
            self._one_direction(supervise)
        windows, window = self.suite.train.windows, self.configuration.reads(self.suite.protocol)
        stride = WINDOWINGS[windows.name].stride(windows.config, window)
        if stride is not None and stride > window:
            refuse("train.windows", f"{windows.text} leaves out events between windows of {window}",
                   f"a stride of at most {window}, or chunks")
        for part in self.configuration.modifiers:
            if not ask(self.registry, part, "reads_events"):
                continue
            if self.attention == "none":
                refuse(f"{part.name} + {self.backbone.name}", "its prefix reads events, which takes attention",
                       "a backbone with attention")
            if self.causal and supervise != "last":
                refuse(f"{part.name} + {self.backbone.name}", "its prefix reads events, so under a causal backbone "
                       "earlier positions would see later ones", "train.supervise: last")

    def _one_direction(self, supervise: str) -> None:
        """Refuse what would see an action that is to be predicted, or has no state to predict it from."""
        name = self.backbone.name
        if self.training != "next" or not self.causal:
            kind = "masked training" if self.training != "next" else "a bidirectional backbone"
            refuse(f"{name} + tasks [action]", f"{kind} sees later actions", "a causal backbone with next training")
        if self.attention == "none" and self.suite.protocol.action_candidates > 1:
            refuse(f"{name} + protocol.action_candidates", "without attention candidates see each other",
                   "a backbone with attention, or action_candidates: 0 or 1")
        if self.layout == "stacked" and supervise == "all":
            refuse("layout stacked + tasks [action]", "a token of item and action has no state that does not know the "
                   "action, unless that is hidden", "train.supervise: last or candidates, or layout: interleaved")

    def _needs(self, part: Part, needs: Needs) -> None:
        """Compare what a part needs with what it meets."""
        pairs = (
            (needs.layouts, {self.layout}, f"layout {self.layout}"),
            (needs.attention, {self.attention}, f"the {self.attention} attention of {self.backbone.name}"),
            (needs.training, {self.training}, f"{self.training} training of {self.backbone.name}"),
        )
        for wanted, met, name in pairs:
            if wanted is not None and not wanted & met:
                refuse(f"{part.name} + {self.backbone.name}", f"{part.name} does not fit {name}", _one_of(wanted))
        if needs.causal is not None and needs.causal != self.causal:
            kind = "causal" if self.causal else "bidirectional"
            refuse(f"{part.name} + {self.backbone.name}", f"{part.name} does not fit a {kind} backbone",
                   "a causal one" if needs.causal else "a bidirectional one")
        if needs.bare_items and self.configuration.encoders:
            refuse(f"{part.name} + {self.configuration.encoders[0].name}",
                   f"{part.name} shapes the table of items, and encoders add to it", "no encoders")
        if needs.groups and self.attention != "softmax":
            refuse(f"{part.name} + {self.backbone.name}",
                   f"attention mass is not defined for {self.attention} attention", "a backbone with softmax attention")

    def _honours(self, part: Part, sites: frozenset[str]) -> None:
        missing = sites - self.sites
        if missing:
            refuse(f"{part.name} + {self.backbone.name}", f"the backbone does not honour the site {min(missing)}",
                   f"a backbone that does; {self.backbone.name} honours {', '.join(sorted(self.sites)) or 'none'}")

    def _traces(self) -> None:
        published = {name for part in (self.backbone, *self.configuration.modifiers)
                     for name in ask(self.registry, part, "publishes")}
        for part in self.configuration.objectives:
            missing = self._needs_of(part).traces - published
            if missing:
                refuse(part.name, f"no part publishes the trace {min(missing)}",
                       f"a backbone or modifier that does; traces at hand: {', '.join(sorted(published)) or 'none'}")

    def _combiner(self) -> None:
        part = self.configuration.combiner
        if part is None:
            return
        config = part.config
        if not isinstance(config, CombinerConfig):
            refuse(part.name, "its parameters lack `balance`", "a config that is a CombinerConfig")
        objectives = {objective.name for objective in self.configuration.objectives}
        expected = f"objective.term out of {', '.join(sorted(objectives))}"
        for loss in config.balance:
            name, _, term = loss.partition(".")
            if name not in objectives:
                refuse(part.name, f"balance names {loss}, whose objective is not in the configuration", expected)
            if not term:
                refuse(part.name, f"balance names {loss}, an objective without its term", expected)
        if len(set(config.balance)) == 1:
            refuse(part.name, f"balance names {config.balance[0]} twice", "two different losses")

    def _explainers(self) -> None:
        """Refuse explainers where evidence could not be taken away."""
        choice, split = self.configuration, self.suite.protocol.split.name
        if not choice.explainers:
            return
        name = choice.explainers[0].name
        if self.suite.protocol.tasks == ("action",):
            refuse(f"{name} + tasks [action]", "an explainer says why an item is recommended", "tasks: [next_item]")
        if SPLITS[split].follow is not None:
            refuse(f"{name} + split {split}", "the model goes on learning from what it is asked", "another split")
        if choice.compressor is not None:
            refuse(f"{name} + {choice.compressor.name}", "a token of the history stands for more than one event",
                   "no compressor, or no explainers")
        if choice.sequence.events != "all":
            refuse(f"{name} + sequence.events", "explainers tell of all events of a window", "events: all")


def _one_of(names: Iterable[str]) -> str:
    return " or ".join(sorted(names)) or "none"
