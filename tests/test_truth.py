"""What a data set's truth is shown of a model, and where its figures stand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.evaluate import against_truth, ranked_events
from benchbase.registry import Registry
from benchbase.runner import read_all, run
from benchbase.runner.records import Record
from benchbase.specs import DatasetSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_prefix, probe_relation
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_recurrent, tiny_softmax
from benchbase.testing.world import tiny_data


class Witness:
    """Remembers what it is shown."""

    traces = frozenset({"relation", "nobody publishes this"})

    def __init__(self) -> None:
        self.items: list[np.ndarray] = []
        self.seen: list[dict[str, np.ndarray]] = []
        self.attention: list[np.ndarray | None] = []

    def observe(self, items: np.ndarray, traces: Any, attention: np.ndarray | None) -> None:
        self.items.append(items)
        self.seen.append(dict(traces))
        self.attention.append(attention)

    def metrics(self) -> dict[str, float]:
        return {"rows": float(sum(map(len, self.items))), "nothing": float("nan"), "endless": float("inf")}

    def chance(self) -> dict[str, float]:
        return {"rows": 1.0, "nothing": float("nan"), "not told": 2.0}


def shown(backbone: Any, **parts: Any) -> Witness:
    witness = Witness()
    experiment = make_experiment((backbone, {"n_layers": 2, "n_heads": 2}), objectives=[tiny_softmax], **parts)
    assert against_truth(experiment, witness)["rows"] == len(ranked_events(experiment, "test")) > 9
    return witness


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional], ids=lambda spec: spec.name)
def test_attention_is_of_events_on_events(backbone: Any) -> None:
    witness = shown(backbone)
    for items, attention in zip(witness.items, witness.attention, strict=True):
        assert attention is not None and attention.shape == (2, *items.shape, items.shape[1])
        there = items > 0
        hidden = (~there).sum(axis=1) - (~there).sum(axis=1).min()  # what is appended to be predicted stays unseen
        assert (np.diff(there.astype(int), axis=1) <= 0).all() and hidden.min() == 0
        total = attention.sum(axis=-1)[:, there]
        assert np.allclose(total, 1, atol=1e-5)
        if backbone is tiny_causal:
            assert not np.triu(attention, 1).any()
        else:
            assert np.triu(attention, 1).any()


def test_prefix_tokens_are_no_events() -> None:
    """They take a share of the weight, and have no row and no column."""
    witness = shown(tiny_causal, modifiers=[probe_prefix])
    for items, attention in zip(witness.items, witness.attention, strict=True):
        assert attention is not None and attention.shape == (2, *items.shape, items.shape[1])
        total = attention.sum(axis=-1)[:, items > 0]
        assert (total < 1).all() and (total > 0).all()


@pytest.mark.parametrize("backbone", [tiny_pointwise, tiny_recurrent], ids=lambda spec: spec.name)
def test_weights_that_are_no_shares_are_not_shown(backbone: Any) -> None:
    assert set(map(type, shown(backbone).attention)) == {type(None)}


def test_traces_are_shown_to_those_that_read_them() -> None:
    assert all(not seen for seen in shown(tiny_causal).seen)
    witness = shown(tiny_causal, modifiers=[probe_relation])
    for items, seen in zip(witness.items, witness.seen, strict=True):
        assert set(seen) == {"relation"} and seen["relation"].shape[0] == len(items)
        assert seen["relation"].dtype == np.float32


def known(truth: Any) -> DatasetSpec:
    return replace(tiny_data, truth=truth)


def facts(spec: DatasetSpec, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("BENCHBASE_CACHE", str(out / "cache"))
    suite = {"suite": "tiny", "datasets": ["tiny_data"], "seeds": [1], "guards": False,
             "protocol": {"split": "leave_one_out", "window": 8, "filter_seen": "none", "metrics": ["ndcg@5"]},
             "train": {"epochs": 1, "patience": 0, "batch": 8}, "data_seed": 3,
             "base": {"objectives": ["tiny_softmax"], "backbone": "tiny_causal"}, "entries": [{"label": "a"}]}
    run(suite, out, registry=Registry.of([spec, tiny_causal, tiny_softmax]))
    (record,) = (each for _, each in read_all(out))
    assert isinstance(record, Record)
    return dict(record.facts)


def test_its_figures_stand_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def truth(config: Any, catalogue: Any, seed: int) -> Witness:
        asked.append((type(config), catalogue.n_items, seed))
        return Witness()

    with_truth = facts(known(truth), tmp_path / "with", monkeypatch)
    without = facts(tiny_data, tmp_path / "without", monkeypatch)
    assert asked == [(tiny_data.config, 30, 3)]
    figures = {name: value for name, value in with_truth["metrics"].items() if name.startswith("truth.")}
    assert figures == {"truth.rows": 24, "truth.nothing": None, "truth.endless": None}
    assert with_truth["evaluation"]["by_chance"] == {"rows": 1}
    assert "by_chance" not in without["evaluation"]
    rest = {name: value for name, value in with_truth["metrics"].items() if name not in figures}
    assert rest == without["metrics"] and with_truth["run_id"] == without["run_id"]


def test_a_truth_that_fails_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def truth(config: Any, catalogue: Any, seed: int) -> Witness:
        raise ValueError("no law")

    found = facts(known(truth), tmp_path, monkeypatch)
    assert found["status"] == "failed" and found["reason"] == "ValueError: no law"
