"""Suites read: from a file, a text or a mapping to a `Suite`, or every mistake at once."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BenchbaseError, nearest
from ..registry import AUTOLOAD, Registry, autoload
from ..specs import Config, HeadConfig, LayoutConfig, ScorerConfig, SequenceConfig
from .expand import Choices, Faults, Steps, expand
from .forms import read_part
from .models import Labelled, Protocol, Train, split_config, windowing_config
from .nodes import MAX_BYTES, Node, Problems, from_plain, join, read_yaml
from .parts import Lookup, Part, resolve_part, unread, unread_part
from .published import Published, published_faults
from .suite import Head, Suite, expand_all
from .validate import switch_hint, validate

M = TypeVar("M", bound=Config)
Source = Path | str | Mapping[str, Any]

KEYS = (
    "suite",
    "plugins",
    "datasets",
    "protocol",
    "train",
    "seeds",
    "data_seed",
    "base",
    "grid",
    "entries",
    "guards",
    "baseline",
    "published",
)
SINGLE = {"backbone": "backbone", "compressor": "compressor", "combiner": "combiner", "recommender": "recommender"}
LISTS = {"modifiers": "modifier", "objectives": "objective", "encoders": "encoder",
         "explainers": "explainer"}
MODELS: dict[str, type[Config]] = {
    "layout": LayoutConfig, "scorer": ScorerConfig, "head": HeadConfig, "sequence": SequenceConfig,
}
PLAIN = tuple(Labelled.model_fields)
CHOICES = (*SINGLE, *LISTS, *MODELS, *PLAIN)


def load_suite(source: Source, registry: Registry | None = None) -> Suite:
    """The suite of a file, a YAML text or a mapping; ConfigError with every mistake where it cannot be used.

    A string with a line break or `: ` in it is taken for YAML text, any other for a path. Without a registry the
    installed plugins are loaded, as `registry_for` does.
    """
    return load_with_registry(source, registry)[0]


def load_with_registry(source: Source, registry: Registry | None = None) -> tuple[Suite, Registry]:
    """The suite of a source, which is read once, and the registry that it was resolved against."""
    node, problems, text, folder = _read(source)
    registry = registry or _registry(node, problems)
    return _Reader(registry, problems).suite(node, text, folder), registry


def registry_for(source: Source) -> Registry:
    """The registry for a suite: all installed plugins, or those it lists where BENCHBASE_AUTOLOAD=0."""
    node, problems, _, _ = _read(source)
    return _registry(node, problems)


def read_published(
    path: Path, labels: Collection[str], metrics: Collection[str], datasets: Sequence[str]
) -> tuple[Published, ...]:
    """The published figures of a suite file, without the plugins that the rest of it needs; ConfigError with every
    mistake in them, such as entries, metrics and data sets that are none of those given.
    """
    node, problems, _, _ = _read(path)
    figures = _published(node.child("published"), problems)
    problems.check()
    for steps, message in published_faults(figures, labels, metrics, datasets):
        problems.add(*_place(node, steps), message)
    problems.check()
    return figures


def _registry(node: Node, problems: Problems) -> Registry:
    if autoload() or not isinstance(node.value, dict):
        return Registry.load()
    listed = node.value.get("plugins", Node(None)).plain()
    if listed is None:
        problems.fail(node.line, "plugins", f"missing. Expected a list of plugins, since {AUTOLOAD}=0 loads no others.")
    return Registry.load([name for name in listed if isinstance(name, str)] if isinstance(listed, list) else [])


def _read(source: Source) -> tuple[Node, Problems, str, Path | None]:
    """The tree of a source, where to note problems, its text and its folder."""
    if isinstance(source, Mapping):
        problems = Problems()
        return from_plain(source, problems), problems, "", None
    if isinstance(source, str) and ("\n" in source or ": " in source):
        problems = Problems("<text>")
        return read_yaml(source, problems), problems, source, None
    path = Path(source)
    problems = Problems(str(path))
    text = _file_text(path, problems)
    problems.check()
    return read_yaml(text, problems), problems, text, path.parent


def _file_text(path: Path, problems: Problems) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            problems.add(None, "", f"larger than {MAX_BYTES} bytes. Expected a suite. Is this a data file?")
        return content.decode("utf-8-sig")
    except OSError as error:
        problems.add(None, "", f"cannot be read: {error.strerror}. Expected a suite file.")
    except UnicodeDecodeError as error:
        if len(content) <= MAX_BYTES:
            line = content[: error.start].count(b"\n") + 1
            problems.add(line, "", "not UTF-8. Expected a text file in UTF-8. Save it again in that encoding.")
    return ""


class _Reader:
    """Resolves the tree of one suite against a registry."""

    def __init__(self, registry: Registry, problems: Problems):
        self.registry = registry
        self.problems = problems

    def suite(self, node: Node, text: str, folder: Path | None) -> Suite:
        if not isinstance(node.value, dict):
            what = "empty" if node.value is None else f"{node.kind()}"
            self.problems.fail(node.line, "", f"the suite is {what}. Expected a mapping with suite, datasets and base.")
        self.known(node, "", KEYS)
        head = validate(Head, node.only(Head.model_fields), "", self.problems)
        self.plugins(node)
        fields = {
            "datasets": self.datasets(node),
            "protocol": self.with_part(Protocol, node, "protocol", "split", "split", split_config),
            "train": self.with_part(Train, node, "train", "windows", "windowing", windowing_config),
            "published": _published(node.value.get("published"), self.problems),
        }
        base, grid = self.choices(node.value.get("base"), "base"), self.grid(node.value.get("grid"))
        entries = self.entries(node.value.get("entries"))
        faults = Faults()
        if not self.problems.texts():
            rows = {"base": base, "grid": grid, "entries": entries}
            suite = Suite(**{**dict(head or ()), **fields, **rows, "source_text": text, "folder": folder})
            expand_all(suite, self.registry, faults)
        else:
            expand(base, grid, entries, faults)  # the rest has mistakes: the whole is judged as far as it can be
        for steps, message in faults.found:
            self.problems.add(*_place(node, steps), message)
        self.problems.check()
        return suite

    def known(self, node: Node, path: str, keys: tuple[str, ...]) -> None:
        """Note keys that there are not."""
        for key in node.value:
            if key not in keys:
                message = f"unknown key. {nearest(key, keys, 'Keys')}"
                self.problems.add(node.line_of(key), join(path, key), message)

    def plugins(self, node: Node) -> None:
        listed = node.value.get("plugins")
        for i, name in enumerate(listed.value if listed and isinstance(listed.value, tuple) else ()):
            try:
                if isinstance(name.value, str):
                    self.registry.plugin(name.value)
            except BenchbaseError as error:
                self.problems.add(name.line, f"plugins[{i}]", str(error))

    def datasets(self, node: Node) -> tuple[Part, ...]:
        given = node.value.get("datasets")
        if given is None or given.value in (None, ()):
            self.problems.add(node.line_of("datasets"), "datasets", "missing. Expected a list of data sets.")
            return ()
        parts = self.parts("dataset", given, "datasets") or ()
        if len(set(parts)) < len(parts):
            self.problems.add(given.line, "datasets", "one data set is given twice. Expected each once. Remove one.")
        return parts

    def with_part(self, model: type[M], suite: Node, section: str, key: str, kind: str, lookup: Lookup) -> M:
        """The model of a section, of which one key holds a part of the core."""
        node = suite.value.get(section)
        if node is None or not isinstance(node.value, dict) or key not in node.value:
            return self.model(model, node, section)
        part = resolve_part(kind, node.value[key], join(section, key), lookup, self.problems)
        made = self.model(model, node.without(key), section)
        return made.model_copy(update={key: part}) if part else made

    def model(self, model: type[M], node: Node | None, path: str) -> M:
        """The model of a section, with its defaults where the section is left out or wrong."""
        return (validate(model, node, path, self.problems) if node is not None else None) or model()

    def parts(self, kind: str, node: Node, path: str) -> tuple[Part, ...] | None:
        """The parts of a list, or None where it is none."""
        if not isinstance(node.value, tuple):
            self.problems.add(node.line, path, f"is {node.kind()}. Expected a list of parts, such as [name].")
            return None
        return tuple(self.part(kind, child, join(path, i)) for i, child in enumerate(node.value))

    def part(self, kind: str, node: Node, path: str) -> Part:
        """The part, or a stand-in with the problems noted."""
        part = resolve_part(kind, node, path, lambda name: self.registry.get(kind, name).config, self.problems)
        return part or unread_part(kind, node)

    def choices(self, node: Node | None, path: str) -> Choices:
        """The keys of a configuration, resolved; `Unread` for each that is unknown or wrong."""
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.problems.add(node.line, path, f"is {node.kind()}. Expected a mapping of {', '.join(CHOICES)}.")
            return {path: unread(node)}
        self.known(node, path, CHOICES)
        found: Choices = {}
        for key, child in node.value.items():
            if key in PLAIN:
                plain = validate(Labelled, node.only((key,)), path, self.problems)
                found[key] = getattr(plain, key) if plain else unread(child)
            else:
                found[key] = self.choice(key, child, join(path, key))
        return found

    def choice(self, key: str, node: Node, path: str) -> Any:
        """The value of one key of a configuration."""
        if key in SINGLE:
            return None if node.value is None else self.part(SINGLE[key], node, path)
        if key in LISTS:
            parts = self.parts(LISTS[key], node, path)
            return unread(node) if parts is None else self.distinct(parts, node, path)
        if key in MODELS:
            mapping = self.layout(node, path) if key == "layout" else node
            return (mapping and validate(MODELS[key], mapping, path, self.problems)) or unread(node)
        return unread(node)

    def distinct(self, parts: tuple[Part, ...], node: Node, path: str) -> tuple[Part, ...]:
        """The parts; a name given twice is noted, since terms and seeds go by name."""
        names = [part.name for part in parts]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.problems.add(node.line, path, f"'{name}' is given twice. Expected each part once. Remove one.")
        return parts

    def layout(self, node: Node, path: str) -> Node | None:
        """A layout as a mapping, its name, in any form of a part, as its kind; None where it is no layout."""
        if not isinstance(node.value, (str, dict)):
            expected = "the name of a layout, or {name: ..., parameter: ...}"
            self.problems.add(node.line, path, f"is {node.kind()}. Expected {expected}.{switch_hint(node)}")
            return None
        if isinstance(node.value, str):
            try:
                node = read_part(node.value, node.line)
            except BenchbaseError as error:
                self.problems.add(node.line, path, str(error))
                return None
        if isinstance(node.value, dict) and "kind" not in node.value:
            renamed = {"kind" if key == "name" else key: child for key, child in node.value.items()}
            return Node(renamed, node.line, None, node.keys)
        return node

    def grid(self, node: Node | None) -> dict[str, tuple[Any, ...]]:
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.problems.add(node.line, "grid", f"is {node.kind()}. Expected a mapping from keys to lists of values.")
            return {"grid": (unread(node),)}
        self.known(node, "grid", tuple(key for key in CHOICES if key not in PLAIN))
        return {key: self.values(key, child) for key, child in node.value.items()}

    def values(self, key: str, node: Node) -> tuple[Any, ...]:
        path = f"grid.{key}"
        if not isinstance(node.value, tuple) or not node.value:
            self.problems.add(node.line, path, f"is {node.kind()}. Expected a list of at least one value.")
            return (unread(node),)
        return tuple(self.choice(key, child, join(path, i)) for i, child in enumerate(node.value))

    def entries(self, node: Node | None) -> tuple[Choices, ...]:
        if node is None:
            return ()
        if not isinstance(node.value, tuple):
            self.problems.add(node.line, "entries", f"is {node.kind()}. Expected a list of configurations.")
            return ({"entries": unread(node)},)
        return tuple(self.choices(child, f"entries[{i}]") for i, child in enumerate(node.value))


def _published(node: Node | None, problems: Problems) -> tuple[Published, ...]:
    """The figures of a list; those with mistakes are noted and left out."""
    if node is None:
        return ()
    if not isinstance(node.value, tuple):
        problems.add(node.line, "published", f"is {node.kind()}. Expected a list of {{entry: ..., metric: ..., value: "
                                             "..., source: ...}.")
        return ()
    figures = [validate(Published, child, f"published[{i}]", problems) for i, child in enumerate(node.value)]
    return tuple(figure for figure in figures if figure)


def _place(node: Node, steps: Steps) -> tuple[int | None, str]:
    """Line and path of steps into the tree, as far as they lead."""
    line, path = node.line, ""
    for step in steps:
        path = join(path, step)
        child = node.child(step)
        if child is None:
            break
        line = node.line_of(step) if isinstance(step, str) else child.line
        node = child
    return line, path
