"""Card: what a prepared data set holds, where it comes from and what was done to it, as plain numbers and text."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic import RootModel

from ..specs import DatasetSpec, defaults
from .catalogue import Catalogue
from .filters import DatasetConfig
from .interactions import Interactions

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


def make_card(
    spec: DatasetSpec,
    config: DatasetConfig,
    seed: int,
    interactions: Interactions,
    catalogue: Catalogue,
    facts: Mapping[str, Any],
    sources: list[tuple[Path, str]],
) -> dict[str, Any]:
    """The card of a prepared data set: JSON values only, file names without folders."""
    return {
        "name": spec.name,
        "config": defaults(RootModel[Any](_public(config.model_dump()))),
        "data_seed": seed,
        "source": str(spec.source),
        "licence": spec.licence,
        "redistributable": spec.redistributable,
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": digest} for path, digest in sources],
        **counts(interactions, catalogue),
        **facts,
    }


def counts(interactions: Interactions, catalogue: Catalogue) -> dict[str, Any]:
    """Sizes of a data set: users, items, events, density, events per user and item, time span in Unix seconds."""
    n_users, n_items, n_events = interactions.n_users, catalogue.n_items, interactions.n_events
    time = interactions.timestamp
    return {
        "users": n_users,
        "items": n_items,
        "events": n_events,
        "density": n_events / (n_users * n_items),
        "events_per_user": quantiles(np.diff(interactions.offsets)),
        "events_per_item": quantiles(np.bincount(interactions.item, minlength=n_items + 1)[1:]),
        "time_span": None if time is None else [int(time.min()), int(time.max())],
        "actions": list(interactions.action_names),
        "features": list(interactions.feature_names),
        **({"marks": list(interactions.mark_names)} if interactions.mark_names else {}),
        "domains": list(catalogue.domain_names),
        "categories": {name: len(each.labels) for name, each in catalogue.categories.items()},
        "columns": list(catalogue.columns),
        **({"vectors": {name: values.shape[1] for name, values in catalogue.vectors.items()}} if catalogue.vectors
           else {}),
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Minimum, quartiles, maximum and mean."""
    at = np.quantile(values, list(QUANTILES.values()))
    return {**dict(zip(QUANTILES, at.tolist(), strict=True)), "mean": float(values.mean())}


def with_split(card: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The card with a split's facts added under the split's name."""
    return {**card, "splits": {**card.get("splits", {}), facts["name"]: dict(facts)}}


def render(card: Mapping[str, Any]) -> str:
    """The card as text, one fact a line."""
    lines = [
        f"{card['name']}: {card['users']:,} users, {card['items']:,} items, {card['events']:,} events "
        f"(density {card['density']:.3%})"
    ]
    lines += _line("parameters", ", ".join(f"{name}={value}" for name, value in card["config"].items()))
    lines += _line("events per user", _quantiles(card["events_per_user"]))
    lines += _line("events per item", _quantiles(card["events_per_item"]))
    span = card["time_span"]
    lines += _line(
        "time", "no timestamps; the source's order" if span is None else f"{_day(span[0])} to {_day(span[1])}"
    )
    if card.get("tie_share") is not None:
        lines += _line(
            "ties",
            f"{card['tie_share']:.2%} of events share user and time with the event before; "
            f"their order: {card['order_of_ties']}",
        )
    lines += _line("repeated pairs", f"{card['repeated_pairs']:,} events repeat a (user, item) pair")
    lines += [
        line for reason, n in card["removed"].items() if n for line in _line("removed", f"{n:,} events: {reason}")
    ]
    for name in ("actions", "features", "marks", "domains", "columns"):
        lines += _line(name, ", ".join(card.get(name, ())))
    lines += _line("categories", ", ".join(f"{name} ({n})" for name, n in card["categories"].items()))
    lines += _line("vectors", ", ".join(f"{name} ({width})" for name, width in card.get("vectors", {}).items()))
    for name, sizes in card.get("groups", {}).items():
        told = (f"{label} {n}" if isinstance(n, str) else f"{label} {n:,}" for label, n in sizes.items())
        lines += _line(f"groups by {name}", ", ".join(told))
    if card.get("listed_items_without_events"):
        lines += _line(
            "catalogue",
            f"{card['listed_items_without_events']:,} listed items have no events and are left out",
        )
    if card.get("items_not_listed"):
        lines += _line("catalogue", f"{card['items_not_listed']:,} items with events are not described")
    lines += [line for name, text in card.get("facts", {}).items() for line in _line(name, text)]
    lines += [line for facts in card.get("splits", {}).values() for line in _split(facts)]
    lines += _line("source", card["source"]) + _line("licence", card["licence"])
    lines += [
        line
        for file in card["files"]
        for line in _line("file", f"{file['name']} ({file['bytes']:,} bytes) sha256 {file['sha256']}")
    ]
    return "\n".join([*lines, *_line("prepared data", card.get("hash", ""))])


def _split(facts: Mapping[str, Any]) -> list[str]:
    leak = facts["leak_share"]
    share = leak if isinstance(leak, str) else f"{leak:.2%}"
    parts = ", ".join(f"{part} {n:,}" for part, n in facts["events"].items())
    return [
        *_line(f"split {facts['name']}", f"{parts}; leak share {share}"),
        *_line("held-out users", _held_out(facts.get("held_out", {}))),
        *_line("stream", _stream(facts)),
        *(line for warning in facts["warnings"] for line in _line("warning", warning)),
    ]


def _stream(facts: Mapping[str, Any]) -> str:
    """The periods of a test part that is learned from, and what is retained."""
    if "period_from" not in facts:
        return ""
    retained = facts["evaluated"]["retained"]
    return (f"{len(facts['period_from']):,} periods from {_day(facts['test_from'])}, each predicted, then learned "
            f"from; {retained:,} events from {_day(facts['retained_from'])} are retained: never learned from")


def _held_out(users: Mapping[str, int]) -> str:
    told = ", ".join(f"{part} {n:,}" for part, n in users.items())
    return told and f"{told}; nothing is learned from them, their unused events are only read"


def _line(name: str, text: str) -> list[str]:
    return [f"  {name + ':':<17} {text}"] if text else []


def _quantiles(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:,.1f}".removesuffix(".0") for name in (*QUANTILES, "mean"))


def _public(value: Any) -> Any:
    """A parameter's value, at any depth; a path without its folders, which are nobody else's business."""
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, Mapping):
        return {_public(key): _public(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return frozenset(map(_public, value))
    return value


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
