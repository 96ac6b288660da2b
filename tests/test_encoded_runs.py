"""Suites with encoders, end to end: features tell of items that nobody has met, and pages name what earned it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import benchbase
from benchbase.cli import main
from benchbase.runner import read_all
from benchbase.runner.records import Record

pytestmark = pytest.mark.plugins

KINDS, ITEMS, USERS, LENGTH = 4, 40, 160, 8
"""Kinds, items of each, users, and what each user takes of one kind; the last tenth of a kind's items come last."""

MULTIMODAL = {"name": "multimodal", "categories": ["kind"], "beta": 0.0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))


def write_kinds(folder: Path) -> dict[str, Any]:
    """Users who stay with one kind, and whose last item is one that no one has taken before the end."""
    draw, log = np.random.default_rng(0), ["user,item,timestamp"]
    fresh = ITEMS // 10
    for user in range(USERS):
        kind = user % KINDS
        own = [*draw.integers(ITEMS - fresh, size=LENGTH - 1), ITEMS - 1 - draw.integers(fresh)]
        log += [f"{user},k{kind}i{item},{100 * time + user % 100}" for time, item in enumerate(own)]
    items = ["item,kind", *(f"k{kind}i{item},kind{kind}" for kind in range(KINDS) for item in range(ITEMS))]
    (folder / "log.csv").write_text("\n".join(log) + "\n")
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    return {"name": "files", "format": "csv", "path": str(folder / "log.csv"),
            "items": {"path": str(folder / "items.csv"), "categories": ["kind"]}}


def suite_of(folder: Path, **keys: Any) -> dict[str, Any]:
    last = 100 * (LENGTH - 1)
    return {
        "suite": "kinds", "datasets": [write_kinds(folder)], "seeds": [1], "guards": False,
        "protocol": {"split": {"name": "global_time", "valid_from": last - 100, "test_from": last}, "window": 6,
                     "filter_seen": "none", "metrics": ["recall@50", "ndcg@10"]},
        "train": {"epochs": 12, "patience": 0, "batch": 32, "lr": 0.003, "device": "cpu"},
        "base": {"backbone": "sasrec[width=16,layers=1,dropout=0]", "objectives": ["softmax"]}, **keys,
    }


def found(out: Path) -> dict[str, Record]:
    return {record.facts["configuration"]["label"]: record for _, record in read_all(out) if isinstance(record, Record)}


def test_features_rank_items_that_nobody_has_met(tmp_path: Path) -> None:
    """Fifty of the 160 items hold the user's kind; of a fresh item its id tells nothing."""
    entries = [{"label": "ids"}, {"label": "kinds", "encoders": [MULTIMODAL]}]
    benchbase.run(suite_of(tmp_path, entries=entries), tmp_path / "out")
    records = found(tmp_path / "out")
    ids, kinds = (records[label].facts["metrics"]["recall@50"] for label in ("ids", "kinds"))
    assert records["ids"].facts["configuration"]["encoders"] == []
    assert records["kinds"].facts["configuration"]["encoders"][0]["categories"] == ["kind"]
    assert ids < 0.35 and kinds > 0.9


def test_pages_tell_what_an_encoder_earned(tmp_path: Path) -> None:
    """A grid of encoders and objectives attributes to both; runs are selected, and ablated, by encoder."""
    suite = suite_of(tmp_path, grid={"encoders": [[], [MULTIMODAL]], "objectives": [["softmax"], ["bce"]]})
    suite["train"] |= {"epochs": 2}
    benchbase.run(suite, tmp_path / "out")
    assert set(found(tmp_path / "out")) == {"softmax", "bce", "multimodal + softmax", "multimodal + bce"}
    page = CliRunner().invoke(main, ["report", str(tmp_path / "out"), "--format", "json"])
    assert page.exit_code == 0
    effects = json.loads(page.output)["tables"][0]["attribution"]["effects"]
    gains = {(each["factor"], each["level"]): each["difference"] for each in effects}
    assert gains["encoders", "multimodal"] > 0.3
    ablated = suite_of(tmp_path)
    ablated["base"] |= {"label": "all", "encoders": [MULTIMODAL], "ablate": True}
    ablated["train"] |= {"epochs": 1}
    benchbase.run(ablated, tmp_path / "ablated")
    assert set(found(tmp_path / "ablated")) == {"all", "all - multimodal"}
    assert found(tmp_path / "ablated")["all - multimodal"].facts["configuration"]["encoders"] == []


def test_an_encoder_that_the_data_cannot_feed_is_a_skipped_cell(tmp_path: Path) -> None:
    entries = [{"label": "ids"}, {"label": "words", "encoders": [{"name": "multimodal", "text": ["title"]}]},
               {"label": "nothing", "encoders": ["multimodal"]}]
    suite = suite_of(tmp_path, entries=entries)
    suite["train"] |= {"epochs": 1}
    benchbase.run(suite, tmp_path / "out")
    reasons = {label: record.facts["reason"] for label, record in found(tmp_path / "out").items()
               if record.facts["status"] == "skipped"}
    assert reasons == {
        "words": "multimodal: the data set has no item feature title. Expected a data set that has; at hand: none.",
        "nothing": "multimodal: it names nothing that is known of items. Expected some of text, categories, numbers, "
                   "times, place, vectors. The data set has categories: kind.",
    }


@pytest.mark.parametrize("split", ["global_time", "user_holdout", "prequential"])
def test_entries_that_are_near_are_read_under_every_kind_of_split(tmp_path: Path, split: str) -> None:
    """What was learned beside them ranks otherwise, and twice the same."""
    pytest.importorskip("sklearn")
    retrieval = {"name": "retrieval", "text": ["title"], "decay": 0.01}
    suite = suite_of(tmp_path, entries=[{"label": "ids"}, {"label": "near", "modifiers": [retrieval]}])
    rows = ["item,title", *(f"k{kind}i{item},kind{kind} {item}" for kind in range(KINDS) for item in range(ITEMS))]
    (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
    suite["datasets"][0]["items"] = {"path": str(tmp_path / "items.csv"), "columns": ["title"]}
    suite["train"] |= {"epochs": 2}
    if split != "global_time":
        suite["protocol"] |= {"split": {"name": split, "periods": 3} if split == "prequential" else split}
    for out in ("out", "again"):
        benchbase.run(suite, tmp_path / out)
    one, other = (found(tmp_path / out) for out in ("out", "again"))
    metrics = {label: record.facts["metrics"] for label, record in one.items()}
    assert metrics.keys() == {"ids", "near"} and metrics["near"] != metrics["ids"]
    assert metrics["near"] == other["near"].facts["metrics"]
