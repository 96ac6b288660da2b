"""Short names: the parts and parameters in which things of one kind differ, and nothing else."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from .forms import write_part
from .models import Configuration
from .parts import Part

_ORDER = ("recommender", "backbone", "modifiers", "compressor", "objectives", "combiner", "layout", "scorer")

Item = tuple[str, dict[str, Any]]
"""A part's name and parameters."""


def part_labels(parts: Sequence[Part]) -> list[str]:
    """The shortest texts that tell these parts apart: the name, and the parameters in which its namesakes differ."""
    items = [_item(part) for part in parts]
    return [_relative(item, items) for item in items]


def automatic_labels(configurations: Sequence[Configuration], taken: Collection[str]) -> list[str]:
    """One label each, unique and none of those taken, from the parts that differ among those of the same sort."""
    labels: list[str] = [""] * len(configurations)
    for whole in (True, False):
        chosen = [i for i, each in enumerate(configurations) if (each.recommender is not None) is whole]
        views = [_view(configurations[i]) for i in chosen]
        for i, view in zip(chosen, views, strict=True):
            labels[i] = _short(view, views)
    return _unique(labels, [_full(each) for each in configurations], taken)


def _item(part: Part) -> Item:
    parameters = part.canonical()
    return parameters.pop("name"), parameters


def _view(configuration: Configuration) -> dict[str, list[Item]]:
    """The items under each key."""
    view: dict[str, list[Item]] = {}
    for key in _ORDER:
        value = getattr(configuration, key)
        values = value if isinstance(value, tuple) else [] if value is None else [value]
        view[key] = [_item(each) for each in values if isinstance(each, Part)]
    if configuration.recommender is None:
        layout = configuration.layout.model_dump()
        view["layout"] = [(layout.pop("kind"), layout)]
        view["scorer"] = [("scorer", configuration.scorer.model_dump())]
    return view


def _relative(item: Item, peers: Sequence[Item]) -> str:
    """The item's name with the parameters that are not the same in all peers of that name."""
    name, parameters = item
    others = [each for peer, each in peers if peer == name]
    return write_part(
        name, {key: value for key, value in parameters.items() if any(each.get(key) != value for each in others)}
    )


def _short(view: dict[str, list[Item]], views: Sequence[dict[str, list[Item]]]) -> str:
    """The items that some other view lacks; the first item of all where there is none."""
    texts = []
    for key in _ORDER:
        peers = [item for each in views for item in each[key]]
        for item in view[key]:
            if not all(item in each[key] for each in views):
                texts.append(_relative(item, peers))
    if texts:
        return " + ".join(texts)
    return next(_relative(items[0], items) for items in view.values() if items)


def _full(configuration: Configuration) -> str:
    """Every part with every parameter that is not at its default."""
    return " + ".join(part.text for part in configuration.parts())


def _unique(labels: Sequence[str], longer: Sequence[str], taken: Collection[str]) -> list[str]:
    """The labels, each that is not alone replaced by the longer text, and by a numbered one where that fails too."""
    count = Counter([*labels, *taken])
    used, found = set(taken), []
    for label, text in zip(labels, longer, strict=True):
        wish = label if count[label] == 1 else text
        number, label = 1, wish
        while label in used:
            number += 1
            label = f"{wish} ({number})"
        used.add(label)
        found.append(label)
    return found
