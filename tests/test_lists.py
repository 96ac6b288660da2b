"""What the lists hold: the figures equal a loop over lists, whatever else stands in the record."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from benchbase.data import TRAIN
from benchbase.evaluate import list_figures, rank
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_causal, tiny_softmax


@pytest.fixture
def experiment():
    return make_experiment(tiny_causal, objectives=[tiny_softmax],
                           protocol={"split": {"name": "leave_last", "valid": 1, "test": 3}, "window": 8,
                                     "filter_seen": "none", "targets": "each"})


def loop(experiment, ranking, k):
    """The same, one list after the other."""
    data, events = experiment.data.prepared, experiment.data.prepared.interactions
    counts = np.bincount(events.item[experiment.data.split.part == TRAIN], minlength=data.catalogue.n_items + 1)
    per_user = {}
    for user, event, items in zip(ranking.user, ranking.event, ranking.top_items[:, :k], strict=True):
        first = events.offsets[user]
        before = events.item[first : first + event]
        told = {"novelty": np.mean([-np.log2(max(counts[i], 1) / counts.sum()) for i in items]),
                "shown": np.mean(counts[items]), "chosen": np.mean(counts[before])}
        for name, column in data.catalogue.categories.items():
            sets = [set(column.of(int(i)).tolist()) for i in items]
            distances = [1 - len(a & b) / len(a | b) if a | b else 0 for a, b in combinations(sets, 2)]
            told[name] = np.mean(distances) if distances else np.nan
        per_user.setdefault(user, []).append(told)
    means = {name: np.mean([np.mean([each[name] for each in rows]) for rows in per_user.values()])
             for name in next(iter(per_user.values()))[0]}
    found = {f"coverage@{k}": len(np.unique(ranking.top_items[:, :k])) / data.catalogue.n_items,
             f"novelty@{k}": means.pop("novelty"), f"lift@{k}": means.pop("shown") / means.pop("chosen") - 1}
    return found | {f"diversity.{name}@{k}": value for name, value in means.items()}


@pytest.mark.parametrize("k", [1, 5])
def test_figures_equal_a_loop_over_lists(experiment, k):
    ranking = rank(experiment, "test", 5)
    expected = {name: value for name, value in loop(experiment, ranking, k).items() if np.isfinite(value)}
    assert list_figures(experiment, ranking, k) == pytest.approx(expected)
    assert k == 1 or any(name.startswith("diversity.") for name in expected)


def test_without_lists_nothing_is_told(experiment):
    ranking = rank(experiment, "test", 2)
    assert list_figures(experiment, ranking, 3) == {}
    nobody = replace(ranking, user=ranking.user[:0], event=ranking.event[:0], top_items=ranking.top_items[:0])
    assert list_figures(experiment, nobody, 2) == {}
