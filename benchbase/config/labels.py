"""Short names: the parts and parameters in which things of one kind differ, and nothing else."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .canonical import canonical_json
from .forms import write_part
from .models import Configuration
from .parts import Part

_ORDER = ("recommender", "backbone", "encoders", "modifiers", "compressor", "objectives", "combiner", "layout",
          "scorer", "head", "sequence", "explainers")

Item = tuple[str, dict[str, Any]]
"""A part's name and parameters."""


def part_labels(parts: Sequence[Part]) -> list[str]:
    """The shortest texts that tell these parts apart: the name, and the parameters in which its namesakes differ.

    Of a path no more than its end, with as many folders as it takes: labels are shown to others.
    """
    items = [_item(part) for part in parts]
    varying = _varying(items)
    deepest = max((canonical_json(parameters).count("/") for _, parameters in items), default=0)
    for depth in range(1, deepest + 2):
        labels = [_relative((name, {key: _tail(value, depth) for key, value in parameters.items()}), varying)
                  for name, parameters in items]
        if len(set(labels)) == len(set(parts)):
            return labels
    return [_relative(item, varying) for item in items]


def _tail(value: Any, depth: int) -> Any:
    """The last `depth` parts of every path in a value."""
    if isinstance(value, dict):
        return {key: _tail(inner, depth) for key, inner in value.items()}
    if isinstance(value, list):
        return [_tail(inner, depth) for inner in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    return "/".join([part for part in value.split("/") if part][-depth:])


def level_labels(key: str, values: Sequence[Any]) -> list[str]:
    """The shortest texts that tell apart these values of one key of configurations, given as plain data; the values as
    they are where they are no parts.
    """
    views = [_plain_items(key, value) for value in values]
    known = [view for view in views if view is not None]
    if len(known) == len(views):
        varying = _varying(sorted((item for view in known for item in view), key=canonical_json))
        labels = [" + ".join(_relative(item, varying) for item in view) or "none" for view in known]
        if len(set(labels)) == len(set(map(canonical_json, values))):
            return labels
    return [canonical_json(value) for value in values]


def _plain_items(key: str, value: Any) -> list[Item] | None:
    """The items of a part, of a list of parts or of a section without a name, or None for anything else."""
    items = []
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(each, Mapping):
            return None
        naming = next((name for name in ("name", "kind") if name in each), "")
        items.append((str(each.get(naming, key)), {name: item for name, item in each.items() if name != naming}))
    return items


def automatic_labels(configurations: Sequence[Configuration], taken: Collection[str]) -> list[str]:
    """One label each, unique and none of those taken, from the parts that differ among those of the same sort."""
    labels: list[str] = [""] * len(configurations)
    for whole in (True, False):
        chosen = [i for i, each in enumerate(configurations) if (each.recommender is not None) is whole]
        for i, label in zip(chosen, _short([_view(configurations[i]) for i in chosen]), strict=True):
            labels[i] = label
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
        if configuration.head is not None:
            head = configuration.head.model_dump()
            view["head"] = [(head.pop("kind"), head)]
        view["sequence"] = [("sequence", configuration.sequence.model_dump())]
        view["scorer"] = [("scorer", configuration.scorer.model_dump())]
    return view


def _varying(items: Sequence[Item]) -> dict[str, set[str]]:
    """For each name, the parameters that are not the same wherever it occurs."""
    first: dict[str, dict[str, Any]] = {}
    varying: dict[str, set[str]] = {}
    for name, parameters in items:
        other = first.setdefault(name, parameters)
        differs = {key for key, value in parameters.items() if other.get(key) != value}
        varying[name] = varying.get(name, set()) | differs
    return varying


def _relative(item: Item, varying: Mapping[str, set[str]]) -> str:
    """The item's name with those of its parameters that vary."""
    name, parameters = item
    return write_part(name, {key: value for key, value in parameters.items() if key in varying[name]})


def _short(views: Sequence[dict[str, list[Item]]]) -> list[str]:
    """For each view the items that some other lacks; its first item of all where there is none."""
    items = {key: [item for view in views for item in view[key]] for key in _ORDER}
    varying = {key: _varying(items[key]) for key in _ORDER}
    count = {key: Counter(map(canonical_json, items[key])) for key in _ORDER}
    labels = []
    for view in views:
        own = [(key, item) for key in _ORDER for item in view[key]]
        differing = [(key, item) for key, item in own if count[key][canonical_json(item)] < len(views)]
        labels.append(" + ".join(_relative(item, varying[key]) for key, item in differing or own[:1]))
    return labels


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
