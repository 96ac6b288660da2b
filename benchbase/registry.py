"""The registry: every part that installed plugins offer, and every plugin that is broken, with the reason.

It walks the entry points of the group `benchbase` itself, in sorted order, so that one broken plugin stops no
other and the order of installation changes nothing.
"""

import inspect
import os
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from . import hooks
from .errors import BenchbaseError, PluginError, nearest
from .specs import API, KINDS, Spec

GROUP = "benchbase"
DISABLE = "BENCHBASE_DISABLE"
AUTOLOAD = "BENCHBASE_AUTOLOAD"


@dataclass(frozen=True)
class Plugin:
    """An entry point: its name, the distribution that brings it, and the module it lives in."""

    name: str
    distribution: str
    version: str
    module: str


@dataclass(frozen=True)
class Offer:
    """A spec and where it comes from."""

    spec: Spec
    plugin: str
    distribution: str
    version: str
    module: str

    @property
    def key(self) -> tuple[str, str]:
        return self.spec.kind, self.spec.name


@dataclass(frozen=True)
class Quarantine:
    """A plugin that cannot be used, or one of its specs (then `kind` and `name` say which), and why."""

    plugin: str
    distribution: str
    version: str
    reason: str
    traceback: str = ""
    kind: str = ""
    name: str = ""


@dataclass(frozen=True)
class Registry:
    """The parts at hand, picked by kind and name; `blocked` are installed plugins that were not to be loaded."""

    plugins: tuple[Plugin, ...] = ()
    _offers: tuple[Offer, ...] = ()
    quarantined: tuple[Quarantine, ...] = ()
    blocked: tuple[str, ...] = ()

    @classmethod
    def load(cls, only: Sequence[str] | None = None) -> "Registry":
        """Load the installed plugins, or `only` those named; never fails for a broken plugin.

        Plugins in BENCHBASE_DISABLE are not imported. With BENCHBASE_AUTOLOAD=0 and no names, none is.
        """
        wanted = set(only) if only is not None else None if autoload() else set()
        disabled = set(disabled_names())
        groups = _by_name(entry_points(group=GROUP))
        blocked = {name for name in groups if name in disabled or (wanted is not None and name not in wanted)}
        plugins: list[Plugin] = []
        offers: list[Offer] = []
        quarantined: list[Quarantine] = []
        for name in sorted(groups.keys() - blocked):
            found, offered, broken = _load_group(groups[name])
            plugins += found
            offers += offered
            quarantined += broken
        return cls._sorted(plugins, offers, quarantined, tuple(sorted(blocked)))

    @classmethod
    def of(cls, specs: Iterable[Spec], distribution: str = "tests") -> "Registry":
        """A registry of these specs alone, for tests and probes."""
        return cls().with_specs(specs, distribution)

    def with_specs(self, specs: Iterable[Spec], distribution: str = "tests") -> "Registry":
        """This registry and these specs, under the same rule for names that clash."""
        plugin = Plugin(distribution, distribution, "0", distribution)
        known = {*self.plugins, plugin}
        offers = [_offer(spec, replace(plugin, module=spec.build.__module__)) for spec in specs]
        return self._sorted(known, [*self._offers, *offers], self.quarantined, self.blocked)

    @classmethod
    def _sorted(
        cls,
        plugins: Iterable[Plugin],
        offers: Iterable[Offer],
        quarantined: Iterable[Quarantine],
        blocked: tuple[str, ...],
    ) -> "Registry":
        quarantined = list(quarantined)
        refused = {(broken.kind, broken.name) for broken in quarantined}
        unique, clashing = _part_clashes(offer for offer in offers if offer.key not in refused)
        return cls(
            tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution))),
            tuple(sorted(unique, key=lambda offer: offer.key)),
            tuple(sorted([*quarantined, *clashing], key=lambda q: (q.plugin, q.distribution, q.kind, q.name))),
            blocked,
        )

    def get(self, kind: str, name: str) -> Spec:
        """The spec of that kind and name; PluginError where there is none or it is quarantined."""
        return self.offer(kind, name).spec

    def offer(self, kind: str, name: str) -> Offer:
        """The spec of that kind and name with its origin; PluginError where there is none or it is quarantined."""
        if kind not in KINDS:
            raise PluginError(f"no kind of part named '{kind}'. {nearest(kind, KINDS, 'Kinds')}")
        for offer in self._offers:
            if offer.key == (kind, name):
                return offer
        for broken in self.quarantined:
            if (broken.kind, broken.name) == (kind, name):
                raise PluginError(broken.reason)
        raise PluginError(self._unknown(kind, name))

    def offers(self, kind: str | None = None) -> list[Offer]:
        """Every offer, or those of one kind, sorted by kind and name."""
        return [offer for offer in self._offers if kind in (None, offer.spec.kind)]

    def plugin(self, name: str) -> Plugin:
        """A loaded plugin by name; PluginError where it is broken, blocked or not installed."""
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        for broken in self.quarantined:
            if broken.plugin == name and not broken.name:
                raise PluginError(f"plugin '{name}' of {broken.distribution} is quarantined: {broken.reason}")
        if name in self.blocked:
            raise PluginError(
                f"plugin '{name}' is installed but not loaded. Expected it among those asked for and not in {DISABLE}."
            )
        known = {plugin.name for plugin in self.plugins} | set(self.blocked)
        raise PluginError(f"no plugin named '{name}'. {nearest(name, known, 'Installed')}")

    def _unknown(self, kind: str, name: str) -> str:
        text = f"no {kind} named '{name}'."
        if others := sorted(offer.spec.kind for offer in self._offers if offer.spec.name == name):
            text += f" '{name}' is the name of a {others[0]}."
        text += " " + nearest(name, (offer.spec.name for offer in self.offers(kind)), "Installed")
        if broken := [q for q in self.quarantined if not q.name]:
            text += " Quarantined plugins that may offer it: "
            text += "; ".join(f"{q.plugin} ({q.reason.rstrip('.')})" for q in broken) + "."
        if self.blocked:
            text += f" Not loaded: {', '.join(self.blocked)}."
        return text


