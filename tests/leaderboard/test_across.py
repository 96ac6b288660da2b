"""Attention across domains by what the targets need, as a leaderboard tells it."""

from typing import Any

import numpy as np
import pytest

from benchbase.errors import BenchbaseError
from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.files import to_json, to_markdown
from benchbase.leaderboard.text import to_text
from benchbase.runner.records import read_record, write_record

FIRST, LAST = 0, 50
ALONE = np.array([FIRST] * 10 + [LAST] * 40)
"""The twin finds ten targets, the baseline those and ten more."""

TOGETHER = np.array([FIRST] * 20 + [LAST] * 30)
SHARES = np.array([0.2] * 10 + [0.4] * 10 + [0.3] * 30, np.float32)
SAME = {"backbone": {"name": "b"}, "objectives": [{"name": "softmax"}]}
FACTS = {
    ("d", "together"): {"configuration": {**SAME, "label": "together", "ablate": False}},
    ("d", "alone"): {"configuration": {**SAME, "sequence": {"events": "own_domain", "mislabelled": 0.0},
                                       "label": "alone", "ablate": True}},
    ("d", "AutoCDSR"): {"configuration": {**SAME, "combiner": {"name": "pareto"}, "label": "AutoCDSR",
                                          "ablate": False}},
}
RUNS = {("d", "together"): {1: TOGETHER, 2: TOGETHER}, ("d", "alone"): {1: ALONE, 2: ALONE},
        ("d", "AutoCDSR"): {1: TOGETHER, 2: TOGETHER}}
ACROSS = {"together": SHARES, "AutoCDSR": SHARES * np.where(ALONE == FIRST, 0.5, 0.75).astype(np.float32)}


def test_classes_are_those_of_the_twin_and_of_the_baseline(make: Any) -> None:
    board = make_leaderboard(make(RUNS, facts=FACTS, across=ACROSS))
    found = board.tables[0].across
    assert found is not None and (found.baseline, found.alone, found.cutoff) == ("together", "alone", 1)
    told = {each.name: (each.events, each.shares["together"], each.shares["AutoCDSR"]) for each in found.classes}
    assert told == {
        "all": (50, pytest.approx(0.3), pytest.approx((10 * 0.1 + 10 * 0.3 + 30 * 0.225) / 50)),
        "found without other domains": (10, pytest.approx(0.2), pytest.approx(0.1)),
        "found with them alone": (10, pytest.approx(0.4), pytest.approx(0.3)),
    }


def test_the_sheet_tells_how_much_is_left(make: Any) -> None:
    board = make_leaderboard(make(RUNS, facts=FACTS, across=ACROSS))
    page = to_markdown(board)
    assert ("Attention across domains before the target (less together); found: among the first 1, without other "
            "domains by alone:") in page
    assert "| found without other domains | 10 | 0.2 | 0.1 (-50%) |" in page
    assert "| found with them alone | 10 | 0.4 | 0.3 (-25%) |" in page
    assert "It is no test." in page and "found with them alone" in to_text(board, 200)
    assert '"alone": "alone"' in to_json(board)


def test_each_seed_has_classes_of_its_own(make: Any) -> None:
    runs = {**RUNS, ("d", "alone"): {1: ALONE, 2: np.full(50, LAST)}}
    found = make_leaderboard(make(runs, facts=FACTS, across=ACROSS)).tables[0].across
    told = {each.name: (each.events, each.shares["together"]) for each in found.classes}
    assert told["found without other domains"] == (5, pytest.approx(0.2))
    assert told["found with them alone"] == (15, pytest.approx((0.4 + 0.3) / 2))


@pytest.mark.parametrize("sequence", [None, {"events": "all", "mislabelled": 0.1},
                                      {"events": "own_domain", "mislabelled": 0.1},
                                      {"events": "own_domain", "mislabelled": 0.0, "window": 20}])
def test_without_a_twin_all_targets_are_one_class(make: Any, sequence: Any) -> None:
    other = {**FACTS[("d", "alone")]["configuration"], "sequence": sequence}
    found = make_leaderboard(make(RUNS, facts={**FACTS, ("d", "alone"): {"configuration": other}},
                                  across=ACROSS)).tables[0].across
    assert [each.name for each in found.classes] == ["all"] and found.alone is None


def test_an_entry_that_differs_in_more_is_no_twin(make: Any) -> None:
    other = {**FACTS[("d", "alone")]["configuration"], "backbone": {"name": "c"}}
    found = make_leaderboard(make(RUNS, facts={**FACTS, ("d", "alone"): {"configuration": other}},
                                  across=ACROSS)).tables[0].across
    assert [each.name for each in found.classes] == ["all"]


def test_an_empty_class_has_no_share(make: Any) -> None:
    runs = {**RUNS, ("d", "alone"): {1: TOGETHER, 2: TOGETHER}}
    page = to_markdown(make_leaderboard(make(runs, facts=FACTS, across=ACROSS)))
    assert "| found with them alone | 0 |  |  |" in page


def test_without_a_baseline_shares_stand_alone(make: Any) -> None:
    page = to_markdown(make_leaderboard(make(RUNS, facts=FACTS, across=ACROSS, baseline=None)))
    assert "Attention across domains before the target:" in page and "| all | 50 | 0.3 | 0.215 |" in page


def test_records_without_shares_have_no_sheet(make: Any) -> None:
    board = make_leaderboard(make(RUNS, facts=FACTS))
    assert board.tables[0].across is None and "Attention across" not in to_markdown(board)


def test_events_asked_for_after_all_others_are_counted(make: Any) -> None:
    told = {**FACTS[("d", "alone")], "evaluation": {"read_whole": 1234}}
    page = to_markdown(make_leaderboard(make(RUNS, facts={**FACTS, ("d", "alone"): told})))
    assert ("alone: 1,234 events are the first of their domain for their user, and are asked for after all earlier ones"
            in page)


def test_entries_on_different_events_are_not_compared(make: Any) -> None:
    place = make(RUNS, facts=FACTS, across=ACROSS)
    record = read_record(place / "runs" / f"{1:06x}{2:06x}")  # the twin's second seed
    table = record.table("events.parquet")
    facts = {name: value for name, value in record.facts.items() if name != "files"}
    write_record(record.folder, facts, {"events.parquet": {**table, "event": table["event"] + 1}})
    with pytest.raises(BenchbaseError, match=r"'together' and 'alone' on d were evaluated on different events\."):
        make_leaderboard(place)
