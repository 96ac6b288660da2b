"""Explanations of what a model recommends: asked for once all is ranked, and judged by taking the evidence away.

An explainer is shown what was recommended, never the model; that its evidence counts is what the model says when it is
asked again without it, and with nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .. import metrics
from ..assemble import Experiment, settled
from ..data import Explainer, Explanation, Interactions, Names, Recommendation
from ..data.draws import derive_seed
from ..data.explanations import is_sentence
from ..errors import PluginError
from .attention import attending_rows, attention, each_event, has_shares
from .forward import autocast
from .ranking import Judge, Ranking, count, model_scores

EXPLAINED = 100
"""Users whose recommendation is explained, at most: drawn alike for every configuration and seed."""

DRAWS = 5
"""Times that as many events as an explanation names are drawn at random, to be taken away in place of them."""

FEWEST = 2
"""Events that a model must have read: some to take away, and some to leave."""


@dataclass(frozen=True)
class Explanations:
    """What became of all explanations: figures by `explainer.figure`, what some would be by chance, and one line for
    each, as `explanations.parquet` holds them.
    """

    figures: Mapping[str, float]
    chance: Mapping[str, float]
    table: Mapping[str, Any]


@dataclass(frozen=True)
class _Case:
    """One recommendation: its place in the ranking, where its user's events begin, those read, and the target's."""

    place: int
    first: int
    read: np.ndarray
    target: int
    asked: Recommendation


def explain(experiment: Experiment, ranking: Ranking) -> Explanations | None:
    """Ask every explainer of a configuration why up to `EXPLAINED` users were recommended what they were, each their
    first evaluated event, and how the model ranks that without the evidence, and with nothing else.

    None where there is no explainer, or nobody of whom two events were read. Errors: `PluginError` where an explanation
    breaks the contract.
    """
    if not experiment.explainers:
        return None
    names, judge = Names(experiment.data.prepared.catalogue), Judge(experiment, "test", 0)
    with settled(experiment.suite.train.threads):
        with torch.inference_mode():
            cases = list(_cases(experiment, judge, ranking))
        if not cases:
            return None
        said = {name: _asked(name, build(), cases, names) for name, build in experiment.explainers.items()}
        asked = [(case, given.events) for each in said.values() for case, given in zip(cases, each, strict=True)]
        with torch.inference_mode():
            whole = _ranked(experiment, judge, cases, [case.read for case in cases])
            found = _without_and_alone(experiment, judge, asked).reshape(len(said), len(cases), 2, 1 + DRAWS)
    figures: dict[str, float] = {}
    chance: dict[str, float] = {}
    for place, (name, each) in enumerate(said.items()):
        lost, alone = whole.mean() - found[place, :, 0].mean(axis=0), found[place, :, 1].mean(axis=0)
        figures |= {f"{name}.comprehensiveness": float(lost[0]), f"{name}.sufficiency": float(alone[0]),
                    f"{name}.events": float(np.mean([len(given.events) for given in each])),
                    f"{name}.named": float(np.mean([not strangers(given, case.asked, names)
                                                    for case, given in zip(cases, each, strict=True)]))}
        chance |= {f"{name}.comprehensiveness": float(lost[1:].mean()), f"{name}.sufficiency": float(alone[1:].mean())}
    return Explanations(figures, chance, _table(judge, said, cases, whole, found))


def _asked(name: str, explainer: Explainer, cases: Sequence[_Case], names: Names) -> list[Explanation]:
    return [checked(name, explainer.explain(case.asked), case.asked, names) for case in cases]


def _cases(experiment: Experiment, judge: Judge, ranking: Ranking) -> Iterator[_Case]:
    """Recommendations to explain, in the order of the ranking."""
    feed, model, interactions = experiment.feed, experiment.model, judge.interactions
    assert feed is not None and model is not None
    model.eval()
    rows = feed.read(judge.events)
    able = (rows.stop - rows.start >= FEWEST) & (ranking.top_items[:, :1] > 0).any(axis=1)
    places = np.flatnonzero(able)
    places = places[np.unique(ranking.user[places], return_index=True)[1]]
    draw = np.random.default_rng(derive_seed(experiment.suite.data_seed, "explained"))
    places = np.sort(places[draw.permutation(len(places))[:EXPLAINED]])
    items = model.items("score")
    vectors = torch.nn.functional.normalize(model.scorer.vectors(source=items).float(), dim=-1).cpu().numpy()
    shares = _shares(experiment, judge.events[places], items)
    for place, share in zip(places, shares, strict=True):
        read, item = np.arange(rows.start[place], rows.stop[place]), int(ranking.top_items[place, 0])
        past = np.array(interactions.item[read], np.int32)
        times = np.zeros(len(read), np.int64) if interactions.timestamp is None else interactions.timestamp[read]
        asked = Recommendation(item, _frozen(past), _frozen(np.array(times, np.int64)),
                               _frozen(vectors[past - 1] @ vectors[item - 1]),
                               None if share is None else _frozen(share[: len(read)].copy()))
        yield _Case(int(place), int(rows.first[place]), read, int(judge.events[place]), asked)


def _shares(experiment: Experiment, events: np.ndarray, items: Any) -> list[np.ndarray | None]:
    """What the state that asks for each event (n,) gives to the events read, the mean over layers and heads."""
    model, feed = experiment.model, experiment.feed
    assert model is not None and feed is not None
    found: list[np.ndarray | None] = [None] * len(events)
    if not has_shares(model):
        return found
    for chunk in feed.score_batches(events, attending_rows(experiment)):
        batch, targets = chunk.batch.to(experiment.device), chunk.targets
        with autocast(experiment):
            encoded = model.encode(batch, "score", each_event, items)
        if (mass := attention(encoded, knowing=True)) is None:
            return found
        row, at = targets.row.numpy(), targets.event.numpy() - (0 if encoded.states.own else 1)
        for index, share in zip(chunk.index, mass.mean(axis=0)[row, at], strict=True):
            found[index] = share
    return found


def _without_and_alone(experiment: Experiment, judge: Judge, asked: Sequence[tuple[_Case, tuple[int, ...]]]
                       ) -> np.ndarray:
    """The reciprocal rank of what was recommended, (n, 2, 1 + DRAWS): without the evidence and with it alone, then of
    as many events drawn at random.
    """
    kept, cases = [], []
    for case, events in asked:
        n = len(case.read)
        draw = np.random.default_rng([derive_seed(experiment.suite.data_seed, "evidence"), case.target])
        chosen = [np.array(events, np.int64), *(draw.permutation(n)[: len(events)] for _ in range(DRAWS))]
        kept += [np.delete(case.read, each) for each in chosen] + [case.read[np.sort(each)] for each in chosen]
        cases += [case] * (2 * len(chosen))
    return _ranked(experiment, judge, cases, kept).reshape(len(asked), 2, 1 + DRAWS)


def _ranked(experiment: Experiment, judge: Judge, cases: Sequence[_Case], kept: Sequence[np.ndarray]) -> np.ndarray:
    """The expected reciprocal rank of what each case recommends, (n,), where the model reads these events alone; all
    else, and what is filtered, is as it was.
    """
    feed = experiment.feed
    assert feed is not None
    places = np.array([case.place for case in cases])
    interactions = _only(judge.interactions, [np.append(each, case.target)
                                              for each, case in zip(kept, cases, strict=True)])
    again = feed.over(interactions, judge.rows.user[places])
    goal = torch.tensor([case.asked.item for case in cases], device=experiment.device)
    mrr, found = metrics.parse(f"mrr@{judge.catalogue.n_items}"), np.empty(len(cases))
    for index, scores, _ in model_scores(experiment, again, interactions.offsets[1:] - 1, judge.chunk_rows()):
        allowed = judge.allowed(judge.target[places[index]])
        counts = count(scores, goal[torch.from_numpy(index).to(goal.device)], judge.seen(judge.rows[places[index]]),
                       None if allowed is None else allowed.to(scores.device))
        found[index] = metrics.values(mrr, *(each.cpu().numpy() for each in
                                             (counts.above, counts.tied, counts.candidates)))
    return found


def _only(interactions: Interactions, kept: Sequence[np.ndarray]) -> Interactions:
    """These events alone, positions (k,) for each of as many users."""
    index = np.concatenate(kept)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in kept])])
    columns = {name: column[index] for name in ("item", "timestamp", "actions", "features", "marks")
               if (column := getattr(interactions, name)) is not None}
    return replace(interactions, offsets=offsets, user_ids=None, **columns)


def checked(name: str, given: Any, asked: Recommendation, names: Names) -> Explanation:
    """The explanation, if it keeps to the contract. Errors: `PluginError`."""
    if not isinstance(given, Explanation):
        raise PluginError(f"explainer {name}: explain returned a {type(given).__name__}. Expected a "
                          "benchbase.data.Explanation.")
    n, events, features = len(asked.past), given.events, given.features
    if not isinstance(events, tuple) or not all(isinstance(each, (int, np.integer)) and 0 <= each < n
                                                for each in events):
        raise PluginError(f"explainer {name}: its evidence is {events!r:.60} of {n} events. Expected a tuple of places "
                          f"from 0 to {n - 1}.")
    if len(set(events)) < len(events) or not 0 < len(events) < n:
        raise PluginError(f"explainer {name}: its evidence is {events!r:.60} of {n} events. Expected some, each once, "
                          "and not all.")
    own = names.labels(asked.item)
    if unknown := [each for each in features if each not in own] if isinstance(features, tuple) else [features]:
        raise PluginError(f"explainer {name}: it names {unknown[0]!r:.60}, which the item is not. Expected a tuple of "
                          "categories of the item, as (column, label).")
    if not is_sentence(given.text):
        raise PluginError(f"explainer {name}: its text is {given.text!r:.60}. Expected one line of printable text, of "
                          f"at most {given.longest} characters.")
    return given


def strangers(given: Explanation, asked: Recommendation, names: Names) -> list[str]:
    """What a sentence names beside the item, the evidence, and the features."""
    allowed = [names.item(asked.item), *(names.item(int(asked.past[each])) for each in given.events),
               *(label for _, label in given.features)]
    return names.strangers(given.text, allowed)


def _table(judge: Judge, said: Mapping[str, Sequence[Explanation]], cases: Sequence[_Case], whole: np.ndarray,
           found: np.ndarray) -> dict[str, Any]:
    """One line for each explanation; `events` are places in the user's own sequence, the rest reciprocal ranks."""
    lines = [(name, case, given) for name, each in said.items() for case, given in zip(cases, each, strict=True)]
    found = found.reshape(len(lines), 2, -1)
    return {
        "user": np.array([judge.rows.user[case.place] for _, case, _ in lines], np.int32),
        "event": np.array([case.target - case.first for _, case, _ in lines], np.int32),
        "item": np.array([case.asked.item for _, case, _ in lines], np.int32),
        "explainer": [name for name, _, _ in lines],
        "events": [case.read[list(given.events)] - case.first for _, case, given in lines],
        "features": [[f"{column}: {label}" for column, label in given.features] for _, _, given in lines],
        "text": [given.text for _, _, given in lines],
        "whole": np.tile(whole, len(said)), "without": found[:, 0, 0], "alone": found[:, 1, 0],
    }


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
