"""Leaderboards of records whose truth is known."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.errors import BenchbaseError, RecordError
from benchbase.leaderboard import Leaderboard, Row, load_records, make_leaderboard
from benchbase.leaderboard.files import to_csv, to_json, to_markdown
from benchbase.leaderboard.text import to_text
from benchbase.stats import crossed_test, holm


def rows(board: Leaderboard, table: int = 0) -> dict[str, Row]:
    return {row.label: row for row in board.tables[table].rows}


def notes(board: Leaderboard) -> str:
    return "\n".join([*board.notes, *(note for table in board.tables for note in table.notes)])


def test_means_are_over_users_and_seeds(make: Any) -> None:
    hits = {1: [0] * 10 + [9] * 40, 2: [0] * 20 + [9] * 30}
    row = rows(make_leaderboard(make({("d", "a"): hits})))["a"]
    assert row.metrics["recall@1"].point == pytest.approx(0.3)
    assert row.metrics["ndcg@10"].point == pytest.approx(0.3 + 0.7 / np.log2(11))
    assert row.metrics["recall@1"].low < 0.3 < row.metrics["recall@1"].high
    assert row.seeds == (1, 2)


def test_identical_systems_have_no_winner(make: Any, above: Any) -> None:
    """Eight draws of one law against another draw of it: nothing is announced."""
    runs = {("d", f"s{i}"): {seed: above(0.3, 100 * i + seed) for seed in (1, 2, 3)} for i in range(8)}
    board = make_leaderboard(make(runs))
    assert board.family == 7
    assert {row.versus.verdict for row in board.tables[0].rows if row.versus} == {"no difference shown"}


def test_the_same_results_are_no_difference_at_all(make: Any, above: Any) -> None:
    same = {seed: above(0.3, seed) for seed in (1, 2)}
    board = make_leaderboard(make({("d", "a"): same, ("d", "b"): same}))
    versus = rows(board)["b"].versus
    assert versus is not None
    assert (versus.difference, versus.p, versus.low, versus.high, versus.effect_size) == (0, 1, 0, 0, 0)
    assert rows(board)["a"].rank == rows(board)["b"].rank
    assert all(row.best == {"recall@1", "ndcg@10"} for row in board.tables[0].rows)


def test_a_clear_winner_is_announced(make: Any, above: Any) -> None:
    runs = {
        ("d", "base"): {s: above(0.2, s) for s in (1, 2, 3)},
        ("d", "good"): {s: above(0.9, 10 + s) for s in (1, 2, 3)},
        ("d", "bad"): {s: above(0.0, 20 + s) for s in (1, 2, 3)},
    }
    found = rows(make_leaderboard(make(runs)))
    assert [(label, row.versus.verdict if row.versus else None) for label, row in found.items()] == [
        ("good", "better"),
        ("base", None),
        ("bad", "worse"),
    ]
    good = found["good"]
    assert good.versus is not None and good.rank is not None
    assert (good.rank.point, good.rank.low, good.rank.high) == (1, 1, 1)
    assert good.best == {"recall@1", "ndcg@10"}
    assert good.versus.low > 0 and good.versus.effect_size > 1 and good.versus.detectable < good.versus.difference
    assert good.versus.wins > good.versus.losses


def test_luck_of_one_seed_is_no_verdict(make: Any, above: Any) -> None:
    """Users agree, seeds do not: seeds are a sample too, so nothing is announced."""
    none, all_ = [50] * 50, [0] * 50
    runs = {("d", "a"): {1: none, 2: none, 3: none}, ("d", "b"): {1: all_, 2: none, 3: none}}
    versus = rows(make_leaderboard(make(runs)))["b"].versus
    assert versus is not None
    assert versus.p_holm == pytest.approx(0.4226, abs=1e-4)
    assert versus.low <= 0 <= versus.high
    assert versus.verdict == "no difference shown"


@pytest.mark.parametrize(("spread", "rate"), [(0.0, 0.12), (0.3, 0.12)])
def test_entries_of_one_law_seldom_differ_whatever_the_seeds_do(make: Any, spread: float, rate: float) -> None:
    """Each run draws how often it is right around one mean: the seeds' luck is no reason for a verdict."""
    rng, wrong, tried = np.random.default_rng(5), 0, 40
    for number in range(tried):
        share = np.clip(rng.uniform(0.5 - spread, 0.5 + spread, (2, 3)), 0, 1)
        runs = {
            ("d", label): {seed + 1: np.where(rng.random(50) < share[i, seed], 0, 50) for seed in range(3)}
            for i, label in enumerate("ab")
        }
        versus = rows(make_leaderboard(make(runs, folder=f"out{number}")))["b"].versus
        assert versus is not None
        assert (versus.verdict == "no difference shown") is (versus.low <= 0 <= versus.high)
        wrong += versus.verdict != "no difference shown"
    assert wrong / tried <= rate


