"""Suites with a compressed history, end to end: it tells what the window cannot, and it goes with real times."""

from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))


BLOCKS, BLOCK, FIRST = 5, 7, 5
"""How often users are asked, events from one answer to the next, and events at home."""


def put_homes(folder: Path, homes: int = 4, users: int = 240) -> dict[str, Any]:
    """Users who begin at home, pass the time with anything, and are asked now and then where home is."""
    draw, log, films = np.random.default_rng(0), ["user,item,timestamp"], ["item,kind"]
    for user in range(users):
        home = user % homes
        events = [f"at{home}_{n}" for n in draw.integers(3, size=FIRST)]
        for _ in range(BLOCKS):
            events += [*(f"any{n}" for n in draw.integers(9, size=BLOCK - 2)), "ask", f"answer{home}"]
        log += [f"{user},{item},{time}" for time, item in enumerate(events)]
    films += [f"at{home}_{n},place{home}" for home in range(homes) for n in range(3)]
    films += [f"answer{home},answer" for home in range(homes)] + [f"any{n},any" for n in range(9)] + ["ask,ask"]
    (folder / "log.csv").write_text("\n".join(log) + "\n")
    (folder / "items.csv").write_text("\n".join(films) + "\n")
    return {"name": "files", "format": "csv", "path": str(folder / "log.csv"),
            "items": {"path": str(folder / "items.csv"), "id": "item", "categories": ["kind"]}}


def test_tokens_tell_what_no_window_does(tmp_path: Path) -> None:
    """The answer stands seven events back and more, and the window holds five. The last answer is asked for."""
    last = FIRST + BLOCK * BLOCKS - 1
    suite = {
        "suite": "homes", "datasets": [put_homes(tmp_path)], "seeds": [1], "guards": False,
        "protocol": {"split": {"name": "global_time", "valid_from": last - BLOCK, "test_from": last}, "window": 5,
                     "filter_seen": "none", "metrics": ["recall@1"]},
        "train": {"epochs": 8, "patience": 0, "batch": 32, "lr": 0.003, "windows": "chunks", "device": "cpu"},
        "base": {"backbone": "genrank[width=32,layers=2,heads=2,time=none,dropout=0]", "objectives": ["softmax"]},
        "entries": [{"label": "plain"}, {"label": "CAUSE", "compressor": "cause[budget=extra]"}],
    }
    benchbase.run(suite, tmp_path / "out")
    found = {record.facts["configuration"]["label"]: record.facts["metrics"]["recall@1"]
             for _, record in read_all(tmp_path / "out") if isinstance(record, Record)}
    assert found["plain"] < 0.4 and found["CAUSE"] > 0.9  # by chance 0.25


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
        tmp_path: Path, latest_small: Path) -> None:
    """Ratings of one second stand in one request, and years lie between two."""
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
