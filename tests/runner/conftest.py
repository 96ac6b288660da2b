"""A tiny suite, its registry, and records made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.registry import Registry
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_data


@pytest.fixture
def registry() -> Registry:
    return Registry.of([tiny_data, tiny_causal, tiny_bidirectional, tiny_softmax])


@pytest.fixture
def suite() -> dict[str, Any]:
    """Two configurations, two seeds, a few epochs."""
    return {
        "suite": "tiny",
        "datasets": ["tiny_data"],
        "protocol": {"split": "leave_one_out", "window": 8, "filter_seen": "none", "metrics": ["ndcg@5", "recall@5"]},
        "train": {"epochs": 3, "patience": 0, "batch": 8},
        "seeds": [1, 2],
        "base": {"objectives": ["tiny_softmax"]},
        "grid": {"backbone": ["tiny_causal", "tiny_bidirectional"]},
    }


@pytest.fixture
def one(suite: dict[str, Any]) -> dict[str, Any]:
    """A suite of a single run."""
    return {**suite, "seeds": [1], "grid": {"backbone": ["tiny_causal"]}}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared data of tests stays with the tests."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("BENCHBASE_CACHE", str(folder))
    return folder


@pytest.fixture
def facts() -> dict[str, Any]:
    """The facts of a record that is ok."""
    return {
        "run_id": "0123456789ab",
        "code": "c0de",
        "status": "ok",
        "reason": "",
        "suite": "tiny",
        "seed": 1,
        "configuration": {"label": "a", "ablate": False},
        "protocol": {
            "metrics": ["ndcg@5"],
            "split": {"name": "leave_one_out"},
            "targets": "next",
            "window": 9,
            "candidates": "catalogue",
            "filter_seen": "none",
        },
        "train": {"epochs": 7, "patience": 2, "threads": 1},
        "data": {"dataset": "d", "hash": "h", "n_users": 4},
        "environment": {"sources": {"core": "x"}, "machine": "m", "threads": 1},
        "metrics": {"ndcg@5": 0.5},
        "cost": {"train_seconds": 1.0, "rank_seconds": 0.5, "peak_memory_bytes": 1024, "parameters": 12},
        "training": {"epochs": 5, "under_trained": False},
        "evaluation": {},
        "route": ["fused"],
    }


@pytest.fixture
def tables() -> dict[str, Any]:
    """The tables of a record of four events."""
    four = np.arange(4, dtype=np.int32)
    return {
        "events.parquet": {
            "user": four,
            "event": four + 5,
            "above": four,
            "tied": four * 0,
            "candidates": four + 10,
            "domain": np.full(4, -1, np.int16),
        },
        "topk.parquet": {
            "user": four,
            "event": four + 5,
            "items": [[1, 2], [3], [], [4, 5]],
            "scores": [[0.5, 0.25], [1.0], [], [2.0, 1.0]],
        },
        "curve.parquet": {"epoch": [1, 1, 2], "name": ["train.x", "valid.y", "train.x"], "value": [0.5, 0.25, 0.125]},
    }