def test_the_family_is_every_entry_against_the_baseline_over_all_data_sets(make: Any, above: Any) -> None:
    runs = {
        (dataset, label): {seed: above(0.2 + 0.05 * i, 7 * seed + i) for seed in (1, 2)}
        for i, (dataset, label) in enumerate(itertools.product("de", "abc"))
    }
    board = make_leaderboard(make(runs))
    expected, found = [], []
    for dataset in "de":
        hits = {label: np.array([np.asarray(runs[dataset, label][s]) == 0 for s in (1, 2)], float) for label in "abc"}
        for table in board.tables:
            if table.dataset == dataset:
                for row in table.rows:
                    if row.versus:
                        expected.append(crossed_test(hits[row.label] - hits["a"]).p)
                        found.append(row.versus)
    assert board.family == 4 == len(found)
    assert [each.p for each in found] == pytest.approx(expected)
    assert [each.p_holm for each in found] == pytest.approx(holm(expected).tolist())


def test_ranks_depend_neither_on_names_nor_on_order(make: Any, above: Any) -> None:
    results = {
        label: {seed: above(share, seed + i) for seed in (1, 2)}
        for i, (label, share) in enumerate([("a", 0.2), ("b", 0.4), ("c", 0.41)])
    }
    first = rows(make_leaderboard(make({("d", label): each for label, each in results.items()}), "a"))
    renamed = {"a": "z", "b": "y", "c": "x"}
    turned = {("d", renamed[label]): results[label] for label in reversed(results)}
    second = rows(make_leaderboard(make(turned, folder="other"), "z"))
    for label, row in first.items():
        other = second[renamed[label]]
        assert (row.rank, row.metrics, row.versus) == (other.rank, other.metrics, other.versus)


def test_the_baseline_can_be_chosen(make: Any, above: Any) -> None:
    folder = make({("d", label): {1: above(0.3, i)} for i, label in enumerate("abc")}, baseline="b")
    assert rows(make_leaderboard(folder))["b"].versus is None
    assert rows(make_leaderboard(folder, "c"))["c"].versus is None
    with pytest.raises(
        BenchbaseError, match=r"baseline: no entry is called 'bb'. Did you mean 'b'\? Entries: a, b, c."
    ):
        make_leaderboard(folder, "bb")


def test_entries_over_different_users_are_an_error_naming_both(make: Any, above: Any) -> None:
    folder = make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 2, 49)}})
    with pytest.raises(
        BenchbaseError, match=r"leaderboard: 'a' and 'b' on d have 50 and 49 users, 1 of them in one only"
    ):
        make_leaderboard(folder)


def test_results_of_different_protocols_are_an_error_naming_both(make: Any, above: Any) -> None:
    rules = {"metrics": ["recall@1"], "split": {"name": "global_time"}, "targets": "next", "window": 9,
             "candidates": "catalogue", "filter_seen": "history"}
    other = {("d", "b"): {"protocol": rules}}
    folder = make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 2)}}, facts=other)
    with pytest.raises(
        RecordError, match=r"'a' \(000000000001\) and 'b' \(000001000001\) on d come from different proto"
    ):
        make_leaderboard(folder)


