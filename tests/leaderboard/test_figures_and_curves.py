"""Published figures beside ours, and learning curves in a line."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchbase.config import canonical_json
from benchbase.errors import ConfigError, RecordError
from benchbase.leaderboard import Leaderboard, make_leaderboard
from benchbase.leaderboard.figures import Figure
from benchbase.leaderboard.files import to_json, to_markdown
from benchbase.leaderboard.publish import publish_folder, write_pages
from benchbase.leaderboard.text import to_text
from benchbase.runner.records import read_record, write_record

HALF = [0] * 25 + [50] * 25


def figure(**changes: Any) -> dict[str, Any]:
    return {"entry": "a", "metric": "recall@1", "source": "their README", **changes}


def board(make: Any, *figures: Any, **more: Any) -> Leaderboard:
    runs = {("d", "a"): {1: HALF, 2: HALF}, ("d", "b"): {1: None}}
    return make_leaderboard(make(runs, published=list(figures), **more))


def figures(found: Leaderboard) -> tuple[Figure, ...]:
    return found.tables[0].figures


@pytest.mark.parametrize(("changes", "badge"), [
    ({"band": [0.4, 0.6]}, "in the band"),
    ({"band": [0.5, 0.5]}, "in the band"),
    ({"band": [0.51, 0.6], "value": 0.5}, "below"),
    ({"band": [0.4, 0.49]}, "above"),
    ({"value": 0.5}, "no band"),
    ({"band": [0.4, 0.6], "ranking": "sampled"}, "not compared"),
    ({"band": [0.4, 0.6], "entry": "b"}, "no result"),
    ({"band": [0.4, 0.6], "entry": "gone"}, "no result"),
    ({"band": [0.4, 0.6], "metric": "gone"}, "no result"),
])  # fmt: skip
def test_the_badge_says_where_our_mean_lies(make: Any, changes: dict[str, Any], badge: str) -> None:
    (found,) = figures(board(make, figure(**changes)))
    assert found.badge == badge
    assert (found.ours is None) is (badge == "no result")


def test_the_mean_is_that_over_seeds(make: Any) -> None:
    folder = make({("d", "a"): {1: [0] * 10 + [50] * 40, 2: [0] * 30 + [50] * 20}},
                  published=[figure(band=[0.39, 0.41])])
    (found,) = figures(make_leaderboard(folder))
    assert found.badge == "in the band" and found.ours == make_leaderboard(folder).tables[0].rows[0].metrics["recall@1"]


def test_under_trained_entries_are_flagged(make: Any) -> None:
    late = {("d", "a"): {"training": {"epochs": 5, "best_epoch": 5, "under_trained": True, "stopped": "epochs"}}}
    found = board(make, figure(band=[0.6, 0.7]), facts=late)
    assert figures(found)[0].under_trained
    assert "| below, under-trained |" in to_markdown(found)


def test_a_figure_stands_with_its_data_set(make: Any) -> None:
    runs = {(dataset, "a"): {1: HALF} for dataset in "de"}
    found = make_leaderboard(make(runs, published=[figure(value=0.4, dataset="e"), figure(value=0.3)]))
    assert [[each.published.value for each in table.figures] for table in found.tables] == [[0.3], [0.4, 0.3]]


def test_every_form_shows_them(make: Any) -> None:
    found = board(make, figure(value=0.51, band=[0.4, 0.6], protocol="full ranking", url="https://a.org/b"),
                  figure(value=0.9, ranking="sampled", protocol="100 negatives"))
    page, text = to_markdown(found), to_text(found, 200)
    assert ("| a | recall@1 | 0.5000 (0.3600–0.6400) | 0.5100 | 0.4000–0.6000 | in the band | "
            "their README https://a.org/b | full ranking |") in page
    assert "| 0.9000 |  | not compared | their README | 100 negatives; sampled candidates |" in page
    for form in (page, text):
        assert "Published figures" in form and "sampled candidates are another metric" in " ".join(form.split())
        assert "in the band" in form and "100 negatives; sampled" in form
    first, second = json.loads(to_json(found))["tables"][0]["figures"]
    assert (first["badge"], first["published"]["band"], first["ours"]["point"]) == ("in the band", [0.4, 0.6], 0.5)
    assert (second["badge"], second["published"]["ranking"]) == ("not compared", "sampled")
    none = make_leaderboard(make({("d", "a"): {1: HALF}}, folder="none"))
    assert "Published" not in to_markdown(none) + to_text(none)


def test_hostile_sources_make_no_markdown(make: Any) -> None:
    found = board(make, figure(value=0.4, source="a](b) | <b> *x*", protocol="[c](d)|"))
    line = next(line for line in to_markdown(found).splitlines() if line.startswith("| a | recall@1 |"))
    assert "](" not in line and "<b>" not in line and line.replace("\\|", "").count("|") == 9
    assert "a](b) | <b> *x*" in to_text(found, 200)


@pytest.mark.parametrize(("wrong", "message"), [
    ([figure()], r"published.0: has neither value nor band. Expected one of them, or both."),
    ([figure(value=2)], r"published.0.value is 2. Expected less than or equal to 1"),
    ([figure(value=0.1, source="a\nb")], r"published.0.source: 'a\\nb' is no line of text"),
    ([figure(value=0.1, url="javascript:x")], r"published.0.url is 'javascript:x'. Expected a name, a hash or"),
    ([figure(value=0.1, more=1)], r"published.0.more is 1. Expected no such key"),
    ([{"entry": "a"}], r"published.0.metric is missing"),
    ("x", r"published is 'x'. Expected a list"),
])  # fmt: skip
def test_a_plan_with_other_figures_is_refused(make: Any, wrong: Any, message: str) -> None:
    folder = make({("d", "a"): {1: HALF}}, published=wrong)
    with pytest.raises(RecordError, match=message):
        make_leaderboard(folder)


SUITE = """\
# The question.
suite: hand
published:
  - {entry: a, metric: recall@1, value: 0.4, source: new}
