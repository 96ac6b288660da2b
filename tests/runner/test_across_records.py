"""Shares of attention in records: what no run gives is found out, and what is published pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.errors import RecordError
from benchbase.registry import Registry
from benchbase.runner import run
from benchbase.runner.check import check_tables
from benchbase.runner.publish import publish
from benchbase.runner.records import Record, read_all, write_record
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_data

SUITE: dict[str, Any] = {
    "suite": "tiny", "datasets": ["tiny_data"],
    "protocol": {"split": "leave_one_out", "window": 8, "metrics": ["ndcg@5"]},
    "train": {"epochs": 1, "patience": 0, "batch": 8}, "seeds": [1],
    "base": {"backbone": "tiny_causal", "objectives": ["tiny_softmax"]},
    "entries": [{"label": "together"}, {"label": "apart", "sequence": {"events": "own_domain"}}],
}


@pytest.fixture
def records(out: Path) -> dict[str, Record]:
    registry = Registry.of([tiny_data, tiny_causal, tiny_softmax])
    assert run(SUITE, out, registry=registry).statuses == {"ok": 2}
    return {each.facts["configuration"]["label"]: each for _, each in read_all(out) if isinstance(each, Record)}


def test_a_run_that_reads_all_domains_tells_of_every_ranked_event(records: dict[str, Record]) -> None:
    events, across = (records["together"].table(name) for name in ("events.parquet", "across.parquet"))
    for name in ("user", "event"):
        assert (events[name] == across[name]).all()
    assert 0 < across["across"].mean() < 1
    assert "across.parquet" not in records["apart"].facts["files"]
    assert "read_whole" in records["apart"].facts["evaluation"]


def test_published_shares_stand_beside_the_published_counts(records: dict[str, Record], tmp_path: Path) -> None:
    (shown,) = publish([records["together"]], tmp_path / "shown")
    check_tables(shown)
    own, public = (
        sorted(zip(each.table("events.parquet")["above"], each.table("across.parquet")["across"], strict=True))
        for each in (records["together"], shown)
    )
    assert own == public
    users = [each.table("across.parquet")["user"] for each in (records["together"], shown)]
    assert (users[0] != users[1]).any()


@pytest.mark.parametrize(("name", "change", "message"), [
    ("across", lambda column: np.where(np.arange(len(column)) == 0, np.float32(1.5), column),
     "it has a share of attention that is none. Expected 0 to 1"),
    ("across", lambda column: np.where(np.arange(len(column)) == 0, np.float32("nan"), column),
     "it has a share of attention that is none. Expected 0 to 1"),
    ("event", lambda column: column + 1, "its events are not those of events.parquet. Expected the same ones"),
])
def test_shares_that_no_run_gives_are_found_out(records: dict[str, Record], tmp_path: Path, name: str, change: Any,
                                                message: str) -> None:
    whole = records["together"]
    facts = {name: value for name, value in whole.facts.items() if name != "files"}
    across = whole.table("across.parquet")
    forged = write_record(tmp_path / whole.run_id, facts, {
        "events.parquet": whole.table("events.parquet"), "across.parquet": {**across, name: change(across[name])}})
    with pytest.raises(RecordError, match=f"across.parquet: {message}"):
        check_tables(forged)