def test_under_trained_is_flagged_and_never_set_off(make: Any, above: Any) -> None:
    late = {"training": {"epochs": 5, "best_epoch": 5, "under_trained": True, "stopped": "epochs"}}
    runs = {("d", "a"): {1: above(0.2, 1)}, ("d", "late"): {1: above(0.9, 2)}}
    board = make_leaderboard(make(runs, facts={("d", "late"): late}))
    assert rows(board)["late"].flags == ("under-trained",)
    assert all(not row.best for row in board.tables[0].rows)
    assert "longer training may help" in notes(board)


def test_failures_and_skips_are_rows_with_reasons(make: Any, above: Any) -> None:
    runs = {
        ("d", "a"): {1: above(0.3, 1), 2: above(0.3, 2)},
        ("d", "half"): {1: above(0.3, 3), 2: {"status": "diverged", "reason": "the loss is nan"}},
        ("d", "never"): {
            1: {"status": "failed", "reason": "ValueError: x"},
            2: {"status": "failed", "reason": "ValueError: x"},
        },
        ("d", "unfit"): {1: {"status": "skipped", "reason": "a + b: no"}},
        ("d", "later"): {1: None},
    }
    board = make_leaderboard(make(runs))
    found = rows(board)
    assert list(found)[-3:] == ["never", "unfit", "later"]
    assert {label: row.status for label, row in found.items()} == {
        "a": "ok",
        "half": "ok",
        "never": "failed",
        "unfit": "skipped",
        "later": "pending",
    }
    assert found["half"].flags == ("1 of 2 seeds",)
    assert found["half"].reasons == ("seed 2 diverged: the loss is nan",)
    assert found["never"].reasons == ("failed: ValueError: x",)
    assert found["unfit"].reasons == ("skipped: a + b: no",)
    assert board.statuses == {"diverged": 1, "failed": 2, "ok": 3, "pending": 1, "skipped": 1}
    text = to_text(board)
    assert "never: failed: ValueError: x" in text and "unfit: skipped: a + b: no" in text


def test_a_baseline_without_result_tests_nothing_and_says_so(make: Any, above: Any) -> None:
    board = make_leaderboard(
        make({("d", "a"): {1: {"status": "failed", "reason": "x"}}, ("d", "b"): {1: above(0.3, 1)}})
    )
    assert board.family == 0
    assert "the baseline a has no result here, so nothing is tested on d" in notes(board)


def test_a_folder_without_any_result_is_a_table_of_reasons(make: Any) -> None:
    board = make_leaderboard(make({("d", "a"): {1: None}}))
    assert "no run has a result yet" in notes(board)
    assert "pending" in to_text(board) and "pending" in to_markdown(board)


def test_one_run_of_what_is_deterministic_stands_for_every_seed(make: Any, above: Any) -> None:
    def recommender(label: str, deterministic: bool) -> dict[str, Any]:
        configuration = {"recommender": {"name": label}, "label": label, "ablate": False}
        return {"configuration": configuration, "deterministic": deterministic}

    whole = {("d", "pop"): recommender("pop", True), ("d", "drawn"): recommender("drawn", False)}
    two = {("d", label): {s: above(0.3, s) for s in (1, 2)} for label in ("a", "drawn")}
    board = make_leaderboard(make({**two, ("d", "pop"): {1: above(0.3, 9)}}, facts=whole))
    assert rows(board)["drawn"].flags == ()
    assert rows(board)["pop"].flags == ("deterministic",)
    assert rows(board)["pop"].versus is not None
    assert "pop: deterministic, so one run stands for every seed" in notes(board)


