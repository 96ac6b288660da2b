"""From base, grid and entries to the list of configurations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

from .canonical import canonical_json
from .labels import automatic_labels
from .models import MODEL_KEYS, Configuration
from .parts import Part, Unread

MAX_ROWS = 10_000

Choices = dict[str, Any]
"""Some keys of a configuration, with resolved values; `Unread` where the suite has a mistake, an unknown key too."""

Steps = tuple[str | int, ...]


@dataclass
class Faults:
    """What is wrong with a suite as a whole, each at the steps that lead to its place."""

    found: list[tuple[Steps, str]] = field(default_factory=list)

    def add(self, steps: Steps, message: str) -> None:
        self.found.append((steps, message))


@dataclass
class Row:
    """A configuration that the suite asks for, and where it does."""

    configuration: Configuration
    steps: Steps
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        return canonical_json([self.configuration.canonical(), self.wrong])

    def with_(self, **keys: Any) -> "Row":
        return replace(self, configuration=self.configuration.model_copy(update=keys))


def expand(
    base: Choices, grid: Mapping[str, Sequence[Any]], entries: Sequence[Choices], faults: Faults
) -> list[Configuration]:
    """Base times grid, then the entries, each followed by its ablations; all different and all labelled."""
    rows = _labelled(_merged(list(_rows(base, grid, entries, faults)), faults), faults)
    known = {canonical_json(row.configuration.canonical()) for row in rows}
    labels = {row.configuration.label for row in rows}
    found: list[Configuration] = []
    for row in rows:
        found.append(row.configuration)
        for smaller in ablations(row.configuration):
            identity = canonical_json(smaller.canonical())
            if identity not in known and _free(smaller.label, labels, row, faults):
                known.add(identity)
                labels.add(smaller.label)
                found.append(smaller)
    return found


def _free(label: str, labels: set[str], row: Row, faults: Faults) -> bool:
    if label in labels:
        faults.add(
            row.steps,
            f"its ablation would be called '{label}', as another configuration is. "
            "Expected labels that differ. Change one.",
        )
    return label not in labels


def _rows(
    base: Choices, grid: Mapping[str, Sequence[Any]], entries: Sequence[Choices], faults: Faults
) -> Iterator[Row]:
    """Every row, those that make no whole too, since their labels count; an incomplete base only where nothing else
    is a row.
    """
    if grid and base.get("label"):
        faults.add(("base", "label"), "a grid makes several configurations. Expected labels on entries only.")
    if (n_rows := prod(len(values) for values in grid.values())) > MAX_ROWS:
        faults.add(("grid",), f"{n_rows} combinations. Expected at most {MAX_ROWS}. Make several suites.")
        return
    if grid or not entries or base.get("backbone") or base.get("recommender"):
        order = [*Configuration.model_fields, *grid]  # not as written: order means nothing in YAML
        keys = sorted(grid, key=order.index)
        for values in product(*(grid[key] for key in keys)):
            steps: Steps = ("grid",) if grid else ("base",)
            yield _row(merge(base, dict(zip(keys, values, strict=True))), steps, faults)
    start = {key: value for key, value in base.items() if key not in ("label", "ablate")}
    for i, entry in enumerate(entries):
        yield _row(merge(start, entry), ("entries", i), faults)


def merge(base: Choices, keys: Choices) -> Choices:
    """Base plus these keys, whole values replaced; a recommender drops the model's keys and the other way round."""
    if keys.get("recommender"):
        base = {key: value for key, value in base.items() if key not in MODEL_KEYS}
    elif any(key in keys for key in MODEL_KEYS):
        base = {key: value for key, value in base.items() if key != "recommender"}
    return {**base, **keys}


def _row(choices: Choices, steps: Steps, faults: Faults) -> Row:
    """The row of these choices; where they make no whole, that is noted, and it equals no other row."""
    before = len(faults.found)
    wrong = {key: value.written for key, value in choices.items() if isinstance(value, Unread)}
    if choices.get("recommender"):
        if given := [key for key in MODEL_KEYS if choices.get(key)]:
            faults.add(steps, f"a recommender is a whole model. Expected it without {', '.join(given)}.")
    elif wrong.keys() - Configuration.model_fields.keys():
        pass  # a key that is not known: it may be the one that seems to be missing
    elif not choices.get("backbone"):
        faults.add(steps, "neither backbone nor recommender. Expected one of them, here or in base.")
    elif not choices.get("objectives"):
        faults.add(steps, "no objectives. Expected at least one, here or in base: nothing would be learned.")
    if len(faults.found) > before:
        wrong[".".join(map(str, steps))] = "no whole"
    return Row(Configuration(**{key: choices[key] for key in choices.keys() - wrong.keys()}), steps, wrong)


def _merged(rows: Sequence[Row], faults: Faults) -> list[Row]:
    """Rows that say the same as one; a label given to any of them is kept, and two different ones are a fault."""
    found: dict[str, Row] = {}
    for row in rows:
        first = found.setdefault(row.identity, row)
        old, new = first.configuration.label, row.configuration.label
        if old and new and first is not row:
            faults.add(row.steps, f"'{new}' is the same configuration as '{old}'. Expected it once. Remove one.")
        ablate = first.configuration.ablate or row.configuration.ablate
        found[row.identity] = first.with_(label=old or new, ablate=ablate)
    return list(found.values())


def _labelled(rows: Sequence[Row], faults: Faults) -> list[Row]:
    """The rows, labels filled in where there is none; one label on two rows is a fault."""
    taken: set[str] = set()
    for row in rows:
        if (label := row.configuration.label) and label in taken:
            faults.add((*row.steps, "label"), f"'{label}' is the label of another configuration too. Change one.")
        taken.add(label)
    taken.discard("")
    bare = [row.configuration for row in rows if not row.configuration.label]
    labels = iter(automatic_labels(bare, taken))
    return [row if row.configuration.label else row.with_(label=next(labels)) for row in rows]


def ablations(configuration: Configuration) -> Iterator[Configuration]:
    """The configuration without each encoder, each modifier, each objective beyond the first, its compressor and its
    combiner.

    An objective that the combiner balances leaves with the combiner: two losses are needed for a balance.
    """
    if not configuration.ablate:
        return
    for key in ("encoders", "modifiers", "objectives"):
        parts: tuple[Part, ...] = getattr(configuration, key)
        for part in parts[1:] if key == "objectives" else parts:
            rest: Choices = {key: tuple(other for other in parts if other is not part)}
            if key == "objectives" and part.name in _balanced(configuration):
                rest["combiner"] = None
            yield _without(configuration, part, rest)
    for key in ("compressor", "combiner"):
        if part := getattr(configuration, key):
            yield _without(configuration, part, {key: None})


def _without(configuration: Configuration, part: Part, rest: Choices) -> Configuration:
    label = f"{configuration.label} - {part.name}"
    return configuration.model_copy(update={**rest, "label": label, "ablate": False})


def _balanced(configuration: Configuration) -> set[str]:
    """Names of the objectives that the combiner balances."""
    names = getattr(configuration.combiner.config, "balance", ()) if configuration.combiner else ()
    return {name.partition(".")[0] for name in names}
