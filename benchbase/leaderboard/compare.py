"""Two entries side by side: in what they differ, and whether their users fare differently."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BenchbaseError, nearest
from ..metrics import higher_is_better
from ..stats import Comparison, Crossed, crossed_test, holm, seed_differences
from ..stats import compare as compare_users
from ..stats.nested import same_users, stack
from .load import Entry, load_folder
from .table import LEVEL

Factor = tuple[str, Any, Any]


@dataclass(frozen=True)
class Pair:
    """One data set and metric: the means, the test of their difference over users and seeds, and measures over users.

    `p_holm` corrects `test.p` over the data sets, for the suite's first metric alone; None for the others. The p-values
    and intervals of `users` take the seeds as they are.
    """

    dataset: str
    metric: str
    first: float
    second: float
    test: Crossed
    users: Comparison
    p_holm: float | None = None


@dataclass(frozen=True)
class Sides:
    """What `compare` tells: the factors in which two entries differ, and a pair per data set and metric."""

    first: str
    second: str
    factors: tuple[Factor, ...]
    pairs: tuple[Pair, ...]
    gaps: tuple[str, ...]


def compare_entries(folder: str | Path, first: str, second: str, matters: float | None = None) -> Sides:
    """Compare two entries by label. `matters`: the smallest difference that is of any use, carried along.

    Errors: `BenchbaseError` for labels that do not exist and for entries evaluated on different users.
    """
    board = load_folder(folder)
    for label in (first, second):
        if label not in board.labels:
            raise BenchbaseError(f"compare: no entry is called '{label}'. {nearest(label, board.labels, 'Entries')}")
    if first == second:
        raise BenchbaseError(f"compare: '{first}' twice. Expected two entries. Entries: {', '.join(board.labels)}.")
    found = {(entry.dataset, entry.label): entry for entry in board.entries}
    metrics, pairs, gaps = list(board.metrics), [], []
    for dataset in board.datasets:
        sides = [found.get((dataset, label)) for label in (first, second)]
        absent = [label for label, side in zip((first, second), sides, strict=True) if side is None or not side.good]
        gaps += [f"{label} has no result on {dataset}" for label in absent]
        if not absent:
            pairs += [_pair(sides[0], sides[1], metric, matters) for metric in metrics]  # type: ignore[arg-type]
    factors = tuple(_factors(_configuration(board.entries, first), _configuration(board.entries, second)))
    return Sides(first, second, factors, _corrected(pairs, metrics), tuple(gaps))


def _pair(first: Entry, second: Entry, metric: str, matters: float | None) -> Pair:
    names = f"compare: '{first.label}' and '{second.label}' on {first.dataset}"
    users, ours = stack(first.values(metric), names)
    others, theirs = stack(second.values(metric), names)
    same_users(names, users, others)
    differences = seed_differences(ours, theirs)
    measures = compare_users(differences.mean(0), level=LEVEL, matters=matters)
    if not higher_is_better(metric):
        measures = replace(measures, wins=measures.losses, losses=measures.wins)
    return Pair(first.dataset, metric, float(ours.mean()), float(theirs.mean()), crossed_test(differences, LEVEL),
                measures)


def _corrected(pairs: list[Pair], metrics: list[str]) -> tuple[Pair, ...]:
    main = [pair for pair in pairs if pair.metric == metrics[0]] if metrics else []
    adjusted = iter(holm([pair.test.p for pair in main]).tolist() if main else [])
    return tuple(replace(pair, p_holm=next(adjusted)) if pair.metric == metrics[0] else pair for pair in pairs)


def _configuration(entries: tuple[Entry, ...], label: str) -> Mapping[str, Any]:
    """What a label chose, from any record of it; nothing where it has none."""
    for entry in entries:
        for run in entry.runs:
            if entry.label == label and run.record:
                return {name: value for name, value in run.record.facts["configuration"].items()
                        if name not in ("label", "ablate")}
    return {}


def _factors(first: Any, second: Any, path: str = "") -> Iterator[Factor]:
    """The places in which two configurations differ, as deep as both have the same shape there."""
    if isinstance(first, Mapping) and isinstance(second, Mapping) and first.get("name") == second.get("name"):
        for key in sorted(first.keys() | second.keys()):
            yield from _factors(first.get(key), second.get(key), f"{path}.{key}" if path else key)
    elif isinstance(first, list) and isinstance(second, list) and _names(first) == _names(second):
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _factors(one, other, f"{path}[{place}]")
    elif first != second:
        yield path, first, second


def _names(parts: list[Any]) -> list[Any]:
    return [part.get("name") if isinstance(part, Mapping) else part for part in parts]
