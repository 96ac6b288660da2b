"""Two entries side by side, and the form of records that may be shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.errors import BenchbaseError, RecordError
from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.compare import compare_entries
from benchbase.leaderboard.publish import opening, publish_folder, write_pages
from benchbase.runner.records import read_all, read_record, write_record

CONFIGURATION = {
    "backbone": {"name": "x", "width": 8, "dropout": 0.1},
    "modifiers": [],
    "objectives": [{"name": "o", "weight": 1}],
    "label": "",
    "ablate": False,
}


def test_the_factors_in_which_two_entries_differ(make: Any, above: Any) -> None:
    facts = {
        ("d", "a"): {"configuration": CONFIGURATION},
        ("d", "b"): {
            "configuration": {
                **CONFIGURATION,
                "backbone": {"name": "x", "width": 16, "dropout": 0.1},
                "modifiers": [{"name": "m"}],
                "objectives": [{"name": "o", "weight": 2}],
            }
        },
    }
    folder = make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.4, 2)}}, facts=facts)
    assert compare_entries(folder, "a", "b").factors == (
        ("backbone.width", 8, 16),
        ("modifiers", [], [{"name": "m"}]),
        ("objectives[0].weight", 1, 2),
    )


def test_wins_and_losses_are_those_of_the_first(make: Any) -> None:
    folder = make({("d", "a"): {1: [0] * 30 + [50] * 20}, ("d", "b"): {1: [0] * 10 + [50] * 40}})
    sides = compare_entries(folder, "a", "b", matters=0.1)
    pair = sides.pairs[0]
    assert (pair.users.wins, pair.users.ties, pair.users.losses) == (20, 30, 0)
    assert (pair.first, pair.second, pair.users.mean) == pytest.approx((0.6, 0.2, 0.4))
    assert pair.test.low < 0.4 < pair.test.high and pair.users.matters == 0.1
    turned = compare_entries(folder, "b", "a").pairs[0]
    assert (turned.users.losses, turned.users.mean, turned.users.p_t) == (20, pytest.approx(-0.4), pair.users.p_t)


def test_the_correction_is_over_data_sets_for_the_first_metric(make: Any, above: Any) -> None:
    folder = make(
        {(dataset, label): {1: above(share, 3)} for dataset in "de" for label, share in (("a", 0.2), ("b", 0.5))}
    )
    pairs = compare_entries(folder, "a", "b").pairs
    assert [(pair.dataset, pair.metric, pair.p_holm is None) for pair in pairs] == [
        ("d", "recall@1", False),
        ("d", "ndcg@10", True),
        ("e", "recall@1", False),
        ("e", "ndcg@10", True),
    ]
    assert pairs[0].p_holm == pytest.approx(2 * pairs[0].test.p)


def test_entries_that_cannot_be_compared(make: Any, above: Any) -> None:
    folder = make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 1, 49)}, ("d", "c"): {1: None}})
    with pytest.raises(
        BenchbaseError, match=r"compare: no entry is called 'A'. Did|compare: no entry is called 'A'. Entries"
    ):
        compare_entries(folder, "A", "b")
    with pytest.raises(BenchbaseError, match=r"compare: 'a' twice. Expected two entries. Entries: a, b, c."):
        compare_entries(folder, "a", "a")
    with pytest.raises(BenchbaseError, match=r"compare: 'a' and 'b' on d have 50 and 49 users"):
        compare_entries(folder, "a", "b")
    assert compare_entries(folder, "a", "c").gaps == ("c has no result on d",)


def publish(folder: Path, tmp_path: Path) -> Path:
    publish_folder(folder, tmp_path / "shown")
    return tmp_path / "shown"


def test_what_is_published_gives_the_same_leaderboard(make: Any, above: Any, tmp_path: Path) -> None:
    folder = make({("d", label): {seed: above(0.3, 10 * i + seed) for seed in (1, 2)} for i, label in enumerate("abc")})
    shown = publish(folder, tmp_path)
    assert make_leaderboard(shown) == make_leaderboard(folder)
    assert sorted(path.name for path in shown.iterdir()) == [
        "README.md",
        "leaderboard.csv",
        "leaderboard.json",
        "records",
    ]
    again = publish_folder(shown, tmp_path / "again")
    assert again == make_leaderboard(folder)
    for path in sorted(shown.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(shown)).read_bytes() == path.read_bytes()


def test_users_are_permuted_alike_in_all_records(make: Any, tmp_path: Path) -> None:
    ranks = np.arange(50)
    shown = publish(make({("d", "a"): {1: ranks, 2: ranks[::-1]}}), tmp_path)
    first, second = (
        record.table("events.parquet") for _, record in read_all(shown) if not isinstance(record, Exception)
    )
    assert first["user"].tolist() == list(range(50)) == second["user"].tolist()
    assert first["above"].tolist() != ranks.tolist()
    assert sorted(first["above"].tolist()) == ranks.tolist()
    assert (first["above"] + second["above"] == 49).all()


def test_lists_actions_and_tracebacks_stay_at_home(make: Any, above: Any, tmp_path: Path) -> None:
    folder = make(
        {
            ("d", "a"): {1: above(0.3, 1)},
            ("d", "b"): {1: {"status": "failed", "reason": "x", "traceback": "/home/me/secret.py"}},
        }
    )
    record = read_record(folder / "runs" / "000000000001")
    lists = {"user": [0], "event": [1], "items": [[1]], "scores": [[0.5]]}
    write_record(record.folder, record.facts, {"events.parquet": record.table("events.parquet"), "topk.parquet": lists})
    shown = publish(folder, tmp_path)
    assert [path.name for path in (shown / "records" / record.run_id).iterdir() if path.suffix == ".parquet"] == [
        "events.parquet"
    ]
    assert not any(b"secret" in path.read_bytes() for path in shown.rglob("*") if path.is_file())


def test_no_folder_of_the_machine_is_published(make: Any, above: Any, tmp_path: Path) -> None:
    lost = {"status": "failed", "reason": "FileNotFoundError: [Errno 2] '/home/me/secret/x'", "traceback": "..."}
    told = {"status": "skipped", "reason": "items: /home/secret/a b/items.csv: no times. Expected a/b."}
    runs = {("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: lost}, ("d", "c"): {1: told}}
    folder = make(runs)
    plan = folder / "runs" / "plan.json"
    plan.write_text(plan.read_text().replace('"reason":""', '"reason":"~/secret/x.csv: no"'))
    shown = publish(folder, tmp_path)
    reasons = {record.facts["configuration"]["label"]: record.facts["reason"]
               for _, record in read_all(shown) if not isinstance(record, Exception)}
    assert reasons["b"] == "FileNotFoundError" and reasons["c"].endswith("items.csv: no times. Expected a/b.")
    assert not any(b"secret" in path.read_bytes() for path in shown.rglob("*") if path.is_file())


def test_records_of_an_earlier_time_do_not_stay(make: Any, above: Any, tmp_path: Path) -> None:
    whole = make({("d", label): {1: above(0.3, i)} for i, label in enumerate("abc")})
    shown = publish(whole, tmp_path)
    keep = [shown / "records" / "notes", shown / "records" / "ffffffffffff"]
    for path in keep:  # no records
        path.mkdir()
    make({("d", "a"): {1: above(0.3, 0)}}, folder="less", plan=False)
    publish(tmp_path / "less", tmp_path)
    assert sorted(path.name for path in (shown / "records").iterdir()) == ["000000000001", "ffffffffffff", "notes"]
    assert make_leaderboard(shown).tables == make_leaderboard(tmp_path / "less").tables


def test_the_comment_of_the_suite_opens_the_page(make: Any, above: Any, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "suite.yaml").write_text("# Which one?\n#\n# The data: ask *them*.\nsuite: x\n# not this\n")
    page = (publish(make({("d", "a"): {1: above(0.3, 1)}}), tmp_path) / "README.md").read_text()
    assert page.startswith("# hand\n\nWhich one?\n\nThe data: ask *them*.\n\n1 run: 1 ok; ")
    assert "not this" not in page
    assert opening(tmp_path / "none.yaml") == ""


def test_pages_are_written_anew_from_published_records(make: Any, above: Any, tmp_path: Path) -> None:
    shown = publish(make({("d", "a"): {1: above(0.3, 1)}}), tmp_path)
    before = (shown / "README.md").read_bytes()
    (shown / "README.md").write_text("edited")
    write_pages(shown)
    assert (shown / "README.md").read_bytes() == before


def test_what_cannot_be_published(make: Any, above: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no run is finished. Expected some to publish. Run the suite first."):
        publish_folder(make({("d", "a"): {1: None}}, folder="none"), tmp_path / "x")
    shown = publish(make({("d", "a"): {1: above(0.3, 1)}}), tmp_path)
    with pytest.raises(RecordError, match=r"is where these records lie. Expected another folder. Use `report --write`"):
        publish_folder(shown, shown)


def test_json_has_no_nan(make: Any) -> None:
    """Differences that are all alike have an infinite effect size."""
    from benchbase.leaderboard.files import to_json

    board = make_leaderboard(make({("d", "a"): {1: [50] * 50}, ("d", "b"): {1: [0] * 50}}))
    (row,) = (row for row in json.loads(to_json(board))["tables"][0]["rows"] if row["label"] == "b")
    assert row["versus"]["effect_size"] is None
