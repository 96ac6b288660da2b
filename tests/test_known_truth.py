"""Whole suites on generated worlds whose truth is known: nothing is found in noise, and a law is found."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchbase
from benchbase.metrics import parse, values
from benchbase.runner import read_all
from benchbase.runner.records import Record
from benchbase.stats import exact_interval

pytestmark = pytest.mark.plugins

LEVEL = 0.999


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def run(folder: Path, dataset: str, metrics: list[str], **keys: Any) -> list[Record]:
    suite = {
        "suite": "truth", "datasets": [dataset],
        "protocol": {"split": "leave_one_out", "window": 20, "filter_seen": "none", "metrics": metrics},
        "base": {"backbone": "sasrec[width=32]", "objectives": ["softmax"]},
        **keys,
    }
    result = benchbase.run(suite, folder)
    assert result.good, result
    records = [record for _, record in read_all(folder)]
    assert all(isinstance(record, Record) for record in records)
    return records  # type: ignore[return-value]


def test_in_noise_every_model_stays_inside_its_exact_chance_interval(tmp_path: Path) -> None:
    names = ["ndcg@10", "recall@1", "recall@10"]
    records = run(
        tmp_path, "noise[n_users=400,n_items=50,events=12]", names, seeds=[1, 2],
        train={"epochs": 12, "patience": 3, "batch": 64, "lr": 0.003},
        entries=[{"label": "softmax"}, {"label": "bce", "objectives": ["bce"]},
                 {"label": "masked", "backbone": "bert4rec[width=32]"}],
    )
    assert len(records) == 8  # three models with two seeds, two guards
    tests = len(records) * len(names)
    for record in records:
        events = record.table("events.parquet")
        counts = [np.asarray(events[name]) for name in ("above", "tied", "candidates")]
        for name in names:
            total = values(parse(name), *counts).sum()
            chance = exact_interval(name, len(counts[0]), counts[2], LEVEL, tests)
            assert chance.low <= total <= chance.high, (record.facts["configuration"], name, total, chance)


def test_a_model_that_knows_the_answer_leaves_the_chance_interval() -> None:
    chance = exact_interval("recall@1", 400, np.full(400, 50), LEVEL, 24)
    assert chance.high < 400 * 0.1  # so a model right one time in ten would be seen


def test_a_known_law_is_learned_to_within_five_per_cent_of_the_best(tmp_path: Path) -> None:
    from benchbase_synthetic.config import MarkovConfig
    from benchbase_synthetic.truth import best_recall_at_1

    config = MarkovConfig(n_users=1500, events=30)
    records = run(
        tmp_path, "markov[n_users=1500,events=30]", ["ndcg@10", "recall@1"], seeds=[1], guards=False,
        train={"epochs": 60, "patience": 5, "batch": 64, "lr": 0.003},
    )
    best = best_recall_at_1(config)
    found = records[0].facts["metrics"]["recall@1"]
    assert found >= 0.95 * best
    assert found <= best + 4 * np.sqrt(best * (1 - best) / 1500)  # nobody beats the law by more than luck


def test_what_reads_the_order_of_events_learns_the_law_and_what_counts_items_does_not(tmp_path: Path) -> None:
    from benchbase_synthetic.config import MarkovConfig
    from benchbase_synthetic.truth import best_recall_at_1

    pytest.importorskip("implicit")  # an optional library, in the environment that runs all tests
    counting = ("recent_popularity", "ease", "ials")
    records = run(
        tmp_path, "markov[n_users=600,n_items=40,events=20]", ["ndcg@10", "recall@1"], seeds=[1],
        train={"epochs": 40, "patience": 5, "batch": 64, "lr": 0.01},
        base={"backbone": "gru4rec[width=32]", "objectives": ["softmax"]},
        entries=[{"label": "recurrent"}, *({"label": name, "recommender": name} for name in ("markov", *counting))],
    )
    reached = {record.facts["configuration"]["label"]: record.facts["metrics"]["recall@1"] for record in records}
    assert set(reached) == {"recurrent", "markov", *counting, "popularity", "itemknn"}
    best = best_recall_at_1(MarkovConfig(n_users=600, n_items=40, events=20))
    luck = 4 * np.sqrt(best * (1 - best) / 600)
    for label in ("recurrent", "markov"):
        assert 0.95 * best - luck <= reached.pop(label) <= best + luck, label
    assert max(reached.values()) < best / 2, reached


def test_what_lacks_its_library_is_a_skipped_run_with_the_reason(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit", None)
    records = run(tmp_path, "markov[n_users=60,n_items=20,events=9]", ["ndcg@10"], seeds=[1], guards=False,
                  entries=[{"label": name, "recommender": name} for name in ("markov", "ials")])
    found = {record.facts["configuration"]["label"]: record.facts for record in records}
    assert found["markov"]["status"] == "ok"
    assert found["ials"]["status"] == "skipped"
    assert found["ials"]["reason"].startswith("ials: the library implicit is not installed.")
