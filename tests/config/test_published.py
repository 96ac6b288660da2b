"""Published figures in a suite: read with every mistake at its line, and no part of what is asked."""

from pathlib import Path
from typing import Any

import pytest

from benchbase.config import Published, load_suite, read_published, run_id
from benchbase.errors import ConfigError

FIGURE = {"entry": "plain", "metric": "ndcg@10", "value": 0.18, "source": "its README"}
TEXT = """\
suite: x
datasets: ["files[path=a.txt]"]
protocol: {split: leave_one_out, metrics: [ndcg@10, recall@10]}
base: {backbone: plain, objectives: [softmax]}
published:
  - {entry: plain, metric: ndcg@10, value: 0.18, band: [0.17, 0.19], source: "a/b, README", protocol: "full ranking"}
  - {entry: plain, metric: recall@10, band: [0, 1], source: s, ranking: sampled, url: "https://a.org/b?c=d#e"}
"""


def test_figures_are_read(registry: Any) -> None:
    first, second = load_suite(TEXT, registry).published
    assert (first.entry, first.metric, first.value, first.band) == ("plain", "ndcg@10", 0.18, (0.17, 0.19))
    assert (first.source, first.protocol, first.ranking, first.url) == ("a/b, README", "full ranking", "full", None)
    assert (second.value, second.band, second.ranking) == (None, (0.0, 1.0), "sampled")
    assert second.url == "https://a.org/b?c=d#e"


def test_they_are_no_part_of_a_run_and_survive_the_canonical_form(registry: Any) -> None:
    suite, bare = load_suite(TEXT, registry), load_suite(TEXT.partition("published")[0], registry)
    (configuration,) = suite.configurations(registry)
    assert run_id(configuration, suite, "h", 1) == run_id(configuration, bare, "h", 1)
    assert "published" not in bare.canonical()
    again = load_suite(suite.canonical(), registry)
    assert again.published == suite.published and again == suite


def test_without_the_key_there_are_none(suite: Any) -> None:
    assert suite().published == () == suite(published=[]).published


@pytest.mark.parametrize(("changes", "problem"), [
    ({"entry": "plian"}, "published[0].entry: no configuration is called 'plian'. Did you mean 'plain'? "
                         "Labels: plain."),
    ({"metric": "ndcg@5"}, "published[0].metric: the leaderboard does not show 'ndcg@5'. Did you mean 'ndcg@10'? "
                           "Metrics: mrr@10, ndcg@10, recall@10."),
    ({"dataset": "fils"}, "published[0].dataset: no data set is called 'fils'. Did you mean 'files'? "
                          "Data sets: files."),
    ({"value": 18.2}, "published[0].value: is 18.2. Expected less than or equal to 1 (the figure itself, a share of 1 "
                      "and no percentage)."),
    ({"value": "0.18"}, "published[0].value: is '0.18'. Expected a valid number (the figure itself, a share of 1 and "
                        "no percentage)."),
    ({"band": [0.3, 0.2]}, "published[0].band: goes from 0.3 to 0.2. Expected the lower end first. Swap them."),
    ({"band": [0.3, 30]}, "published[0].band[1]: is 30. Expected less than or equal to 1 (lowest and highest figure "
                          "that would agree with it, shares of 1)."),
    ({"band": [0.3]}, "published[0].band[1]: missing. Expected a value (lowest and highest figure that would agree "
                      "with it, shares of 1)."),
    ({"value": None}, "published[0]: has neither value nor band. Expected one of them, or both."),
    ({"source": ...}, "published[0].source: missing. Expected a value (who reports it, and where)."),
    ({"source": "a\nb"}, "published[0].source: 'a\\nb' is no line of text. Expected printable text on one line, "
                         "without spaces at its ends."),
    ({"protocol": " x"}, "published[0].protocol: ' x' is no line of text. Expected printable text on one line, "
                         "without spaces at its ends."),
    ({"ranking": "ful"}, "published[0].ranking: is 'ful'. Expected 'full' or 'sampled' (whether all items were ranked, "
                         "or a sample)."),
    ({"sorce": "x"}, "published[0].sorce: unknown parameter. Did you mean 'source'? Parameters: band, dataset, entry, "
                     "metric, protocol, ranking, source, url, value."),
])  # fmt: skip
def test_mistakes(problems: Any, changes: dict[str, Any], problem: str) -> None:
    figure = {key: value for key, value in {**FIGURE, **changes}.items() if value is not ...}
    assert problems(published=[figure]) == [problem]


