"""Suites with a compressed history on real times: backbones that read times, each with CAUSE and without."""

from pathlib import Path
from typing import Any

import pytest

import benchbase
from benchbase.runner import read_all
from benchbase.runner.records import Record
from benchbase.testing.files import real_folder

pytestmark = pytest.mark.plugins

GENRANK = "genrank[width=16,layers=1,heads=2,time_bias=0.5]"
ENTRIES = [
    {"label": "hstu", "layout": {"kind": "interleaved", "user_token": True}, "backbone": "hstu[width=16,layers=1]"},
    {"label": "genrank", "layout": {"kind": "stacked", "user_token": True}, "backbone": GENRANK},
]


@pytest.fixture
def latest_small() -> Path:
    """The folder of MovieLens latest-small: in BENCHBASE_TEST_DATA, or in shared/data beside the repository."""
    return real_folder("ml-latest-small", Path(__file__).parents[1])


def run(folder: Path, entries: list[dict[str, Any]], latest_small: Path) -> dict[str, Record]:
    """Each entry's one run, by label."""
    suite = {
        "suite": "compressed", "seeds": [1], "guards": False,
        "datasets": [{"name": "ml_latest_small", "path": str(latest_small), "min_item_events": 20}],
        "protocol": {"split": "leave_one_out", "window": 16, "metrics": ["ndcg@10"]},
        "train": {"epochs": 4, "patience": 0, "batch": 32, "lr": 0.01},
        "base": {"objectives": ["softmax"]}, "entries": entries,
    }
    benchbase.run(suite, folder)
    return {record.facts["configuration"]["label"]: record for _, record in read_all(folder)
            if isinstance(record, Record)}


def test_backbones_that_read_times_learn_from_a_compressed_history(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, latest_small: Path) -> None:
    """Ratings of one second stand in one request, and years lie between two."""
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    compressed = [{**entry, "label": f"{entry['label']} + {name}", "compressor": name}
                  for entry in ENTRIES for name in ("cause", "pma")]
    found = run(tmp_path / "out", [*ENTRIES, *compressed], latest_small)
    assert len(found) == 6
    for label, record in found.items():
        assert record.facts["status"] == "ok", record.facts
        curve = record.table("curve.parquet")
        losses = [value for name, value in zip(curve["name"], curve["value"], strict=True) if name.startswith("train.")]
        assert losses[-1] < 0.98 * losses[0], label
        cost = record.facts["cost"]
        assert (cost.get("history_events_per_sequence", 0) > 50) == ("+" in label)
        assert cost["flops_per_sequence"] > 0
    for entry in ENTRIES:
        plain, cause = (found[label].facts["cost"] for label in (entry["label"], f"{entry['label']} + cause"))
        assert 4 < cause["history_tokens_per_sequence"] <= 8
        # a token for each event that gave way: an event is two in the interleaved layout
        assert cause["tokens_per_sequence"] <= plain["tokens_per_sequence"]
