"""Assess: what the protocol asks of a trained model, whichever its task."""

from collections.abc import Iterable

from ..assemble import Experiment
from ..errors import RunError
from .predictions import Predictions, ask, predict
from .ranking import Ranking, Watcher, rank, ranked_events

Assessment = Ranking | Predictions


def assess(experiment: Experiment, part: str, top_k: int = 0, watch: Watcher | None = None) -> Assessment:
    """Rank, or predict actions, for every evaluated event of a part, `valid`, `test` or `retained`; `watch` is shown
    rankings.

    Errors: as those two.
    """
    if experiment.suite.protocol.tasks == ("action",):
        return predict(experiment, part)
    return rank(experiment, part, top_k, watch)


def metric_values(found: Assessment, names: Iterable[str]) -> dict[str, float]:
    """The mean over users of each metric; nan where it is not defined."""
    return {name: float(found.user_values(name)[1].mean()) if len(found) else float("nan") for name in names}


def per_action(found: Assessment, names: Iterable[str]) -> dict[str, float]:
    """Those metrics that are means over actions, for each action that they can be told of; nothing of a ranking."""
    if not isinstance(found, Predictions):
        return {}
    each = [f"{name}.{action}" for name in names if "." not in name for action in found.asked.told(name)]
    return metric_values(found, each)


def check_askable(experiment: Experiment) -> None:
    """Refuse before any training what could not be evaluated after it. Errors: `RunError`."""
    protocol, split = experiment.suite.protocol, experiment.data.split
    if protocol.tasks != ("action",):
        if not len(ranked_events(experiment, "test")):
            raise RunError("evaluation: no test event is left, since every target was seen before. Expected at least "
                           "one. Use protocol.filter_seen: none.")
        return
    wanted = {"test": protocol.metrics, "valid": protocol.metrics[:1] if len(split.valid_events) else ()}
    for part, names in wanted.items():
        asked = ask(experiment, part)
        if untold := [name for name in names if not asked.told(name)]:
            raise RunError(f"evaluation: {untold[0]} is not defined on the {part} part. Expected events of it with the "
                           "action and without. Evaluate more (protocol.targets: each), or leave the metric out.")
