"""A tree of nodes against a model, with every mistake put at its line and path."""

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import nearest
from .nodes import Node, Problems, join

M = TypeVar("M", bound=BaseModel)

_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+\Z")
_SUBJECT = re.compile(r"(String|Tuple|List|Dictionary|Set|Frozenset|Value) should ")
_SCALARS = ("int_type", "float_type", "bool_type", "string_type")
_SWITCHES = ("y", "n", "yes", "no", "on", "off")


def validate(model: type[M], node: Node, path: str, problems: Problems) -> M | None:
    """The model made of a mapping, or None with the problems noted.

    Strict as JSON is: no text for numbers, no booleans for either. The one exception is `1e-3`, which YAML 1.1 takes
    for text: it is a number where a number is expected.
    """
    if not isinstance(node.value, dict):
        problems.add(node.line, path, f"is {node.kind()}. Expected a mapping of {', '.join(model.model_fields)}.")
        return None
    given = node.plain()
    while True:
        try:
            return model.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            strict = error.errors(include_url=False)
        if not _mend_exponents(given, strict):
            break
    try:
        made, found = model.model_validate_json(json.dumps(given)), []
    except ValidationError as error:
        made, found = None, error.errors(include_url=False)
    converted = _converted(strict)
    found = converted + [each for each in found if each["loc"] not in {one["loc"] for one in converted}]
    _report(model, node, path, problems, found)
    return None if found else made


def _converted(strict: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """The mistakes that only strict reading finds: one scalar taken for another.

    Its other complaints are of no account: after a validator that runs before the model, it refuses lists for tuples
    (and what stands in those lists is then read in the usual mode).
    """
    return [each for each in strict if each["type"] in _SCALARS and not isinstance(each["input"], (list, dict))]


def _mend_exponents(given: Any, found: Sequence[ErrorDetails]) -> bool:
    """Turn text such as 1e-3 into numbers where the model asked for numbers; whether there was any."""
    mended = False
    for problem in found:
        *steps, last = _descend(given, problem["loc"]) or [None]
        place = given
        for step in steps:
            place = place[step]
        text = place[last] if problem["type"] == "float_type" and last is not None else None
        if isinstance(text, str) and _EXPONENT.match(text):
            place[last] = float(text)
            mended = True
    return mended


def _descend(given: Any, loc: Sequence[Any]) -> list[Any]:
    """The steps of an error's location that lead into the value; the names of union members do not."""
    steps: list[Any] = []
    for step in loc:
        if (isinstance(given, dict) and step in given) or (
            isinstance(given, list) and isinstance(step, int) and step < len(given)
        ):
            given = given[step]
            steps.append(step)
    return steps


def _report(model: type[BaseModel], node: Node, path: str, problems: Problems, found: Sequence[ErrorDetails]) -> None:
    """Note each place once; what several members of a union expected is joined with "or"."""
    places: dict[tuple[Any, ...], list[ErrorDetails]] = {}
    for problem in found:
        steps = tuple(_descend(node.plain(), problem["loc"]))
        absent = (problem["loc"][-1],) if problem["type"] == "missing" else ()
        places.setdefault((*steps, *absent), []).append(problem)
    for steps, here in places.items():
        if any(len(deeper) > len(steps) and deeper[: len(steps)] == steps for deeper in places):
            continue  # another member of the union got further: its complaint is the nearer one
        at, where, line = node, path, node.line
        for step in steps:
            where = join(where, step)
            line = at.line_of(step) if isinstance(step, str) else line
            child = at.child(step)
            at = child or at
            line = child.line if child and child.line is not None and not isinstance(step, str) else line
        problems.add(line, where, _message(model, at, steps, here))


def _message(model: type[BaseModel], at: Node, steps: tuple[Any, ...], found: list[ErrorDetails]) -> str:
    kind = found[0]["type"]
    field = model.model_fields.get(str(steps[0])) if steps else None
    meaning = f" ({field.description})" if field and field.description else ""
    if kind == "extra_forbidden":
        return f"unknown parameter. {nearest(str(steps[-1]), model.model_fields, 'Parameters')}"
    if kind == "missing":
        return f"missing. Expected a value{meaning}."
    if kind in ("value_error", "json_invalid"):
        return str(found[0]["msg"]).removeprefix("Value error, ")
    wanted = " or ".join(dict.fromkeys(_wanted(problem["msg"]) for problem in found))
    hint = switch_hint(at) if kind in ("string_type", "literal_error") else ""
    return f"is {at.kind()}. Expected {wanted}{meaning}.{hint}"


def _wanted(message: str) -> str:
    """What a model's message asks for, in the words of a suite."""
    text = message.removeprefix("Input should be ").removesuffix(" after validation, not 0")
    text = _SUBJECT.sub("one that should ", text)
    return text.replace("a valid array", "a list").replace("an object", "a mapping").replace("None", "null")


def switch_hint(node: Node) -> str:
    """What to do about a word that YAML reads as a boolean."""
    if isinstance(node.value, bool) and node.text and node.text.lower() in _SWITCHES:
        return f" YAML reads {node.text} as {str(node.value).lower()}: quote it if the word is meant."
    return ""
