"""Suites with explainers, end to end: records, pages and what is published of them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from click.testing import CliRunner, Result

from benchbase.cli import main
from benchbase.config import canonical_json
from benchbase.runner import read_all
from benchbase.runner.records import Record

pytestmark = pytest.mark.plugins

N_USERS = 30


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))


def command(*given: Any) -> Result:
    return CliRunner().invoke(main, [str(each) for each in given])


def run(folder: Path, dataset: str, entries: list[dict[str, Any]], **keys: Any) -> dict[str, Record]:
    suite = {
        "suite": "explained", "datasets": [dataset], "seeds": [1, 2], "guards": False,
        "protocol": {"split": "leave_one_out", "window": 8, "filter_seen": "none",
                     "metrics": ["ndcg@10"]},
        "train": {"epochs": 2, "batch": 16, "device": "cpu"},
        "base": {"backbone": "sasrec[width=16,layers=1]", "objectives": ["softmax"]}, "entries": entries, **keys,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    result = command("run", folder / "suite.yaml", "--out", folder / "runs")
    assert result.exit_code == 0, result.output
    return {f"{record.facts['configuration']['label']} {record.facts['seed']}": record
            for _, record in read_all(folder / "runs") if isinstance(record, Record)}


def write_log(folder: Path) -> str:
    log = [f"u{user} " + " ".join(f"i{(user + 2 * step) % 12}" for step in range(6)) for user in range(N_USERS)]
    (folder / "log.txt").write_text("\n".join(log) + "\n")
    return f"files[format=sequence,path={folder / 'log.txt'}]"


ENTRIES = [{"label": "plain"}, {"label": "explained", "explainers": ["template"]}]


def test_records_and_pages_tell_of_explanations_and_nothing_else_moves(tmp_path: Path) -> None:
    records = run(tmp_path, "exposure[n_users=150]", ENTRIES)
    for seed in (1, 2):
        plain, explained = records[f"plain {seed}"], records[f"explained {seed}"]
        assert plain.run_id != explained.run_id and "explainers" not in plain.facts["configuration"]
        for name in ("events.parquet", "topk.parquet", "curve.parquet"):
            assert plain.facts["files"][name] == explained.facts["files"][name]
        more = {name for name in explained.facts["metrics"] if name.startswith("explanations.template.")}
        assert {name.rpartition(".")[2] for name in more} == {"comprehensiveness", "sufficiency", "events", "named"}
        assert set(explained.facts["metrics"]) - more == set(plain.facts["metrics"])
        assert explained.facts["metrics"]["explanations.template.named"] == 1
        table = explained.table("explanations.parquet")
        assert len(table["text"]) == 100 and len(set(table["user"])) == 100
        first = (explained.folder / "explanations.parquet").read_bytes()
    (tmp_path / "again").mkdir()
    again = run(tmp_path / "again", "exposure[n_users=150]", ENTRIES[1:])
    assert (again["explained 2"].folder / "explanations.parquet").read_bytes() == first

    page = command("report", tmp_path / "runs").output
    assert "Explanations of up to 100 users" in page and "is recommended because you chose" in page
    published = command("report", tmp_path / "runs", "--publish", tmp_path / "board")
    assert published.exit_code == 0, published.output
    text = (tmp_path / "board" / "README.md").read_text()
    assert "| explained | template | " in text and "Comprehensiveness: how far the mean reciprocal rank" in text
    files = sorted(path.parent.name for path in (tmp_path / "board" / "records").glob("*/explanations.parquet"))
    assert files == sorted(records[f"explained {seed}"].run_id for seed in (1, 2))
    board = json.loads((tmp_path / "board" / "leaderboard.json").read_text())
    told = board["tables"][0]["explanations"]
    assert len(told["entries"]) == 1 and len(told["examples"]) == 3
    assert "explanations.template.sufficiency" in (tmp_path / "board" / "leaderboard.csv").read_text()
    assert command("report", tmp_path / "board", "--write").exit_code == 0
    assert (tmp_path / "board" / "README.md").read_text() == text


def test_explanations_of_data_that_may_not_be_handed_on_stay_at_home(tmp_path: Path) -> None:
    records = run(tmp_path, write_log(tmp_path), ENTRIES[1:])
    assert len(records["explained 1"].table("explanations.parquet")["text"]) == N_USERS
    assert "is recommended because" in command("report", tmp_path / "runs").output
    assert command("report", tmp_path / "runs", "--publish", tmp_path / "board").exit_code == 0
    assert not list((tmp_path / "board").rglob("explanations.parquet"))
    text = (tmp_path / "board" / "README.md").read_text()
    assert "is recommended because" not in text and "| explained | template | " in text


def test_sentences_of_a_stranger_are_shown_as_they_are_or_not_at_all(tmp_path: Path) -> None:
    record = run(tmp_path, write_log(tmp_path), ENTRIES[1:])["explained 1"]
    path = record.folder / "explanations.parquet"
    whole = parquet.read_table(path)
    for place, (name, values, what) in enumerate((
        ("without", [0.0] * N_USERS, "it has a reciprocal rank that is none"),
        ("alone", [float("nan")] * N_USERS, "it has a reciprocal rank that is none"),
        ("item", [0] * N_USERS, "it has items outside of 1 to 12"),
        ("events", [[5]] * N_USERS, "it has evidence that was not before the event"),
        ("events", [[]] * N_USERS, "it has evidence that was not before the event"),
        ("explainer", ["other"] * N_USERS, "its explainers are not those of the configuration"),
        ("user", [N_USERS] * N_USERS, "it has users outside"),
        ("without", [0.25] * N_USERS, "its ranks do not give the metrics of the record"),
        ("text", ["one\ntwo"] * N_USERS, "it has a text that is no line"),
        ("event", [0] * N_USERS, "it has evidence that was not before the event"),
    )):
        copy = tmp_path / f"copy-{place}"
        shutil.copytree(tmp_path / "runs", copy)
        spoil(copy / "runs" / record.run_id, changed(whole, name, values))
        assert f"{what}" in " ".join(command("report", copy).output.split())
    bad = "<script>alert(1)</script> | **x** ](http://evil)"
    copy = tmp_path / "hostile"
    shutil.copytree(tmp_path / "runs", copy)
    spoil(copy / "runs" / record.run_id, changed(whole, "text", [bad] * N_USERS))
    assert command("report", copy, "--write").exit_code == 0
    page = (copy / "README.md").read_text()
    assert "&lt;script>" in page and "<script>" not in page and "](http" not in page.replace("]\\(http", "")


def changed(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


def spoil(folder: Path, table: Any) -> None:
    """Put another table in its place, with a checksum that fits."""
    parquet.write_table(table, folder / "explanations.parquet", store_schema=False)
    facts = json.loads((folder / "record.json").read_text())
    facts["files"]["explanations.parquet"] = hashlib.sha256((folder / "explanations.parquet").read_bytes()).hexdigest()
    (folder / "record.json").write_text(canonical_json(facts) + "\n")


def test_an_explainer_that_does_not_fit_is_a_row_with_its_reason(tmp_path: Path) -> None:
    records = run(tmp_path, "exposure[n_users=50]", [
        {"label": "of attention", "backbone": "hstu[width=16,layers=1]",
         "explainers": ["template[evidence=attention]"]},
        {"label": "popularity", "recommender": "popularity"},
    ], base={"backbone": "sasrec[width=16,layers=1]", "objectives": ["softmax"], "explainers": ["template"]}, seeds=[1])
    assert records["of attention 1"].facts["status"] == "skipped"
    assert "does not fit the pointwise attention of hstu" in records["of attention 1"].facts["reason"]
    assert records["popularity 1"].facts["status"] == "ok"  # whole recommenders are not explained
