"""Suite text as a tree of plain values that know their line, and the list of everything wrong with it.

YAML is only composed, never constructed: no tag can run code. Aliases are expanded within a bound, and the traps of
YAML 1.1 are closed (base 60, leading zeros, dates and repeated keys).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel

from ..errors import ConfigError
from ..specs import defaults

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 40

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,300})\Z")
_BRACKETS = re.compile(r"[A-Za-z_]\w*\[[^\]]*=")
_KEEP_TEXT = ("str", "timestamp", "value")

Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Node:
    """A value of a suite: a scalar, a tuple of nodes, or a dict of nodes; `text` is a scalar as it was written."""

    value: Any
    line: int | None = None
    text: str | None = None
    keys: Mapping[str, int | None] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        return [child.plain() for child in self.value] if isinstance(self.value, tuple) else self.value

    def child(self, step: object) -> "Node | None":
        """The node under a key or an index, if there is one."""
        if isinstance(self.value, dict):
            return self.value.get(step)
        if isinstance(self.value, tuple) and isinstance(step, int) and step < len(self.value):
            return self.value[step]  # type: ignore[no-any-return]
        return None

    def line_of(self, key: str) -> int | None:
        """The line on which a key of this mapping stands."""
        return self.keys.get(key, self.line)

    def without(self, *keys: str) -> "Node":
        """This mapping without some of its keys."""
        return Node({k: child for k, child in self.value.items() if k not in keys}, self.line, None, self.keys)

    def only(self, keys: Iterable[str]) -> "Node":
        """This mapping with nothing but some keys."""
        return self.without(*(self.value.keys() - set(keys)))

    def kind(self) -> str:
        """What this is, in words for an error."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, tuple):
            return "a list"
        return "nothing" if self.value is None else f"{self.value!r}"


class Problems:
    """Everything wrong with one suite, each with its place; raised together."""

    def __init__(self, source: str = ""):
        self.source = source
        self._found: list[tuple[int, str]] = []

    def add(self, line: int | None, path: str, message: str) -> None:
        """Note a problem at a path such as `base.backbone.width`."""
        place = f"{self.source}:{line}" if self.source and line is not None else self.source
        text = ": ".join(part for part in (place, path, message) if part)
        if (line or 0, text) not in self._found:
            self._found.append((line or 0, text))

    def fail(self, line: int | None, path: str, message: str) -> NoReturn:
        """Note a problem after which nothing more can be found, and raise them all."""
        self.add(line, path, message)
        raise ConfigError(self.texts())

    def texts(self) -> list[str]:
        """All problems in the order of their lines."""
        return [text for _, text in sorted(self._found, key=lambda found: found[0])]

    def check(self) -> None:
        """Raise ConfigError with all problems in the order of their lines, if there are any."""
        if self._found:
            raise ConfigError(self.texts())


def join(path: str, step: object) -> str:
    """A path one step longer: `base` and `modifiers` give `base.modifiers`, that and 0 give `base.modifiers[0]`."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else str(step)


def read_yaml(text: str, problems: Problems) -> Node:
    """The tree of one YAML document; ConfigError where it is no YAML that a suite may be."""
    if len(text) > MAX_BYTES:
        problems.fail(None, "", f"longer than {MAX_BYTES} characters. Expected a suite. Is this a data file?")
    try:
        _check_depth(text, problems)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        problems.fail(*_explain(error, text))
    if root is None:
        return Node(None, 1)
    node = _Walk(problems).node(root, "")
    problems.check()
    return node


def _check_depth(text: str, problems: Problems) -> None:
    """Refuse deep nesting before composing, which would recurse on the C stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            problems.fail(_line(event), "", f"nested deeper than {MAX_DEPTH}. Expected a suite.")