def disabled_names() -> list[str]:
    """The plugins that BENCHBASE_DISABLE names, installed or not."""
    return [name for name in (part.strip() for part in os.environ.get(DISABLE, "").split(",")) if name]


def autoload() -> bool:
    """Whether plugins load without being named: BENCHBASE_AUTOLOAD is not 0."""
    value = os.environ.get(AUTOLOAD, "1").strip()
    if value not in ("", "0", "1"):
        raise BenchbaseError(f"{AUTOLOAD}: {value!r} is no switch. Expected 0 or 1.")
    return value != "0"


def _by_name(entries: Iterable[EntryPoint]) -> dict[str, list[EntryPoint]]:
    """Entry points by their name, sorted; one that a distribution repeats counts once.

    The distribution is part of the key: entry points of two distributions are equal to Python where they lead to
    modules of one name.
    """
    unique = {(entry.name, _identify(entry).distribution, entry.value): entry for entry in entries}
    groups: dict[str, list[EntryPoint]] = defaultdict(list)
    for key in sorted(unique):
        groups[key[0]].append(unique[key])
    return groups


def _load_group(entries: list[EntryPoint]) -> tuple[list[Plugin], list[Offer], list[Quarantine]]:
    """Load the entry points of one name: one is a plugin, several are a clash and none of them is imported."""
    plugins = [_identify(entry) for entry in entries]
    if len(entries) > 1:
        given = " and ".join(sorted(f"{plugin.distribution} ({plugin.module})" for plugin in plugins))
        reason = f"plugin name '{entries[0].name}' is claimed by {given}. Uninstall one or rename it."
        return [], [], [Quarantine(plugin.name, plugin.distribution, plugin.version, reason) for plugin in plugins]
    plugin = plugins[0]
    try:
        return [plugin], [_offer(spec, plugin) for spec in _collect(plugin, entries[0])], []
    except PluginError as error:
        cause = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ else ""
        return [], [], [Quarantine(plugin.name, plugin.distribution, plugin.version, str(error), cause)]


def _identify(entry: EntryPoint) -> Plugin:
    """Name an entry point's origin, even where the metadata of its distribution is damaged."""
    try:
        name, version = entry.dist.name or "unknown", entry.dist.version or "unknown"  # type: ignore[union-attr]
    except Exception:  # missing or unreadable METADATA, or no distribution at all
        name, version = "unknown", "unknown"
    return Plugin(entry.name, name, version, entry.value.partition(":")[0].strip())