def test_the_notes_say_what_a_reader_should_doubt(make: Any, above: Any) -> None:
    facts = {
        ("d", "a"): {"evaluation": {"tied_share": 0.5, "cold_share": 0.1, "left_out_target_seen": 1200,
                                    "left_out_without_candidates": 7}},
        ("d", "b"): {"environment": {"machine": "n", "threads": 2, "sources": {"core": "y"}}},
    }
    folder = make(
        {("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 2)}},
        facts=facts,
        guards=False,
        metrics=["hr@1", "ndcg@10"],
    )
    text = notes(make_leaderboard(folder))
    for part in (
        "leak share 25.0%",
        "cold share 10.0%",
        "1,200 events left out: their target was seen",
        "7 events left out: their user has seen every candidate, and their target is none",
        "4 users have too few events to be evaluated: theirs only train",
        "3 events left out: their user has no earlier event",
        "a: 50.0% of events have candidates level",
        "costs compare within one class of machine only; these come from: m, 1 thread; n, 2 threads",
        "hr@1 is recall@1: one target is scored per event",
        "guards: false",
        "these runs come from 2 versions of the core's code",
    ):
        assert part in text


def test_the_machine_is_named_where_all_ran_on_one(make: Any, above: Any) -> None:
    board = make_leaderboard(make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 2)}}))
    assert "costs were paid on m, 1 thread" in notes(board)
    assert "costs compare" not in notes(board)


def test_damaged_and_foreign_and_unasked_records_are_left_out_by_name(make: Any, above: Any) -> None:
    folder = make({("d", "a"): {1: above(0.3, 1), 2: above(0.3, 2)}, ("d", "old"): {1: above(0.3, 3)}})
    (folder / "runs" / "000000000002" / "events.parquet").write_bytes(b"x")
    plan = folder / "runs" / "plan.json"
    plan.write_text(plan.read_text().replace("000001000001", "0000aa0000aa").replace('"old"', '"new"'))
    board = make_leaderboard(folder)
    assert rows(board)["a"].reasons[0].startswith("seed 2 damaged: ")
    assert "record 000000000002 is left out: 000000000002/events.parquet: is not what the run wrote" in notes(board)
    assert "left out, since the suite no longer asks for them: 1 record (000001000001)" in notes(board)
    assert rows(board)["new"].status == "pending"


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(
        RecordError, match=r"no records in it. Expected a folder that `benchbase run` or `benchbase report"
    ):
        make_leaderboard(tmp_path)
    with pytest.raises(RecordError, match=r"no such folder"):
        load_records(tmp_path / "nowhere")


def test_records_without_a_plan(make: Any, above: Any) -> None:
    folder = make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.3, 2)}}, plan=False)
    board = make_leaderboard(folder)
    assert (board.suite, board.baseline, board.family) == ("hand", None, 0)
    assert make_leaderboard(folder, "a").family == 1
    assert board.metrics == ("recall@1", "ndcg@10")


def test_records_without_a_plan_that_share_a_name(make: Any, above: Any) -> None:
    make({("d", "a"): {1: above(0.3, 1)}}, plan=False)
    folder = make({("d", "x"): {}, ("d", "a"): {1: above(0.3, 2)}}, plan=False)
    with pytest.raises(RecordError, match=r"the records 000000000001 and 000001000001 are both 'a' on d, seed 1"):
        make_leaderboard(folder)


def test_a_single_user_is_shown_and_not_tested(make: Any) -> None:
    board = make_leaderboard(make({("d", "a"): {1: [0]}, ("d", "b"): {1: [1]}}))
    assert board.family == 0
    assert rows(board)["a"].metrics["recall@1"].point == 1


def test_files_are_the_same_bytes_for_the_same_records(make: Any, above: Any) -> None:
    runs = {("d", "a|b*"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.9, 2)}}
    first, second = make_leaderboard(make(runs)), make_leaderboard(make(runs, folder="again"))
    for form in (to_text, to_markdown, to_csv, to_json):
        assert form(first) == form(second)
    assert "| a\\|b\\* |" in to_markdown(first)
    assert "**" in to_markdown(first)


