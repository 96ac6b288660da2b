"""The bracket form of a part, `name[param=value,...]`: read and written."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import BenchbaseError
from .nodes import Node, Problems, read_yaml

_FORM = re.compile(r"\s*([^\[\]\s]+)\s*(?:\[(.*)\]\s*)?\Z", re.DOTALL)
_PAIR = re.compile(
    r"""\s*([^\s=,\[\]]+)\s*=\s*("(?:\\.|[^"\\])*"\s*|'(?:''|[^'])*'\s*|[^,\[\]]*)(?:(,)|\Z)""", re.DOTALL
)
_BARE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*\Z")


def write_part(name: str, parameters: Mapping[str, Any]) -> str:
    """A part in bracket form; parameters that are lists or mappings are written as JSON, to be read by people only."""
    inside = ",".join(f"{key}={_write_value(value)}" for key, value in parameters.items())
    return f"{name}[{inside}]" if inside else name


def _write_value(value: Any) -> str:
    if isinstance(value, str):
        read = _scalar(value) if _BARE.match(value) else None
        return value if read and read.value == value else '"' + "".join(map(_escape, value)) + '"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def read_part(text: str, line: int | None = None) -> Node:
    """The mapping form of `name` or `name[param=value,...]`; BenchbaseError where the text is neither."""
    form = _FORM.match(text)
    if not form:
        raise BenchbaseError(
            f"'{text}' is no part. Expected name or name[parameter=value,...]; "
            "lists need the form {name: ..., parameter: [...]}."
        )
    found: dict[str, Node] = {"name": Node(form[1], line, form[1])}
    inside, at, comma = form[2] or "", 0, None
    while at < len(inside.rstrip()) or comma:
        pair = _PAIR.match(inside, at)
        if not pair:
            raise BenchbaseError(
                f"'{text}' cannot be read from '{inside[at:]}' on. Expected parameter=value, "
                "separated by commas; lists need the form {name: ..., parameter: [...]}."
            )
        if pair[1] in found:
            raise BenchbaseError(f"'{text}' gives {pair[1]} twice. Expected each parameter once. Remove one.")
        found[pair[1]] = _read_value(pair[2].strip(), line)
        at, comma = pair.end(), pair[3]
    return Node(found, line)


def _read_value(text: str, line: int | None) -> Node:
    node = _scalar(text)
    if node is None:
        raise BenchbaseError(f"the value '{text}' is no single YAML scalar. Quote it if it is text.")
    return Node(node.value, line, node.text)


def _scalar(text: str) -> Node | None:
    """One YAML scalar, read inside a list so that a comment or the mark of a document cannot cut it short."""
    try:
        found = read_yaml(f"[{text}]", Problems()).value
    except BenchbaseError:
        return None
    return found[0] if isinstance(found, tuple) and len(found) == 1 and found[0].text is not None else None
