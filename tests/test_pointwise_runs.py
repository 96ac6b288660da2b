"""Suites with the pointwise backbone from end to end: with times, without them, and on real ones."""

from pathlib import Path
from typing import Any

import pytest

import benchbase
from benchbase.runner import read_all
from benchbase.runner.records import Record
from benchbase.testing.files import real_folder

pytestmark = pytest.mark.plugins

COSINE = {"score": "cosine", "temperature": 0.05}
NEXT, ALONE = "hstu[width=16,layers=1]", "hstu[width=16,layers=1,time_ref=none]"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def latest_small() -> Path:
    """The folder of MovieLens latest-small: in BENCHBASE_TEST_DATA, or in shared/data beside the repository."""
    return real_folder("ml-latest-small", Path(__file__).parents[1])


def run(folder: Path, dataset: Any, entries: list[dict[str, Any]], **train: Any) -> dict[str, Any]:
    """The facts of each entry's one run, by label."""
    suite = {
        "suite": "pointwise", "datasets": [dataset], "seeds": [1], "guards": False,
        "protocol": {"split": "leave_one_out", "window": 20, "filter_seen": "none", "metrics": ["ndcg@10", "recall@1"]},
        "train": {"epochs": 2, "patience": 0, "batch": 64, "lr": 0.01, **train},
        "base": {"objectives": ["softmax"]}, "entries": entries,
    }
    benchbase.run(suite, folder)
    return {record.facts["configuration"]["label"]: record.facts for _, record in read_all(folder)}


def test_a_law_is_learned_with_and_without_times(tmp_path: Path) -> None:
    found = run(tmp_path, "markov[n_users=300,n_items=30,events=12]", [
        {"label": "next", "backbone": NEXT, "scorer": COSINE}, {"label": "alone", "backbone": ALONE, "scorer": COSINE},
        {"label": "sums", "backbone": "hstu[width=16,layers=1,concat=true,time_ref=self,normaliser=length]"},
    ], epochs=8)
    for label in ("next", "alone", "sums"):
        assert found[label]["status"] == "ok"
        assert found[label]["route"] == ["blockwise"]
        assert found[label]["metrics"]["ndcg@10"] > 0.35, label  # by chance 0.15


def test_without_timestamps_what_needs_them_is_a_skipped_cell_with_its_reason(tmp_path: Path) -> None:
    lines = [f"{user} {1 + (user + event) % 9}" for user in range(1, 30) for event in range(6)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    data = {"name": "files", "format": "sequence", "path": str(tmp_path / "pairs.txt")}
    found = run(tmp_path / "out", data, [{"label": "next", "backbone": NEXT}, {"label": "alone", "backbone": ALONE}])
    assert (found["next"]["status"], found["alone"]["status"]) == ("skipped", "ok")
    assert found["next"]["reason"] == "hstu: the data set has no timestamps. Expected a data set that has."


def test_real_times(tmp_path: Path, latest_small: Path) -> None:
    data = {"name": "ml_latest_small", "path": str(latest_small), "min_item_events": 20}
    found = run(tmp_path, data, [{"label": "next", "backbone": NEXT, "scorer": COSINE}], epochs=4)
    assert found["next"]["status"] == "ok"
    (record,) = (record for _, record in read_all(tmp_path))
    assert isinstance(record, Record)
    curve = record.table("curve.parquet")
    losses = [value for name, value in zip(curve["name"], curve["value"], strict=True) if name.startswith("train.")]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.98 * losses[0]
