"""Figures beside the metrics, of the truth behind a data set, of lists and of groups: means over seeds, chance,
correlation.
"""

import csv
import io
from typing import Any

import pytest

from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.files import to_csv, to_markdown
from benchbase.leaderboard.measured import forgotten_of
from benchbase.leaderboard.text import to_text

HALF, ALL = [0] * 25 + [50] * 25, [0] * 50


def told(accuracy: float, **figures: float | None) -> dict[str, Any]:
    return {"metrics": {"recall@1": accuracy, **{f"truth.{name}": value for name, value in figures.items()}},
            "evaluation": {"by_chance": {"ap": 0.1}}}


def folder(make: Any, **facts: Any) -> Any:
    runs = {("d", label): {1: HALF, 2: HALF} for label in facts}
    return make(runs, facts={("d", label): each for label, each in facts.items()})


def test_figures_stand_beside_chance_and_their_correlation_with_accuracy(make: Any) -> None:
    place = folder(make, a=told(0.9, ap=0.1, shd=300), b=told(0.5, ap=0.2, shd=200.4), c=told(0.1, ap=0.25))
    truths = make_leaderboard(place).tables[0].truths
    assert truths is not None and truths.names == ("ap", "shd") and truths.chance == pytest.approx({"ap": 0.1})
    assert [each.label for each in truths.entries] == ["a", "b", "c"]
    assert truths.agreement == pytest.approx({"ap": -1.0})  # of shd there are four runs alone
    page = to_markdown(make_leaderboard(place))
    assert "| figure | a | b | c | by chance | correlation with recall@1 |" in page
    assert "| ap | 0.1 | 0.2 | 0.25 | 0.1 | -1 |" in page and "| shd | 300 | 200 |  |  |  |" in page
    assert "Spearman's, over all runs that have both figures; it is no test" in page
    assert "Against the truth behind the data" in to_text(make_leaderboard(place), 200)
    rows = {row["entry"]: row for row in csv.DictReader(io.StringIO(to_csv(make_leaderboard(place))))}
    assert rows["b"]["truth.ap"] == "0.2" and rows["c"]["truth.shd"] == ""


def test_seeds_that_differ_show_their_ends(make: Any) -> None:
    place = make({("d", "a"): {1: HALF}, ("d", "b"): {1: ALL}}, facts={
        ("d", "a"): told(0.5, ap=0.3), ("d", "b"): told(1.0, ap=None)})
    found = make_leaderboard(place).tables[0].truths
    assert found is not None and [each.label for each in found.entries] == ["a"]
    assert found.entries[0].figures["ap"].point == 0.3 and found.agreement == {}


def test_two_seeds(make: Any, tmp_path: Any) -> None:
    place = make({("d", "a"): {1: HALF, 2: HALF}}, facts={("d", "a"): told(0.5, ap=0.3)})
    path = place / "runs" / "000000000002" / "record.json"
    path.write_text(path.read_text().replace('"truth.ap":0.3', '"truth.ap":0.5'))
    page = to_markdown(make_leaderboard(place))
    assert "| ap | 0.4 (0.3–0.5) | 0.1 |  |" in page


def test_without_a_truth_there_is_no_sheet(make: Any) -> None:
    place = make({("d", "a"): {1: HALF}})
    board = make_leaderboard(place)
    assert board.tables[0].truths is None and "truth" not in to_markdown(board)


def test_lists_stand_in_a_line_for_each_entry(make: Any) -> None:
    figures = {"a": {"lists.coverage@5": 0.5, "lists.lift@5": -0.25}, "b": {"lists.coverage@5": 0.125}}
    place = make({("d", label): {1: HALF, 2: HALF} for label in figures},
                 facts={("d", label): {"metrics": {"recall@1": 0.5, **each}} for label, each in figures.items()})
    board = make_leaderboard(place)
    page = to_markdown(board)
    assert "| entry | coverage@5 | lift@5 |" in page and "| a | 0.5 | -0.25 |" in page and "| b | 0.125 |  |" in page
    assert "lift, how much more popular the lists are" in page and board.tables[0].groups is None
    rows = {row["entry"]: row for row in csv.DictReader(io.StringIO(to_csv(board)))}
    assert rows["a"]["lists.lift@5"] == "-0.25" and rows["b"]["lists.lift@5"] == ""


def test_groups_stand_beside_chance(make: Any) -> None:
    gap = "groups.gender.exposure_gap@5"
    place = make({("d", "a"): {1: HALF, 2: HALF}, ("d", "b"): {1: ALL, 2: ALL}}, facts={
        ("d", label): {"metrics": {"recall@1": 0.5, gap: 0.3, "groups.gender.F.recall@1": 0.2},
                       "evaluation": {"by_chance": {gap: 0.1}}} for label in "ab"})
    page = to_markdown(make_leaderboard(place))
    assert "By gender of users: means over seeds (least–greatest)" in page
    assert "| entry | F.recall@1 | exposure_gap@5 |" in page and "| a | 0.2 | 0.3 |" in page
    assert "| by chance |  | 0.1 |" in page and "Exposure gap: how far apart" in page


def test_many_groups_stand_in_lines_of_their_own(make: Any) -> None:
    ages = {f"groups.age.{age}.recall@1": age / 100 for age in range(9)}
    place = make({("d", "a"): {1: HALF, 2: HALF}}, facts={("d", "a"): {
        "metrics": {"recall@1": 0.5, **ages, "groups.sex.F.recall@1": 0.25}, "evaluation": {"by_chance": {}}}})
    page = to_markdown(make_leaderboard(place))
    assert "By age of users" in page and "| figure | a | by chance |" in page and "| 7.recall@1 | 0.07 |  |" in page
    assert "By sex of users" in page and "| entry | F.recall@1 |" in page and "| a | 0.25 |" in page


def streamed(before: float, after: float, last: float, **more: float) -> dict[str, Any]:
    found = {"retained_before": before, "retained_after": after, "first_period": 0.5, "last_period": last}
    return {"metrics": {"recall@1": 0.5, **{f"stream.{name}.recall@1": value for name, value in found.items()}, **more}}


def test_how_a_stream_went_is_told_of_the_first_metric_in_order(make: Any) -> None:
    other = {"stream.last_period.mrr@1": 0.9}
    place = folder(make, plain=streamed(0.7, 0.1, 0.6), held=streamed(0.7, 0.5, 0.4, **other))
    board = make_leaderboard(place)
    page = to_markdown(board)
    assert "| entry | first period | last period | retained before | retained after |" in page
    assert "| held | 0.5 | 0.4 | 0.7 | 0.5 |" in page and "| plain | 0.5 | 0.6 | 0.7 | 0.1 |" in page
    assert "events from right before the stream" in page
    assert forgotten_of(board.tables[0].stream, "recall@1") == pytest.approx({"plain": 0.6, "held": 0.2})
    rows = {row["entry"]: row for row in csv.DictReader(io.StringIO(to_csv(board)))}
    assert rows["held"]["stream.retained_after.recall@1"] == "0.5"


def test_of_a_loss_more_of_it_is_what_is_forgotten(make: Any) -> None:
    each = {name: {"metrics": {"stream.retained_before.ne": 0.8, "stream.retained_after.ne": after}}
            for name, after in (("a", 0.9), ("b", 0.85))}
    found = make_leaderboard(folder(make, **each)).tables[0].stream
    assert forgotten_of(found, "ne") == pytest.approx({"a": 0.1, "b": 0.05})
    assert forgotten_of(None, "ne") == {} == forgotten_of(found, "auc")