def test_a_name_makes_no_link_and_no_line_in_markdown(make: Any, above: Any) -> None:
    runs = {("[d](x)", "[a](y)"): {1: above(0.3, 1)}, ("[d](x)", "b"): {1: above(0.9, 2)}}
    page = to_markdown(make_leaderboard(make(runs)))
    assert "## [d]\\(x)" in page and "| [a]\\(y) |" in page and "](" not in page
    assert "# a b" in to_markdown(replace(make_leaderboard(make({("d", "a"): {1: [0]}}, folder="two")), suite="a\nb"))


def test_the_forms_agree(make: Any, above: Any) -> None:
    import csv
    import io
    import json

    board = make_leaderboard(make({("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.9, 2)}}))
    lines = {line["entry"]: line for line in csv.DictReader(io.StringIO(to_csv(board)))}
    table = {row["label"]: row for row in json.loads(to_json(board))["tables"][0]["rows"]}
    for label, row in rows(board).items():
        assert float(lines[label]["recall@1"]) == pytest.approx(row.metrics["recall@1"].point, abs=1e-6)
        assert table[label]["metrics"]["recall@1"]["point"] == float(lines[label]["recall@1"])
        assert f"{row.metrics['recall@1'].point:.4f}" in to_text(board)
    assert lines["b"]["baseline.verdict"] == table["b"]["versus"]["verdict"] == "better"


def test_data_is_prepared_once_for_all_runs(make: Any, above: Any) -> None:
    cost = {"data_seconds": 100.0, "prepare_seconds": 1.0, "train_seconds": 60.0, "rank_seconds": 1.0,
            "peak_memory_bytes": 1, "parameters": 1, "tokens_per_sequence": 1.0}
    runs = {(dataset, "a"): {seed: above(0.3, seed) for seed in (1, 2)} for dataset in "de"}
    board = make_leaderboard(make(runs, facts={key: {"cost": cost} for key in runs}))
    assert board.seconds == 2 * 100 + 4 * 62


def test_the_epochs_trained_stand_beside_those_allowed(make: Any, above: Any) -> None:
    none = {"training": {"epochs": 0, "best_epoch": 0, "under_trained": False, "stopped": ""}}
    folder = make({("d", "a"): {1: above(0.3, 1), 2: above(0.3, 2)}, ("d", "pop"): {1: above(0.3, 3)}},
                  facts={("d", "pop"): none})
    path = folder / "runs" / "000000000002" / "record.json"
    path.write_text(path.read_text().replace('"epochs":5', '"epochs":6'))
    board = make_leaderboard(folder)
    for form in (to_text, to_markdown):
        lines = {line.strip("| ").split(" ")[0]: line for line in form(board).splitlines() if line.strip()}
        assert "5.5 of 7" in lines["a"] and " of 7" not in lines["pop"]


def test_records_as_a_data_frame(make: Any, above: Any) -> None:
    runs = {("d", "a"): {1: above(0.3, 1), 2: {"status": "failed", "reason": "x"}}, ("e", "a"): {1: None}}
    frame = load_records(make(runs))
    assert frame[["label", "dataset", "seed", "status"]].values.tolist() == [
        ["a", "d", 1, "ok"],
        ["a", "d", 2, "failed"],
        ["a", "e", 1, "pending"],
    ]
    assert frame["recall@1"][0] == 0.5
    assert frame["cost.train_seconds"][0] == 60
    assert frame["configuration.backbone"][0] == '{"name":"a","width":8}'
    assert frame["reason"][1] == "x"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_a_narrow_terminal_cuts_nothing_off(make: Any, above: Any, width: int) -> None:
    """Costs go first, then names wrap; what is shown is shown whole, and no line is longer than the terminal."""
    runs = {("d", "a rather long name of an entry"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.9, 2)}}
    text = to_text(make_leaderboard(make(runs, metrics=["ndcg@10", "recall@10", "mrr@10"])), width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    assert "a rather" in text and "ndcg@10" in text
    if width >= 80:
        intervals = re.findall(r"0\.\d{4}–\d\.\d{4}", text)
        assert len(intervals) >= 6 and "better" in text
    assert ("parameters" in text) is (width >= 120)
