"""Which part earned it: the entries of one data set as a grid of the keys in which their configurations differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..config import MODEL_KEYS, canonical_json, level_labels
from ..stats import Effect, Interaction, Spread, interactions, main_effects, spread
from . import notes
from .load import Entry

Choices = dict[str, str]
"""Factor -> level, both as they are shown."""


@dataclass(frozen=True)
class Attribution:
    """What the levels of each factor gain on the suite's first metric; `levels`: the reference first.

    `entries` are those that have a match, with their levels: recommenders and entries that differ from every other in
    more than one factor take no part.
    """

    levels: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, Choices]
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    spread: Spread | None
    notes: tuple[str, ...]


def attribute(entries: Sequence[Entry], values: Mapping[str, NDArray[Any]], baseline: str | None, level: float,
              resamples: int) -> Attribution | None:
    """The attribution of entries with results by their values (seeds, users), against the levels of the baseline, or of
    the first entry where that is none of them.

    None where no effect is a mean over two pairs or more: the comparison with the baseline then tells as much.
    """
    choices = _choices([entry for entry in entries if "recommender" not in _configuration(entry)])
    partners = {label: [other for other in choices if _apart(choices[label], choices[other]) == 1] for label in choices}
    choices = {label: choices[label] for label in choices if partners[label]}
    if not choices or next(iter(values.values())).shape[1] < 2:
        return None
    references = choices.get(str(baseline)) or next(iter(choices.values()))
    table = [(factors, values[label]) for label, factors in choices.items()]
    effects = main_effects(table, level, references)
    if all(effect.pairs < 2 for effect in effects):
        return None
    found = {effect.factor: (references[effect.factor], *_others(choices, effect.factor, references))
             for effect in effects}
    return Attribution(found, choices, tuple(effects), tuple(interactions(table, level, references)),
                       spread(table, level, resamples, references=references), tuple(_notes(entries, choices)))


def _configuration(entry: Entry) -> Mapping[str, Any]:
    return entry.good[0].facts["configuration"]  # type: ignore[no-any-return]


def _choices(entries: Sequence[Entry]) -> dict[str, Choices]:
    """Each entry's levels of the factors that vary, by label; of entries that chose the same, the first."""
    found: dict[str, Choices] = {entry.label: {} for entry in entries}
    for key in MODEL_KEYS:
        chosen = [_configuration(entry).get(key) for entry in entries]
        if len(set(map(canonical_json, chosen))) > 1:
            for entry, label in zip(entries, level_labels(key, chosen), strict=True):
                found[entry.label][key] = label
    first: dict[str, str] = {}
    return {label: factors for label, factors in found.items()
            if first.setdefault(canonical_json(factors), label) == label}


def _apart(one: Choices, other: Choices) -> int:
    """In how many factors two entries differ."""
    return sum(one[factor] != other[factor] for factor in one)


def _others(choices: Mapping[str, Choices], factor: str, references: Choices) -> Iterator[str]:
    yield from sorted({each[factor] for each in choices.values()} - {references[factor]})


def _notes(entries: Sequence[Entry], choices: Mapping[str, Choices]) -> Iterator[str]:
    """What a reader of the attribution must know."""
    if late := [entry.label for entry in entries if entry.label in choices and notes.under_trained(entry)]:
        yield f"under-trained entries take part in the attribution: {', '.join(late)}"
    alone = [entry.label for entry in entries
             if entry.label not in choices and "recommender" not in _configuration(entry)]
    if alone:
        yield f"without a match, and so without a part in the attribution: {', '.join(alone)}"
