"""Domains end to end, through the command line: AutoCDSR, single-domain training, and pages by domain."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchbase.cli import main
from benchbase.runner import read_all

pytestmark = pytest.mark.plugins

WATCH = ["softmax", "cross_domain_attention"]
SUITE: dict[str, Any] = {
    "suite": "two-domains",
    "guards": False,
    "datasets": ["domains[n_users=120,events=14,n_items=40,stay=0.6]"],
    "protocol": {"split": "leave_one_out", "window": 14, "filter_seen": "none", "candidates": "domain",
                 "metrics": ["ndcg@10"]},
    "train": {"epochs": 3, "patience": 0, "batch": 32, "lr": 0.003, "device": "cpu", "buckets": 1},
    "baseline": "together",
    "base": {"backbone": "sasrec[width=8,layers=1,dropout=0.0]", "objectives": ["softmax"]},
    "entries": [
        {"label": "together"},
        {"label": "apart", "sequence": {"events": "own_domain"}},
        {"label": "masked, apart", "backbone": "bert4rec[width=8,layers=1]", "sequence": {"events": "own_domain"}},
        {"label": "AutoCDSR", "objectives": WATCH, "combiner": "pareto", "ablate": False},
        {"label": "alpha 0", "objectives": WATCH, "combiner": "fixed_alpha[alpha=0]", "ablate": False},
        {"label": "mgda", "objectives": WATCH, "combiner": "mgda", "ablate": False},
        {"label": "AutoCDSR+", "backbone": "bert4rec[width=8,layers=2]", "modifiers": ["ib_tokens[tokens=2]"],
         "objectives": ["softmax", "ib_attention"], "ablate": False,
         "combiner": {"name": "pareto", "balance": ["softmax.nll", "ib_attention.mass"]}},
        {"label": "misled", "objectives": WATCH, "combiner": "pareto", "ablate": False,
         "sequence": {"mislabelled": 0.3}},
        {"label": "rival", "backbone": "c2dsr[width=8,layers=1]", "objectives": [
            {"name": "domain_softmax", "weight": 0.7}, {"name": "cross_domain_infomax", "weight": 0.3}]},
        {"label": "as written", "objectives": WATCH, "combiner": "pareto_literal", "ablate": False},
    ],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("domains")
    (place / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    result = CliRunner().invoke(main, ["run", str(place / "suite.yaml"), "--out", str(place / "out")])
    assert result.exit_code in (0, 1), result.output
    return place / "out", result.output


def records(place: Path) -> dict[str, Any]:
    return {record.facts["configuration"]["label"]: record for _, record in read_all(place / "runs")}


def curve(record: Any, name: str) -> list[float]:
    table = record.table("curve.parquet")
    return [value for label, value in zip(table["name"], table["value"], strict=True) if label == name]


def test_all_run_but_the_equation_as_it_is_written(done: tuple[Path, str]) -> None:
    found = records(done[0])
    assert {label: record.status for label, record in found.items()} == {
        **{entry["label"]: "ok" for entry in SUITE["entries"]}, "as written": "failed"}
    assert "pareto_literal: the update is zero" in found["as written"].facts["reason"]


def test_alpha_0_learns_what_the_plain_backbone_learns(done: tuple[Path, str]) -> None:
    found = records(done[0])
    plain, watched = (curve(found[label], "train.softmax.nll") for label in ("together", "alpha 0"))
    assert watched == pytest.approx(plain, rel=1e-5)
    assert found["alpha 0"].facts["metrics"]["ndcg@10"] == pytest.approx(
        found["together"].facts["metrics"]["ndcg@10"], abs=0.01)


def test_attention_across_domains_falls_and_its_weights_are_logged(done: tuple[Path, str]) -> None:
    found = records(done[0])
    mass = curve(found["AutoCDSR"], "train.cross_domain_attention.mass")
    free = curve(found["alpha 0"], "train.cross_domain_attention.mass")
    assert mass[-1] < mass[0] and mass[-1] < free[-1]
    alpha, cosine = (curve(found["AutoCDSR"], f"train.combiner.{name}")
                     for name in ("cross_domain_attention.mass", "cosine"))
    assert len(alpha) == len(cosine) == 3 and all(-1 < each <= 1 for each in alpha)
    assert found["AutoCDSR"].facts["metrics"]["truth.across"] < found["alpha 0"].facts["metrics"]["truth.across"]


def test_each_domain_is_a_line_of_the_page(done: tuple[Path, str]) -> None:
    assert "By domain of the target, ndcg@10 (less together; p corrected over 16 tests)" in done[1]
    result = CliRunner().invoke(main, ["report", str(done[0]), "--format", "json"])
    domains = json.loads(result.output)["tables"][0]["domains"]
    assert domains["names"] == ["domain 1", "domain 2"] and sum(domains["users"]) == 120
    assert set(domains["entries"]) == {entry["label"] for entry in SUITE["entries"]} - {"as written"}


def test_the_same_events_are_asked_for_apart_and_together(done: tuple[Path, str]) -> None:
    found = records(done[0])
    tables = [found[label].table("events.parquet") for label in ("together", "apart", "masked, apart")]
    asked = [sorted(zip(table["user"].tolist(), table["event"].tolist(), strict=True)) for table in tables]
    assert asked[0] == asked[1] == asked[2]


def test_attention_across_domains_is_told_by_what_the_targets_need(done: tuple[Path, str]) -> None:
    assert "Attention across domains before the target (less together); found: among the first 10, without" in done[1]
    result = CliRunner().invoke(main, ["report", str(done[0]), "--format", "json"])
    across = json.loads(result.output)["tables"][0]["across"]
    assert across["alone"] == "apart" and len(across["classes"]) == 3
    shares = across["classes"][0]["shares"]
    assert set(shares) == {entry["label"] for entry in SUITE["entries"]} - {"as written", "apart", "masked, apart"}
    assert shares["AutoCDSR"] < shares["together"] and shares["AutoCDSR+"] == 0
    found = records(done[0])
    assert found["together"].facts["metrics"]["truth.across"] == pytest.approx(shares["together"], rel=0.1)
    assert found["apart"].facts["evaluation"]["read_whole"] >= 0
    assert "read_whole" not in found["together"].facts["evaluation"]


def test_what_is_told_wrongly_moves_the_model_and_no_question(done: tuple[Path, str]) -> None:
    found = records(done[0])
    plain, misled = (found[label].table("events.parquet") for label in ("AutoCDSR", "misled"))
    for name in ("user", "event", "candidates", "domain"):
        assert (plain[name] == misled[name]).all()
    assert (plain["above"] != misled["above"]).any()


def test_a_causal_backbone_with_tokens_that_read_learns_from_the_last_event_alone(tmp_path: Path) -> None:
    entry = {"label": "AutoCDSR+", "modifiers": ["ib_tokens"]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, "entries": [SUITE["entries"][0], entry]}))
    result = CliRunner().invoke(main, ["plan", str(tmp_path / "suite.yaml")])
    told = " ".join(result.output.split())
    assert "its prefix reads events" in told and "train.supervise: last" in told


def test_without_domains_there_is_nothing_to_take_apart(tmp_path: Path) -> None:
    suite = {**SUITE, "datasets": ["markov[n_users=30,events=8,n_items=20]"],
             "protocol": {**SUITE["protocol"], "candidates": "catalogue"}, "entries": SUITE["entries"][:2]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    result = CliRunner().invoke(main, ["plan", str(tmp_path / "suite.yaml")])
    assert "sequence.events: the data set has no domains" in " ".join(result.output.split())
    misled = {**SUITE["entries"][0], "sequence": {"mislabelled": 0.1}, "label": "misled"}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**suite, "entries": [SUITE["entries"][0], misled]}))
    result = CliRunner().invoke(main, ["plan", str(tmp_path / "suite.yaml")])
    assert "sequence.mislabelled: the data set has no two domains." in " ".join(
        result.output.split())
