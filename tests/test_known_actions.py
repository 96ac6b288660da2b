"""End to end on a world whose best normalised entropy is known: close to it, and for the right reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchbase.assemble import assemble, load_data
from benchbase.cli import main
from benchbase.config import load_suite
from benchbase.data import Interactions
from benchbase.evaluate import predict
from benchbase.registry import Registry
from benchbase.specs import DataContext
from benchbase.train import fit

pytestmark = pytest.mark.plugins

SUITE: dict[str, Any] = {
    "suite": "tastes",
    "datasets": ["actions[n_users=400, events=30]"],
    "protocol": {"tasks": ["action"], "split": "temporal_ratio", "targets": "each", "window": 30,
                 "metrics": ["ne.like", "ne.share"]},
    "train": {"epochs": 14, "patience": 0, "batch": 32, "lr": 0.004, "device": "cpu"},
    "base": {"backbone": "transformer[width=32,layers=2,dropout=0.0]", "modifiers": ["attn_mvp"],
             "objectives": ["action_bce"]},
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    registry = Registry.load()
    suite = load_suite(SUITE, registry)
    data = load_data(suite, suite.datasets[0], registry, DataContext(cache=tmp_path_factory.mktemp("cache")))
    experiment = assemble(suite.configurations(registry)[0], suite, registry, data, 1)
    fit(experiment)
    return experiment


def test_a_model_comes_close_to_the_best_and_not_below_it(fitted: Any) -> None:
    from benchbase_synthetic import truth

    prepared, events = fitted.data.prepared, fitted.data.split.test_events
    config = fitted.suite.datasets[0].config
    best = truth.best_probabilities(config, prepared.interactions, prepared.catalogue, events, window=30)
    found = predict(fitted, "test")
    ours, bound = ([_ne(found.asked.labels[:, place], p[:, place]) for place in (0, 1)]
                   for p in (found.probabilities, best))
    assert bound[0] - 0.02 < ours[0] < bound[0] + 0.1, "what is liked follows from what was liked before"
    assert bound[1] - 0.02 < ours[1] < bound[1] + 0.05, "what is shared follows from the item"


def _ne(label: np.ndarray, p: np.ndarray) -> float:
    from benchbase.metrics import normalised_entropy

    return normalised_entropy(label, p)


def test_another_past_turns_the_order_round(fitted: Any) -> None:
    """Users who had liked the opposite would be told to like the other kind: what was done counts, not by whom."""
    found = predict(fitted, "test").probabilities[:, 0]
    old = fitted.data.prepared.interactions
    actions = np.array(old.actions)
    actions[:, 0] = 1 - actions[:, 0]
    turned = Interactions(old.offsets, old.item, old.timestamp, actions, old.features, old.action_names,
                          old.feature_names, old.user_ids)
    plain = fitted.feed.interactions
    fitted.feed.interactions = turned
    other = predict(fitted, "test").probabilities[:, 0]
    fitted.feed.interactions = plain
    sure = np.abs(found - 0.5) > 0.3
    assert sure.mean() > 0.7 and ((found > 0.5) != (other > 0.5))[sure].mean() > 0.97


def test_the_suite_runs_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "suite.yaml").write_text("""
suite: tastes
datasets: ["actions[n_users=60, events=12]"]
protocol: {tasks: [action], split: temporal_ratio, targets: each, window: 12, metrics: [ne, auc.like]}
train: {epochs: 2, batch: 16, device: cpu}
base: {backbone: "transformer[width=8,layers=1]", objectives: [action_bce], head: {kind: mmoe, hidden: 8}}
entries:
  - {label: interleaved, layout: {kind: interleaved}}
  - {label: AttnLFA, modifiers: [attn_lfa]}
  - {label: AttnDHN, modifiers: [attn_dhn]}
""", encoding="utf-8")
    result = CliRunner().invoke(main, ["run", str(tmp_path / "suite.yaml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert all(text in result.output for text in ("AttnDHN", "auc.like", "no difference shown"))


def test_the_best_that_the_leaderboard_names() -> None:
    from benchbase_synthetic import truth

    registry = Registry.load()
    suite = load_suite(Path(__file__).parents[1] / "leaderboards" / "interleaving-actions" / "suite.yaml", registry)
    data = load_data(suite, suite.datasets[0], registry, DataContext())
    prepared, events = data.prepared, data.split.test_events
    best = truth.best_probabilities(suite.datasets[0].config, prepared.interactions, prepared.catalogue, events,
                                    window=suite.protocol.window)
    names = prepared.interactions.action_names
    labels = prepared.interactions.actions[events]
    for figure in suite.published:
        place = names.index(figure.metric.removeprefix("ne."))
        assert figure.value == pytest.approx(_ne(labels[:, place], best[:, place]), abs=5e-5)
    assert len(suite.published) == 4