@pytest.mark.parametrize("url", ["a.org", "javascript:x", "https://a b", "https://a)](b", "https://a|b", "http://<b>"])
def test_an_address_is_one_that_a_page_can_show(problems: Any, url: str) -> None:
    (problem,) = problems(published=[{**FIGURE, "url": url}])
    assert problem.startswith(f"published[0].url: is {url!r}. Expected one that should match pattern '^https?://")


@pytest.mark.parametrize(("value", "problem"), [
    ({"entry": "plain"}, "published: is a mapping. Expected a list of {entry: ..., metric: ..., value: ..., source: "
                         "...}."),
    (["x"], "published[0]: is 'x'. Expected a mapping of entry, metric, value, band, source, protocol, ranking, url, "
            "dataset."),
    ([{**FIGURE, "band": 3}], "published[0].band: is 3. Expected a list (lowest and highest figure that would agree "
                              "with it, shares of 1)."),
])  # fmt: skip
def test_what_is_no_list_of_figures(problems: Any, value: Any, problem: str) -> None:
    assert problems(published=value) == [problem]


def test_metrics_of_the_action_task_are_in_the_table_too(problems: Any, suite: Any) -> None:
    protocol = {"split": "leave_one_out", "tasks": ["action"], "metrics": ["ne", "auc.like"]}
    assert problems(protocol=protocol, published=[{**FIGURE, "metric": "auc"}]) == [
        "published[0].metric: the leaderboard does not show 'auc'. Metrics: auc.like, ne."
    ]
    assert suite(protocol=protocol, published=[{**FIGURE, "metric": "auc.like"}]).published[0].metric == "auc.like"


def test_of_several_data_sets_one_is_named(problems: Any, suite: Any) -> None:
    datasets = ["files[path=a]", "files[path=b]"]
    assert problems(datasets=datasets, published=[FIGURE]) == [
        "published[0].dataset: missing. Expected one of the suite's data sets: files[path=a], files[path=b]."
    ]
    assert suite(datasets=datasets, published=[{**FIGURE, "dataset": "files[path=b]"}]).published[0].dataset


def test_mistakes_come_with_their_lines_and_with_all_others(problems: Any, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    for changes, expected in (
        ((("0.17, 0.19", "0.19, 0.17"), ("softmax", "softmx")), ["4: base.objectives[0].name", "6: published[0].band"]),
        ((("plain, metric: n", "p, metric: n"), ("metric: recall@10", "metric: x")),
         ["6: published[0].entry", "7: published[1].metric"]),
    ):
        text = TEXT
        for old, new in changes:
            text = text.replace(old, new)
        path.write_text(text)
        found = [problem.removeprefix(f"{path}:") for problem in problems(path)]
        assert [": ".join(problem.split(": ")[:2]) for problem in found] == expected


def test_figures_alone_are_read_without_any_plugin(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(TEXT)
    figures = read_published(path, ["plain"], ["ndcg@10", "recall@10"], ["files"])
    assert [(each.metric, each.value) for each in figures] == [("ndcg@10", 0.18), ("recall@10", None)]
    assert all(isinstance(each, Published) for each in figures)
    with pytest.raises(ConfigError) as told:
        read_published(path, ["plains"], ["ndcg@10"], ["d", "e"])
    assert [text.removeprefix(f"{path}:").partition(". ")[0] for text in told.value.problems] == [
        "6: published[0].entry: no configuration is called 'plain'",
        "6: published[0].dataset: missing",
        "7: published[1].entry: no configuration is called 'plain'",
        "7: published[1].metric: the leaderboard does not show 'recall@10'",
        "7: published[1].dataset: missing",
    ]
    path.write_text("published: 3\n")
    with pytest.raises(ConfigError, match=r"suite.yaml:1: published: is 3. Expected a list of"):
        read_published(path, [], [], [])
    for text in ("suite: x\n", "- a\n", "# nothing\n"):
        path.write_text(text)
        assert read_published(path, [], [], []) == ()
