"""Parts as a suite writes them: `name`, `name[param=value,...]` or `{name: n, param: value, ...}`."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny

from ..errors import BenchbaseError
from ..specs import Config, defaults
from .canonical import canonical_json
from .forms import read_part, write_part
from .nodes import Node, Problems
from .validate import switch_hint, validate

Weight = Annotated[float, Field(ge=0)]


class Weighted(Config):
    """The key of an objective that is no parameter of it."""

    weight: Weight | dict[str, Weight] = Field(1.0, description="factor of the loss, or of each of its terms by name")


class Part(Config):
    """A part that a suite chose, with all its parameters; equal and hashed by what it says."""

    kind: str = Field(description="what sort of part this is")
    name: str = Field(description="the name of its spec")
    config: SerializeAsAny[Config] = Field(description="its validated parameters")
    weight: float | dict[str, float] = Field(1.0, description="factor of an objective's loss, or of each of its terms")

    def canonical(self) -> dict[str, Any]:
        """The mapping form with every default filled in."""
        weight = {"weight": self.weight} if self.kind == "objective" else {}
        return {"name": self.name, **weight, **defaults(self.config)}

    @property
    def text(self) -> str:
        """The bracket form of the parameters that are not at their default (those that are scalars)."""
        fields = type(self.config).model_fields
        usual = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
        changed = {
            key: value
            for key, value in defaults(self.config).items()
            if fields[key].is_required() or getattr(self.config, key) != usual[key]
        }
        weight = {"weight": self.weight} if self.weight != 1 else {}
        return write_part(self.name, {**weight, **changed})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str]:
        return self.kind, canonical_json(self.canonical())


class Unread(Config):
    """What stands where a suite has a mistake, so that everything around it can be judged all the same."""

    written: str = Field(description="what the suite says there")


def unread(node: Node) -> Unread:
    return Unread(written=repr(node.plain()))


def unread_part(kind: str, node: Node) -> Part:
    """What stands in for a part with mistakes."""
    mapping = _mapping(kind, node, "", Problems())
    name = mapping.value["name"].value if mapping else None
    stand_in = unread(node)
    return Part(kind=kind, name=name if isinstance(name, str) else stand_in.written, config=stand_in)


Lookup = Callable[[str], type[Config]]
"""From a part's name to its parameters; a BenchbaseError says why there is none."""


def resolve_part(kind: str, node: Node, path: str, lookup: Lookup, problems: Problems) -> Part | None:
    """The part that a node of any form names, or None with the problems noted."""
    mapping = _mapping(kind, node, path, problems)
    if mapping is None:
        return None
    named = mapping.value["name"]
    if not isinstance(named.value, str):
        message = f"is {named.kind()}. Expected the name of a {kind}.{switch_hint(named)}"
        problems.add(named.line, f"{path}.name", message)
        return None
    config = _config(named, path, lookup, problems)
    if config is None:
        return None
    rest = mapping.without("name")
    weight = _weight(kind, rest, path, problems)
    parameters = validate(config, rest.without("weight"), path, problems)
    if parameters is None or weight is None:
        return None
    return Part(kind=kind, name=named.value, config=parameters, weight=weight)


def _mapping(kind: str, node: Node, path: str, problems: Problems) -> Node | None:
    """The mapping form of a part, `name` among its keys."""
    if isinstance(node.value, str):
        try:
            return read_part(node.value, node.line)
        except BenchbaseError as error:
            problems.add(node.line, path, str(error))
            return None
    if isinstance(node.value, dict):
        if "name" in node.value:
            return node
        problems.add(node.line, path, f"has no name. Expected {{name: ..., parameter: ...}}, the name of a {kind}.")
        return None
    problems.add(
        node.line,
        path,
        f"is {node.kind()}. Expected the name of a {kind}, or {{name: ..., parameter: ...}}.{switch_hint(node)}",
    )
    return None


def _config(named: Node, path: str, lookup: Lookup, problems: Problems) -> type[Config] | None:
    try:
        return lookup(named.value)
    except BenchbaseError as error:
        problems.add(named.line, f"{path}.name", str(error))
        return None


def _weight(kind: str, rest: Node, path: str, problems: Problems) -> float | dict[str, float] | None:
    given = rest.value.get("weight")
    if given is None:
        return 1.0
    if kind != "objective":
        problems.add(rest.line_of("weight"), f"{path}.weight", "only objectives have a weight. Remove it.")
        return None
    weighted = validate(Weighted, Node({"weight": given}, rest.line, None, rest.keys), path, problems)
    return weighted.weight if weighted else None
