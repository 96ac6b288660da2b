"""Selectors: which runs of a suite are meant, as `--only` writes them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BenchbaseError, nearest
from .forms import read_part
from .models import Configuration
from .parts import Part

_ALIASES = {"encoder": "encoders", "modifier": "modifiers", "objective": "objectives",
            "explainer": "explainers"}
PARTS = ("backbone", "compressor", "encoders", "modifiers", "objectives", "combiner", "explainers",
         "recommender")
KEYS = ("label", "dataset", "seed", "layout", *PARTS)

_COMMA = re.compile(r",(?![^\[\]]*\])")
_TERM = re.compile(r"([^=\[\]*?]+)=(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Selector:
    """Terms that must all hold: a key and a pattern with `*` and `?`."""

    terms: tuple[tuple[str, str], ...]

    def matches(self, configuration: Configuration, dataset: Part, seed: int) -> bool:
        """Whether a run is meant."""
        return all(_holds(key, pattern, configuration, dataset, seed) for key, pattern in self.terms)


def parse_selector(text: str) -> Selector:
    """A selector out of `key=pattern,key=pattern`, or a pattern of labels; BenchbaseError where it is neither.

    A label may hold commas: it goes on up to the next `key=`. The pattern of a part is its name, or its bracket form
    with the parameters that matter: `name[width=64]`.
    """
    terms: list[tuple[str, str]] = []
    for term in _COMMA.split(text):
        found = _TERM.match(term)
        if found:
            key = found[1].strip()
            terms.append((_ALIASES.get(key, key), found[2].strip()))
        elif terms and terms[-1][0] == "label":
            terms[-1] = ("label", f"{terms[-1][1]},{term}".rstrip())
        else:
            terms.append(("label", term.strip()))
    for key, pattern in terms:
        _check(text, key, pattern)
    return Selector(tuple(terms))


def selected(selectors: Sequence[Selector], configuration: Configuration, dataset: Part, seed: int) -> bool:
    """Whether any of the selectors means a run; without selectors all runs are meant."""
    return not selectors or any(selector.matches(configuration, dataset, seed) for selector in selectors)


def _check(text: str, key: str, pattern: str) -> None:
    where = f"selector '{text}'"
    if key not in KEYS:
        raise BenchbaseError(f"{where}: no key named '{key}'. {nearest(key, KEYS, 'Keys')}")
    if not pattern:
        example = "1" if key == "seed" else "a*"
        raise BenchbaseError(f"{where}: {key} has no pattern. Expected for example {key}={example}.")
    if key == "seed" and not re.fullmatch("[0-9]+", pattern):
        raise BenchbaseError(f"{where}: the seed '{pattern}' is no whole number. Expected for example seed=1.")
    if key in PARTS or key == "dataset":
        try:
            read_part(pattern)
        except BenchbaseError as error:
            raise BenchbaseError(f"{where}: {error}") from error


def _holds(key: str, pattern: str, configuration: Configuration, dataset: Part, seed: int) -> bool:
    if key == "seed":
        return seed == int(pattern)
    if key == "label":
        return _glob(pattern, configuration.label)
    if key == "layout":
        return configuration.recommender is None and _glob(pattern, configuration.layout.kind)
    value = dataset if key == "dataset" else getattr(configuration, key)
    parts = value if isinstance(value, tuple) else () if value is None else (value,)
    return any(_is(pattern, part) for part in parts)


def _is(pattern: str, part: Part) -> bool:
    wanted = read_part(pattern).plain()
    given = part.canonical()
    return all(
        key in given and (given[key] == value or _glob(str(value), str(given[key]))) for key, value in wanted.items()
    )


def _glob(pattern: str, text: str) -> bool:
    """Whether text matches a pattern; unlike a shell's, brackets stand for themselves."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None