"""


def sources(folder: Path) -> list[str]:
    plan = json.loads((folder / "records" / "plan.json").read_text())
    return [each["source"] for each in plan.get("published", [])]


def test_figures_travel_with_the_records(make: Any, tmp_path: Path) -> None:
    folder = make({("d", "a"): {1: HALF}}, published=[figure(value=0.4, source="run")])
    publish_folder(folder, tmp_path / "shown")
    assert sources(tmp_path / "shown") == ["run"]
    assert make_leaderboard(tmp_path / "shown") == make_leaderboard(folder)


def test_the_suite_beside_records_renews_their_figures(make: Any, tmp_path: Path) -> None:
    folder, shown = make({("d", "a"): {1: HALF}}, published=[figure(value=0.4, source="run")]), tmp_path / "shown"
    shown.mkdir()
    (shown / "suite.yaml").write_text(SUITE)
    publish_folder(folder, shown)
    assert sources(shown) == ["new"] and "| new |" in (shown / "README.md").read_text()
    before = (shown / "records" / "plan.json").read_bytes()
    write_pages(shown)
    assert (shown / "records" / "plan.json").read_bytes() == before
    (shown / "suite.yaml").write_text(SUITE.replace("source: new", "source: newer"))
    assert figures(make_leaderboard(shown))[0].published.source == "new"  # records alone are read
    assert figures(write_pages(shown))[0].published.source == "newer"
    assert sources(shown) == ["newer"] and figures(make_leaderboard(shown))[0].published.source == "newer"
    (shown / "suite.yaml").write_text("suite: hand\n")
    assert figures(write_pages(shown)) == () == tuple(sources(shown))
    assert "published" not in json.loads((shown / "records" / "plan.json").read_text())


def test_a_suite_without_figures_leaves_the_plan_as_it_is(make: Any, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    publish_folder(make({("d", "a"): {1: HALF}}), shown)
    before = (shown / "records" / "plan.json").read_bytes()
    (shown / "suite.yaml").write_text("# Why?\nsuite: hand\n")
    write_pages(shown)
    assert (shown / "records" / "plan.json").read_bytes() == before


def test_mistakes_in_the_suite_beside_are_told_and_nothing_is_written(make: Any, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    publish_folder(make({("d", "a"): {1: HALF}}), shown)
    before = (shown / "README.md").read_bytes()
    (shown / "suite.yaml").write_text(SUITE.replace("entry: a", "entry: aa").replace("recall@1", "recall@2"))
    with pytest.raises(ConfigError) as told:
        write_pages(shown)
    with pytest.raises(ConfigError):
        publish_folder(make({("d", "a"): {1: HALF, 2: HALF}}, folder="more"), shown)
    assert len(list((shown / "records").iterdir())) == 2  # the plan and the record of before
    assert told.value.problems == (
        f"{shown}/suite.yaml:4: published[0].entry: no configuration is called 'aa'. Did you mean 'a'? "
        "Labels: a.",
        f"{shown}/suite.yaml:4: published[0].metric: the leaderboard does not show 'recall@2'. Did you mean "
        "'recall@1'? Metrics: ndcg@10, recall@1.",
    )
    assert (shown / "README.md").read_bytes() == before


def test_records_without_a_plan_have_no_place_for_figures(make: Any, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    publish_folder(make({("d", "a"): {1: HALF}}, plan=False), shown)
    (shown / "suite.yaml").write_text(SUITE)
    with pytest.raises(RecordError, match=r"no plan.json among its records, and so no place for the published figures "
                                          r"of suite.yaml. Expected the plan of that suite. `benchbase run` writes it"):
        write_pages(shown)
    (shown / "suite.yaml").write_text("suite: hand\n")
    assert figures(write_pages(shown)) == ()


def curves(folder: Path, run_id: str, values: dict[int, float], name: str = "valid.recall@1") -> None:
    """Give a record a learning curve."""
    record = read_record(folder / "runs" / run_id)
    table = {"epoch": list(values), "name": [name] * len(values), "value": list(values.values())}
    tables = {"events.parquet": record.table("events.parquet"), "curve.parquet": table}
    write_record(record.folder, record.facts, tables)


def test_learning_curves_in_a_line(make: Any) -> None:
    folder = make({("d", "a"): {1: HALF, 2: HALF}, ("d", "b"): {1: HALF}, ("d", "c"): {1: HALF}})
    curves(folder, "000000000001", {1: 0.1, 2: 0.2, 5: 0.4, 10: 0.3})
    curves(folder, "000000000002", {1: 0.3, 2: 0.2, 5: 0.2})
    curves(folder, "000001000001", {1: 0.1, 5: float("nan"), 10: float("inf"), 7: 0.7})
    curves(folder, "000002000001", {1: 0.1}, "train.loss")
    found = make_leaderboard(folder)
    assert [(each.label, each.values, each.last, each.best) for each in found.tables[0].curves] == [
        ("a", {1: pytest.approx(0.2), 5: pytest.approx(0.3)}, pytest.approx(0.25), pytest.approx(0.35)),
        ("b", {1: 0.1}, 0.7, 0.7),
    ]
    page = to_markdown(found)
    assert "| entry | 1 | 5 | last | best |" in page
    assert "| a | 0.2000 | 0.3000 | 0.2500 | 0.3500 |" in page and "| b | 0.1000 |  | 0.7000 | 0.7000 |" in page
    assert "Learning curves" not in to_text(found)
    assert json.loads(to_json(found))["tables"][0]["curves"][1] == {
        "label": "b", "values": {"1": 0.1}, "last": 0.7, "best": 0.7}


def test_curves_are_published_with_the_records(make: Any, tmp_path: Path) -> None:
    folder = make({("d", "a"): {1: HALF}})
    curves(folder, "000000000001", {1: 0.1, 5: 0.2})
    publish_folder(folder, tmp_path / "shown")
    assert (tmp_path / "shown" / "records" / "000000000001" / "curve.parquet").exists()
    assert make_leaderboard(tmp_path / "shown") == make_leaderboard(folder)


def test_without_curves_nothing_is_said_of_them(make: Any) -> None:
    assert "Learning curves" not in to_markdown(board(make))


def test_plan_and_page_are_the_same_bytes_for_the_same_figures(make: Any) -> None:
    found = [board(make, figure(value=0.4), folder=name) for name in ("one", "two")]
    assert to_json(found[0]) == to_json(found[1]) and canonical_json(figure()) == canonical_json(figure())