def _explain(error: yaml.YAMLError, text: str) -> tuple[int, str, str]:
    """Line, path and message of what YAML cannot read."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        where = getattr(error, "position", 0)
        return text.count("\n", 0, where) + 1, "", "a control character. Expected plain text."
    reason = getattr(error, "problem", None) or "not readable"
    context = getattr(error, "context_mark", None)
    lines = text.splitlines()[(context or mark).line : mark.line + 1]
    hint = ""
    if any(_BRACKETS.search(line) for line in lines):
        hint = ' Inside [...] or {...} a part with brackets is quoted: "name[parameter=value]".'
    return mark.line + 1, "", f"not YAML: {reason}. Expected one YAML document.{hint}"


class _Walk:
    """From composed YAML nodes to ours, counting what aliases expand to."""

    def __init__(self, problems: Problems):
        self.problems = problems
        self.count = 0
        self.open: set[int] = set()

    def node(self, source: yaml.Node, path: str) -> Node:
        line = _line(source)
        self.count += 1
        if self.count > MAX_NODES:
            self.problems.fail(line, path, f"more than {MAX_NODES} values once aliases are expanded. Expected a suite.")
        if id(source) in self.open:
            self.problems.add(line, path, "an alias inside its own anchor. Expected a value that ends.")
            return Node(None, line)
        tag = source.tag.removeprefix(_TAG)
        if isinstance(source, yaml.ScalarNode) and tag in (*_KEEP_TEXT, "null", "bool", "int", "float"):
            return Node(_scalar(tag, source.value), line, source.value)
        if tag not in ("seq", "map"):
            self.problems.add(line, path, f"the tag {source.tag} is not allowed. Expected plain values. Remove it.")
            return Node(None, line)
        self.open.add(id(source))
        node = self.mapping(source, path, line) if tag == "map" else self.sequence(source, path, line)
        self.open.discard(id(source))
        return node

    def sequence(self, source: yaml.Node, path: str, line: int) -> Node:
        return Node(tuple(self.node(child, join(path, i)) for i, child in enumerate(source.value)), line)

    def mapping(self, source: yaml.Node, path: str, line: int) -> Node:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        lines: dict[str, int | None] = {}
        for key, value in source.value:
            at = _line(key)
            if key.tag == _TAG + "merge":
                for node in self.merges(value, path, at):
                    merged = {**node.value, **merged}
                    lines = {**node.keys, **lines}
            elif not isinstance(key, yaml.ScalarNode):
                self.problems.add(at, path, "a key that is no plain name. Expected a name.")
            elif key.value in own:
                first = lines[key.value]
                self.problems.add(at, join(path, key.value), f"given twice, first on line {first}. Remove one.")
            else:
                own[key.value], lines[key.value] = self.node(value, join(path, key.value)), at
        return Node({**merged, **own}, line, None, lines)

    def merges(self, value: yaml.Node, path: str, at: int) -> Iterator[Node]:
        """The mappings that `<<` brings in: one, or each of a list."""
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            node = self.node(source, join(path, "<<"))
            if isinstance(node.value, dict):
                yield node
            else:
                self.problems.add(at, join(path, "<<"), f"is {node.kind()}. Expected a mapping.")


def _line(marked: yaml.Node | yaml.Event) -> int:
    mark: Any = marked.start_mark
    return int(mark.line) + 1


def _scalar(tag: str, text: str) -> Scalar:
    """A YAML scalar as JSON knows it; what YAML 1.1 reads in surprising ways stays text."""
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in ("yes", "true", "on")
    if tag == "int" and _INT.match(text):
        return int(text.replace("_", ""))
    if tag == "float" and not text.lower().strip("+-").startswith((".inf", ".nan")) and ":" not in text:
        return float(text.replace("_", ""))
    return text


def from_plain(value: object, problems: Problems, path: str = "", depth: int = 0) -> Node:
    """The tree of a Python value of mappings, sequences and scalars."""
    if depth > MAX_DEPTH:
        problems.add(None, path, f"nested deeper than {MAX_DEPTH}. Expected a suite.")
        return Node(None)
    if isinstance(value, BaseModel):
        value = value.canonical() if hasattr(value, "canonical") else defaults(value)
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            problems.add(None, path, f"the key {wrong[0]!r} is no text. Expected names as keys.")
        return Node({str(k): from_plain(v, problems, join(path, k), depth + 1) for k, v in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return Node(tuple(from_plain(v, problems, join(path, i), depth + 1) for i, v in enumerate(value)))
    if isinstance(value, PurePath):
        return Node(str(value))
    if value is not None and type(value) not in (bool, int, float, str):
        problems.add(
            None,
            path,
            f"{type(value).__name__} is no plain value. Expected text, a number, true, false, a list or a mapping.",
        )
        return Node(None)
    return Node(value)
