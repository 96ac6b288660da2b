"""Runs of the action task: what their records hold, what is published of them, and leaderboards made of either."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.errors import RecordError
from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.compare import compare_entries
from benchbase.leaderboard.publish import publish_folder, write_pages
from benchbase.metrics import auc, normalised_entropy
from benchbase.registry import Registry
from benchbase.runner import run
from benchbase.runner.check import check_tables
from benchbase.runner.records import Record, read_all, read_record, write_record
from benchbase.testing.tiny import tiny_bce, tiny_causal
from benchbase.testing.world import tiny_data

SPLIT = {"name": "temporal_ratio", "valid": 0.3, "test": 0.3}


@pytest.fixture
def registry() -> Registry:
    return Registry.of([tiny_data, tiny_causal, tiny_bce])


@pytest.fixture
def suite() -> dict[str, Any]:
    """One backbone with steps of two sizes, one of which unlearns all; two seeds."""
    return {
        "suite": "tiny",
        "datasets": ["tiny_data"],
        "protocol": {"tasks": ["action"], "split": SPLIT, "targets": "each", "window": 8,
                     "metrics": ["ne", "auc.like", "log_loss.share", "user_auc"]},
        "train": {"epochs": 2, "patience": 0, "batch": 8},
        "seeds": [1, 2],
        "base": {"backbone": "tiny_causal", "objectives": ["tiny_bce"]},
        "entries": [{"label": "plain"}, {"label": "pairs", "layout": {"kind": "interleaved"}},
                    {"label": "experts", "head": {"kind": "mmoe", "hidden": 8, "experts": 2}}],
    }


@pytest.fixture
def records(suite: dict[str, Any], registry: Registry, out: Path) -> list[Record]:
    assert run(suite, out, registry=registry).statuses == {"ok": 6}
    found = [record for _, record in read_all(out)]
    assert all(isinstance(record, Record) for record in found)
    return found  # type: ignore[return-value]


def test_a_record_holds_every_prediction_and_its_metrics_follow_from_them(records: list[Record]) -> None:
    for record in records:
        rows, metrics = record.table("actions.parquet"), record.facts["metrics"]
        assert set(record.facts["files"]) == {"actions.parquet", "users.parquet", "curve.parquet"}
        assert len(rows["user"]) == 2 * record.facts["evaluation"]["evaluated"]
        by_action = {name: (rows["label"][rows["action"] == place], rows["probability"][rows["action"] == place])
                     for place, name in enumerate(("like", "share"))}
        for name, columns in by_action.items():
            assert metrics[f"ne.{name}"] == pytest.approx(normalised_entropy(*columns), abs=1e-12)
        assert metrics["auc.like"] == pytest.approx(auc(*by_action["like"]), abs=1e-12)
        assert metrics["ne"] == pytest.approx((metrics["ne.like"] + metrics["ne.share"]) / 2)
        assert metrics["valid.ne"] is not None and "auc.share" not in metrics
        rates = record.facts["evaluation"]["base_rates"]
        assert rates["share"] == pytest.approx(by_action["share"][0].mean())


def test_the_head_is_part_of_the_configuration(records: list[Record]) -> None:
    heads = {record.facts["configuration"]["label"]: record.facts["configuration"]["head"] for record in records}
    assert heads["plain"] == {"kind": "mlp", "hidden": 64, "experts": 4}
    assert heads["experts"] == {"kind": "mmoe", "hidden": 8, "experts": 2}


def test_what_is_published_shows_no_action_and_gives_the_same_leaderboard(
    records: list[Record], out: Path, tmp_path: Path
) -> None:
    publish_folder(out, tmp_path / "board")
    shown = [record for _, record in read_all(tmp_path / "board")]
    for record in shown:
        assert isinstance(record, Record) and set(record.facts["files"]) == {"users.parquet", "curve.parquet"}
    whole, published = make_leaderboard(out), make_leaderboard(tmp_path / "board")
    assert whole.tables[0].rows == published.tables[0].rows
    private, public = (records[0].table("users.parquet"), shown[0].table("users.parquet"))  # type: ignore[union-attr]
    assert sorted(private["value"].tolist()) == sorted(public["value"].tolist())
    assert private["value"].tolist() != public["value"].tolist(), "who is who is not shown"


def test_less_entropy_is_better(records: list[Record], out: Path) -> None:
    table = make_leaderboard(out).tables[0]
    points = [row.metrics["ne"].point for row in table.rows]
    assert points == sorted(points) and table.rows[0].rank is not None and table.rows[0].rank.point == 1
    for row in table.rows:
        assert ("ne" in row.best) == (row is table.rows[0] and not row.flags)
        if row.versus:
            worse = row.versus.difference > 0
            assert row.versus.losses > row.versus.wins if worse else row.versus.wins > row.versus.losses
    first = compare_entries(out, "plain", "pairs").pairs[0].users
    second = compare_entries(out, "pairs", "plain").pairs[0].users
    assert (first.wins, first.losses) == (second.losses, second.wins)


def test_a_page_says_what_was_asked_and_how_to_read_it(records: list[Record], out: Path, tmp_path: Path) -> None:
    publish_folder(out, tmp_path / "board")
    write_pages(tmp_path / "board")
    page = (tmp_path / "board" / "README.md").read_text(encoding="utf-8")
    for text in ("actions predicted from what came before each event", "the lowest of ne, log_loss.share",
                 "The base rate has ne 1", "base rates: like "):
        assert text in page
    assert "ranking" not in page.partition("## How to read it")[0]
    board = json.loads((tmp_path / "board" / "leaderboard.json").read_text(encoding="utf-8"))
    assert board["metrics"] == ["ne", "auc.like", "log_loss.share", "user_auc"]


def lacks_one(table: dict[str, Any]) -> dict[str, Any]:
    return {name: column[1:] for name, column in table.items()}


def with_(**columns: Any) -> Any:
    return lambda table: {**table, **{name: change(table[name]) for name, change in columns.items()}}


def first_to(value: Any) -> Any:
    return lambda column: np.concatenate([np.array([value], column.dtype), column[1:]])


@pytest.mark.parametrize(("change", "message"), [
    (lambda table: {name: column[:0] for name, column in table.items()}, "it has no user"),
    (with_(user=first_to(24)), "it has users outside of 0 to 23. Expected rows of the prepared data"),
    (with_(value=first_to(float("nan"))), "it has a value that is not finite"),
    (with_(metric=first_to("recall@5")), "its metrics are not those of the protocol. Expected ne, auc.like"),
    (lacks_one, "its metrics are of different users. Expected the same ones"),
    (with_(value=lambda column: column * 0.5), "its values do not give the metrics of the record"),
])
def test_values_that_no_run_gives_are_found_out(
    records: list[Record], tmp_path: Path, change: Any, message: str
) -> None:
    facts = {name: value for name, value in records[0].facts.items() if name != "files"}
    forged = write_record(tmp_path / records[0].run_id, facts, {
        "users.parquet": change(records[0].table("users.parquet"))})
    with pytest.raises(RecordError, match=f"users.parquet: {message}"):
        check_tables(forged)


def test_a_record_without_values_is_no_result(records: list[Record], tmp_path: Path) -> None:
    facts = {name: value for name, value in records[0].facts.items() if name != "files"}
    write_record(tmp_path / records[0].run_id, facts, {})
    with pytest.raises(RecordError, match=r"its files are \[\]. Expected users.parquet among them"):
        read_record(tmp_path / records[0].run_id)


def test_a_metric_that_is_not_defined_fails_before_training(
    suite: dict[str, Any], registry: Registry, out: Path
) -> None:
    """Of the users' first test events alone no user has two."""
    suite["protocol"]["targets"] = "next"
    assert run(suite, out, registry=registry).statuses == {"failed": 6}
    record = next(record for _, record in read_all(out))
    assert isinstance(record, Record)
    assert record.facts["reason"].startswith("evaluation: user_auc is not defined on the test part. Expected events")
    assert "train_seconds" not in record.facts["cost"]


def test_a_head_without_the_action_task_is_a_mistake_of_the_suite(suite: dict[str, Any], registry: Registry) -> None:
    from benchbase.config import load_suite
    from benchbase.errors import ConfigError

    suite["protocol"] = {"split": "leave_one_out"}
    with pytest.raises(ConfigError, match=r"entries\[2\].head: a head predicts actions. Expected it with tasks"):
        load_suite(suite, registry=registry)
