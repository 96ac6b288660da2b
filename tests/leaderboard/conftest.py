"""Folders of records made by hand, so that the truth about them is known."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.config import canonical_json
from benchbase.runner.records import write_record

Make = Callable[..., Path]
CARD = {
    "name": "d",
    "users": 50,
    "items": 100,
    "events": 500,
    "density": 0.1,
    "licence": "CC0-1.0",
    "splits": {"leave_one_out": {"leak_share": 0.25, "without_history": {"test": 3}, "users_too_short": 4}},
}


def make_facts(run_id: str, label: str, dataset: str, seed: int, **changes: Any) -> dict[str, Any]:
    """The facts of a run; `changes` replace whole keys."""
    return {
        "run_id": run_id,
        "code": "c0de",
        "status": "ok",
        "reason": "",
        "suite": "hand",
        "seed": seed,
        "configuration": {"backbone": {"name": label, "width": 8}, "label": label, "ablate": False},
        "protocol": {
            "metrics": ["recall@1", "ndcg@10"],
            "split": {"name": "leave_one_out"},
            "targets": "next",
            "window": 9,
            "candidates": "catalogue",
            "filter_seen": "history",
        },
        "train": {"epochs": 7, "patience": 2, "threads": 1},
        "data": {"dataset": dataset, "hash": "h" + dataset, "n_users": 50, "card": CARD},
        "environment": {"machine": "m", "threads": 1, "sources": {"core": "x"}},
        "metrics": {"recall@1": 0.5},
        "cost": {
            "prepare_seconds": 1.0,
            "train_seconds": 60.0,
            "rank_seconds": 1.0,
            "peak_memory_bytes": 2**20,
            "parameters": 1000,
            "tokens_per_sequence": 3.0,
        },
        "training": {"epochs": 5, "best_epoch": 3, "under_trained": False, "stopped": "plateau"},
        "evaluation": {"tied_share": 0.0, "cold_share": 0.0, "left_out_target_seen": 0},
        "route": [],
        **changes,
    }


def events(above: Any, users: Any = None, domain: Any = None) -> dict[str, Any]:
    """Counts of one event per user, of 100 candidates without ties; `domain` of each, or none."""
    above = np.asarray(above, np.int32)
    users = np.arange(len(above)) if users is None else np.asarray(users)
    return {
        "user": users.astype(np.int32),
        "event": np.full(len(above), 9, np.int32),
        "above": above,
        "tied": np.zeros(len(above), np.int32),
        "candidates": np.full(len(above), 100, np.int32),
        "domain": np.full(len(above), -1, np.int16) if domain is None else np.asarray(domain, np.int16),
    }


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write records and their plan: {(dataset, label): {seed: above per user, or facts of a run that failed}}."""

    def make(
        runs: Mapping[tuple[str, str], Mapping[int, Any]],
        *,
        folder: str = "out",
        plan: bool = True,
        facts: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        users: Mapping[str, Any] | None = None,
        domain: Any = None,
        domains: Any = (),
        across: Mapping[str, Any] | None = None,
        **heads: Any,
    ) -> Path:
        place, cells = tmp_path / folder / "runs", []
        place.mkdir(parents=True, exist_ok=True)
        for number, ((dataset, label), seeds) in enumerate(runs.items()):
            for seed, above in seeds.items():
                run_id = f"{number:06x}{seed:06x}"
                cells.append(
                    {"run_id": run_id, "label": label, "dataset": dataset, "seed": seed, "action": "run", "reason": ""}
                )
                if above is None:
                    continue
                extra = dict((facts or {}).get((dataset, label), {}))
                failed = isinstance(above, Mapping)
                whole = make_facts(run_id, label, dataset, seed, **extra, **(above if failed else {}))
                if domains:
                    whole["data"] = {**whole["data"], "card": {**CARD, "domains": domains}}
                tables = {} if failed else {"events.parquet": events(above, (users or {}).get(label), domain)}
                if label in (across or {}):
                    asked = {name: tables["events.parquet"][name] for name in ("user", "event")}
                    tables["across.parquet"] = {**asked, "across": across[label]}
                write_record(place / run_id, whole, tables)
        if plan:
            labels = list(dict.fromkeys(label for _, label in runs))
            head = {
                "schema": 1,
                "suite": "hand",
                "baseline": labels[0],
                "entries": labels,
                "guards": True,
                "datasets": list(dict.fromkeys(dataset for dataset, _ in runs)),
                "seeds": [1, 2, 3],
                "metrics": ["recall@1", "ndcg@10"],
                "cells": cells,
                **heads,
            }
            (place / "plan.json").write_text(canonical_json(head))
        return place.parent

    return make


def edit(folder: Path, run_id: str, **changes: Any) -> None:
    """Change facts of a record on disk."""
    path = folder / "runs" / run_id / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def above() -> Callable[..., Any]:
    """Ranks of a system: the chance that a user's target comes first, and otherwise far down."""

    def above(share: float, seed: int, n_users: int = 50) -> Any:
        return np.where(np.random.default_rng(seed).random(n_users) < share, 0, 50)

    return above
