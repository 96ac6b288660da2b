"""Joined: assessments of the periods of a stream as one, in the order of the interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .assess import Assessment
from .predictions import Predictions
from .ranking import Ranking

COLUMNS = ("user", "event", "above", "tied", "candidates", "domain", "top_items", "top_scores")
ASKED = ("events", "user", "event", "labels")


def join(found: Sequence[Assessment]) -> Assessment:
    """One assessment of all events of several, which are of one kind; counts add up, shares are of all events."""
    facts, seconds = _facts([each.facts for each in found]), sum(each.seconds for each in found)
    rankings = [each for each in found if isinstance(each, Ranking)]
    if rankings:
        order = _order([each.user for each in rankings], [each.event for each in rankings])
        columns = {name: np.concatenate([getattr(each, name) for each in rankings])[order] for name in COLUMNS}
        return Ranking(**columns, facts=facts, seconds=seconds)
    predictions = [each for each in found if isinstance(each, Predictions)]
    asked = [each.asked for each in predictions]
    order = _order([each.user for each in asked], [each.event for each in asked])
    whole = {name: np.concatenate([getattr(each, name) for each in asked])[order] for name in ASKED}
    probabilities = np.concatenate([each.probabilities for each in predictions])[order]
    return Predictions(replace(asked[0], **whole), probabilities, facts, seconds)


def _order(user: Sequence[np.ndarray], event: Sequence[np.ndarray]) -> np.ndarray:
    return np.lexsort((np.concatenate(event), np.concatenate(user)))


def _facts(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums of counts, and means of shares over evaluated events; what no part knows is not known."""
    weights = [facts["evaluated"] for facts in each]
    names = dict.fromkeys(name for facts in each for name in facts)
    return {name: _told([facts.get(name) for facts in each], weights) for name in names}


def _told(values: Sequence[Any], weights: Sequence[int]) -> Any:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None and weight]
    if any(isinstance(value, Mapping) for value, _ in known):
        names = dict.fromkeys(name for value, _ in known for name in value)
        return {name: _told([value.get(name) for value, _ in known], [weight for _, weight in known])
                for name in names}
    if all(isinstance(value, int) for value in values):
        return sum(values)
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None