def _collect(plugin: Plugin, entry: EntryPoint) -> list[Spec]:
    """Every spec of one plugin, in a plugin manager of its own; PluginError, with the cause, where it is broken."""
    try:
        obj = entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError(f"import of '{entry.value}' failed: {_brief(error)}") from error
    if inspect.isclass(obj):
        raise PluginError(
            f"'{entry.value}' is a class. Expected a module or an instance: its hooks are called without arguments."
        )
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(obj, plugin.name)
    except (Exception, SystemExit) as error:
        raise PluginError(f"a hook does not fit: {_brief(error)}. Hooks take no arguments.") from error
    _check_hooks(manager, obj)
    return [spec for hook in hooks.HOOKS for spec in _call(manager, hook)]


def _check_hooks(manager: pluggy.PluginManager, obj: object) -> None:
    """Refuse a misspelt hook, a hook without its mark, and a plugin without any hook."""
    called = {caller.name for caller in manager.get_hookcallers(obj) or []}
    for name in sorted(called - hooks.HOOKS.keys()):
        raise PluginError(f"'{name}' is marked @hookimpl but is no hook. {nearest(name, hooks.HOOKS, 'Hooks')}")
    for name in hooks.HOOKS.keys() - called:
        if callable(getattr(obj, name, None)):
            raise PluginError(f"'{name}' is not marked @hookimpl. Expected `@benchbase.hookimpl` above it.")
    if not called:
        raise PluginError(
            f"no function is marked @hookimpl. Expected at least one hook. {nearest('', hooks.HOOKS, 'Hooks')}"
        )


def _call(manager: pluggy.PluginManager, hook: str) -> Iterator[Spec]:
    caller: pluggy.HookCaller = getattr(manager.hook, hook)
    for implementation in caller.get_hookimpls():
        try:
            specs: Any = implementation.function()
        except (Exception, SystemExit) as error:
            raise PluginError(f"{hook} failed: {_brief(error)}") from error
        if not isinstance(specs, (list, tuple)):
            raise PluginError(f"{hook} returned {type(specs).__name__}. Expected a list of specs.")
        for spec in specs:
            yield _check_spec(hook, spec)


def _check_spec(hook: str, spec: object) -> Spec:
    kinds = hooks.HOOKS[hook]
    wanted = " or ".join(KINDS[kind].__name__ for kind in kinds)
    if not isinstance(spec, Spec) or not isinstance(spec, tuple(KINDS[kind] for kind in kinds)):
        given = f"the class {spec.__name__}" if isinstance(spec, type) else type(spec).__name__
        raise PluginError(f"{hook} returned {given}. Expected {wanted}.")
    if spec.api != API:
        raise PluginError(f"{hook}: '{spec.name}' is written for api {spec.api}. Expected {API}, this benchbase's api.")
    return spec


def _offer(spec: Spec, plugin: Plugin) -> Offer:
    return Offer(spec, plugin.name, plugin.distribution, plugin.version, plugin.module)


def _part_clashes(offers: Iterable[Offer]) -> tuple[list[Offer], list[Quarantine]]:
    """Offers whose kind and name nobody else offers, and the others with everyone who offers them."""
    groups: Mapping[tuple[str, str], list[Offer]] = defaultdict(list)
    for offer in offers:
        groups[offer.key].append(offer)
    unique = [group[0] for group in groups.values() if len(group) == 1]
    return unique, [clash for group in groups.values() if len(group) > 1 for clash in _clash(group)]


def _clash(group: list[Offer]) -> list[Quarantine]:
    kind, name = group[0].key
    givers = sorted(f"{offer.plugin} ({offer.distribution})" for offer in group)
    who = (
        f"twice by {givers[0]}; rename one."
        if len(set(givers)) == 1
        else (f"by both {' and '.join(givers)}; uninstall one or rename it.")
    )
    reason = f"{kind} '{name}' is offered {who}"
    origins = sorted({(offer.plugin, offer.distribution, offer.version) for offer in group})
    return [Quarantine(*origin, reason, kind=kind, name=name) for origin in origins]


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(".")
