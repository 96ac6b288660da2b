"""Every command on a tiny suite: what it prints, as text and as JSON, and how mistakes end."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import benchbase
from benchbase import train
from benchbase.cli import COMMANDS, main
from benchbase.data import DatasetConfig, encode, split
from benchbase.testing.world import tiny_log

Call = Callable[..., Result]


@pytest.fixture
def call(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command here, with the tiny parts installed."""
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv(
        "BENCHBASE_DISABLE",
        ",".join(entry.name for entry in metadata.entry_points(group="benchbase") if not entry.name.endswith("parts")),
    )

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def done(call: Call, write: Any, tmp_path: Path) -> Path:
    """A folder in which the tiny suite is run."""
    result = call("run", write(), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def mistake(result: Result) -> str:
    """A mistake of the user: told without a traceback, status 2."""
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stderr


def test_help_lists_every_command(call: Call) -> None:
    text = good(call("--help"))
    assert all(f"  {name}" in text for name in COMMANDS)
    for name in COMMANDS:
        assert "Usage" in good(call(name, "--help"))
    assert benchbase.__version__ in good(call("--version"))


def test_run_prints_progress_leaderboard_and_what_next(call: Call, write: Any, tmp_path: Path) -> None:
    result = call("run", write(), "--out", tmp_path / "out")
    text = good(result)
    assert "4 runs to do" in result.stderr
    assert "[4/4] tiny_bidirectional · tiny_data · seed 2: ndcg@5 0." in result.stderr
    assert "tiny  4 runs: 4 ok" in text.replace("   ", "  ")
    assert "hr@5 is recall@5" in text and "guards: false" in text
    assert text.splitlines()[-1].startswith("What next: `benchbase compare ")
    again = call("run", write(), "--out", tmp_path / "out")
    assert "0 runs to do; 4 finished before" in again.stderr
    assert good(again) == text


def test_run_as_json(call: Call, write: Any, tmp_path: Path) -> None:
    told = json.loads(good(call("run", write(), "--out", tmp_path / "out", "--only", "seed=1", "--json")))
    assert told["statuses"] == {"ok": 2}
    assert told["leaderboard"]["statuses"] == {"ok": 2, "pending": 2}
    assert told["leaderboard"]["tables"][0]["rows"][0]["flags"] == ["under-trained", "1 of 2 seeds"]


def test_a_run_that_fails_ends_with_1_and_says_what_to_do(
    call: Call, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise ValueError("by accident")

    monkeypatch.setattr(train, "fit", fail)
    suite, only = write(), ("--out", tmp_path / "out", "--only", "label=tiny_c*")
    result = call("run", suite, *only)
    command = f"benchbase run {suite} --out {tmp_path / 'out'} --only 'label=tiny_c*'"
    assert result.exit_code == 1
    assert "failed: ValueError: by accident" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(f"Mend the cause, then `{command} --retry`.")
    retry = f"`{command} --retry` runs those again that did not end well (2)."
    assert good(call("plan", suite, *only)).splitlines()[-1] == f"What next: {retry}"
    whole = good(call("plan", suite, "--out", tmp_path / "out")).splitlines()[-1]
    assert f"`benchbase run {suite} --out {tmp_path / 'out'}` does the 2 runs that are not done; " in whole


def test_an_error_of_ours_keeps_its_traceback(call: Call, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("benchbase.runner.run", fail)
    assert isinstance(call("run", write()).exception, ZeroDivisionError)


def test_plan_lists_every_cell_and_trains_nothing(call: Call, write: Any, tmp_path: Path) -> None:
    suite = write()
    text = good(call("plan", suite, "--out", tmp_path / "out"))
    assert text.count("tiny_causal") == 2 and text.count("pending") == 4
    assert (
        text.splitlines()[-1]
        == f"What next: `benchbase run {suite} --out {tmp_path / 'out'}` does the 4 runs that are not done."
    )
    assert not (tmp_path / "out").exists()
    told = json.loads(good(call("plan", suite, "--only", "tiny_causal,seed=2", "--json")))
    assert [(cell["label"], cell["seed"], cell["action"], cell["state"]) for cell in told["cells"]] == [
        ("tiny_causal", 2, "run", "pending")
    ]


def test_plan_after_the_run(call: Call, write: Any, done: Path) -> None:
    assert f"all is done: `benchbase report {done}`" in good(call("plan", write(), "--out", done))


def test_status(call: Call, done: Path) -> None:
    text = good(call("status", done))
    assert "4 ok" in text and f"`benchbase report {done}`" in text
    told = json.loads(good(call("status", done, "--json")))
    assert told["counts"] == {"ok": 4}
    (done / "runs" / told["runs"][0]["run_id"] / "events.parquet").write_bytes(b"x")
    told = json.loads(good(call("status", done, "--json")))
    assert told["counts"] == {"damaged": 1, "ok": 3}
    assert "checksum differs" in told["runs"][0]["why"]
    assert "--retry" in good(call("status", done))


def test_report_in_every_form(call: Call, done: Path) -> None:
    assert "What next: `benchbase report " in good(call("report", done))
    assert good(call("report", done, "--format", "markdown")).startswith("# tiny\n")
    assert good(call("report", done, "--format", "csv")).startswith("dataset,entry,status,")
    assert json.loads(good(call("report", done, "--json"))) == json.loads(
        good(call("report", done, "--format", "json"))
    )
    assert "less tiny_bidirectional" in good(call("report", done, "--baseline", "tiny_bidirectional"))


def test_report_writes_and_publishes(call: Call, done: Path, tmp_path: Path) -> None:
    assert "Wrote README.md, leaderboard.csv and leaderboard.json to" in good(call("report", done, "--write"))
    assert (done / "README.md").exists()
    good(call("report", done, "--publish", tmp_path / "shown"))
    assert (tmp_path / "shown" / "README.md").read_bytes() == (done / "README.md").read_bytes()
    assert good(call("report", tmp_path / "shown", "--json")) == good(call("report", done, "--json"))
    assert "--baseline goes with printing only" in mistake(call("report", done, "--write", "--baseline", "tiny_causal"))


def test_plots_stand_on_pages_where_they_are_asked_for_and_stay(call: Call, write: Any, tmp_path: Path) -> None:
    entries = [{"label": f"window {size}", "backbone": "tiny_causal", "sequence": {"window": size}} for size in (2, 6)]
    out, shown = tmp_path / "out", tmp_path / "shown"
    good(call("run", write(grid={}, entries=entries), "--out", out))
    good(call("report", out, "--publish", shown))
    assert not list(shown.glob("*.svg")) and "![" not in (shown / "README.md").read_text()
    told = good(call("report", out, "--publish", shown, "--plots"))
    assert "Wrote README.md, leaderboard.csv, leaderboard.json, costs-1.svg and records to" in told
    page, plot = (shown / "README.md").read_text(), (shown / "costs-1.svg").read_bytes()
    assert "](costs-1.svg)" in page and b"window 6" in plot
    (shown / "costs-1.svg").write_bytes(b"old")
    (shown / "costs-7.svg").write_bytes(b"of a table that is no more")
    assert "costs-1.svg to" in good(call("report", shown, "--write"))
    assert (shown / "README.md").read_text() == page and (shown / "costs-1.svg").read_bytes() == plot
    assert not (shown / "costs-7.svg").exists()
    assert "--plots goes with pages" in mistake(call("report", out, "--plots"))


def test_plots_of_entries_that_cost_the_same(call: Call, done: Path) -> None:
    result = call("report", done, "--write", "--plots")
    assert result.exit_code != 0 and "nothing to plot. Expected records that tell of operations" in result.stderr


def test_published_figures_are_shown_and_renewed(call: Call, write: Any, done: Path, tmp_path: Path) -> None:
    figure = {"entry": "tiny_causal", "metric": "ndcg@5", "value": 0.1, "source": "a paper"}
    result = call("run", write(published=[figure]), "--out", done)
    assert "0 runs to do; 4 finished before" in result.stderr
    assert "Published figures" in good(result) and "a paper" in good(call("report", done))
    shown = tmp_path / "shown"
    good(call("report", done, "--publish", shown))
    assert "| a paper |" in (shown / "README.md").read_text()
    (shown / "suite.yaml").write_text(f"suite: tiny\npublished: {json.dumps([{**figure, 'source': 'another'}])}\n")
    assert "a paper" in good(call("report", shown))
    good(call("report", shown, "--write"))
    assert "another" in good(call("report", shown)) and "| another |" in (shown / "README.md").read_text()
    (shown / "suite.yaml").write_text(f"suite: tiny\npublished: {json.dumps([{**figure, 'entry': 'tiny_casual'}])}\n")
    assert f"{shown}/suite.yaml:2: published[0].entry: no configuration is called 'tiny_casual'. Did you mean " in (
        mistake(call("report", shown, "--write"))
    )


def test_report_tells_of_other_code_on_stderr_only(call: Call, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbase.runner import provenance

    before = good(call("report", done, "--json"))
    monkeypatch.setattr(provenance, "_core", lambda: "edited")
    result = call("report", done, "--json")
    assert "(core differs)" in result.stderr
    assert result.stdout == before


def test_compare(call: Call, done: Path) -> None:
    text = good(call("compare", done, "tiny_causal", "tiny_bidirectional", "--matters", "9"))
    assert "A: tiny_causal" in text and "too small to matter" in text and "p randomised" in text
    assert "backbone" in text and "tiny_bidirectional[" in text
    told = json.loads(good(call("compare", done, "tiny_causal", "tiny_bidirectional", "--json")))
    assert told["factors"][0][0] == "backbone"
    assert {pair["metric"] for pair in told["pairs"]} == {"ndcg@5", "hr@5"}


def test_plugins_lists_parts_and_quarantine(call: Call) -> None:
    text = good(call("plugins"))
    assert "tiny_causal" in text and "brokenparts 1.0" in text and "no_such_module" in text
    told = json.loads(good(call("plugins", "--kind", "backbone", "--json")))
    assert [part["name"] for part in told["parts"]] == ["tiny_bidirectional", "tiny_causal"]
    assert told["parts"][0] == {
        "kind": "backbone",
        "name": "tiny_bidirectional",
        "distribution": "tinyparts",
        "version": "1.0",
        "source": "benchbase.testing",
    }
    (broken,) = told["quarantined"]
    assert broken["plugin"] == "brokenparts" and "ModuleNotFoundError" in broken["traceback"]
    assert "No plugin offers a part." in good(call("plugins", "--kind", "recommender"))
    assert "--kind backbon: no such kind. Did you mean 'backbone'?" in mistake(call("plugins", "--kind", "backbon"))


def test_data(call: Call) -> None:
    assert "tiny_data" in good(call("data", "list"))
    assert json.loads(good(call("data", "list", "--json")))[0]["licence"] == "CC0-1.0"
    assert "leave_one_out" not in good(call("data", "card", "tiny_data"))
    assert "leak share" in good(call("data", "card", "tiny_data", "--split", "leave_one_out"))
    card = json.loads(good(call("data", "card", "tiny_data[min_item_events=9]", "--data-seed", "3", "--json")))
    assert card["config"]["min_item_events"] == 9 and card["data_seed"] == 3
    drawn = ("--split", "user_holdout[test=0.4]", "--data-seed", "3", "--json")
    held_out = good(call("data", "card", "tiny_data", *drawn))
    events = encode(tiny_log(seed=3), DatasetConfig(), 3)[:2]
    right, wrong = (split(*events, {"name": "user_holdout", "test": 0.4}, seed=seed).facts for seed in (3, 0))
    assert json.loads(held_out)["splits"]["user_holdout"] == right != wrong
    assert "24 users, 30 items" in good(call("data", "prepare", "tiny_data", "--refresh"))
    assert json.loads(good(call("data", "prepare", "tiny_data", "--json")))["users"] == 24


@pytest.mark.parametrize(("arguments", "message"), [
    (["run", "no.yaml"], "Error: no.yaml: cannot be read: No such file or directory"),
    (["plan", "no.yaml"], "Error: no.yaml: cannot be read"),
    (["status", "nowhere"], "Error: nowhere: no such folder. Expected one that `benchbase run` wrote."),
    (["report", "nowhere"], "Error: nowhere: no such folder."),
    (["compare", "nowhere", "a", "b"], "Error: nowhere: no such folder."),
    (["data", "card", "tiny_dat"], "dataset.name: no dataset named 'tiny_dat'. Did you mean 'tiny_data'?"),
    (["data", "card", "tiny_data[x=1]"], "dataset.x: unknown parameter. Parameters: "),
    (["data", "prepare", "tiny_data[x"], "dataset: 'tiny_data[x' is no part. Expected name or name[parameter=value"),
    (["data", "card", "tiny_data", "--split", "half"], "split.name: no split named 'half'. Splits: "),
    (["data", "card", "tiny_data", "--split", "user_holdout[test=2]"], "split.test: is 2. Expected less than 1 (Share"),
    (["data", "fetch", "tiny_data"], "dataset tiny_data: it cannot be fetched. Expected one that can"),
    (["run"], "Missing argument 'SUITE'"),
    (["ru"], "No such command 'ru'"),
    (["report", "x", "--format", "pdf"], "'pdf' is not one of"),
    (["report", "x", "--write", "--publish", "y"], "--write and --publish: expected one of them."),
])  # fmt: skip
def test_mistakes_are_told_without_a_traceback(call: Call, arguments: list[str], message: str) -> None:
    text = mistake(call(*arguments))
    assert message in text
    assert "Traceback" not in text


def test_every_mistake_of_a_suite_at_once(call: Call, write: Any) -> None:
    suite = write(grid={"backbone": ["tiny_casual"]}, train={"epoch": 3}, seeds=["x"])
    text = mistake(call("run", suite))
    assert text.count(f"{suite}:") == 3
    assert "Did you mean 'tiny_causal'?" in text


def test_an_empty_folder_and_a_folder_of_another_suite(call: Call, write: Any, done: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no plan.json in it" in mistake(call("status", tmp_path / "empty"))
    assert "no records in it" in mistake(call("report", tmp_path / "empty"))
    assert "holds runs of the suite 'tiny', not of 'other'" in mistake(call("run", write(suite="other"), "--out", done))
    assert "--only zz: selects no run" in mistake(call("run", write(), "--only", "zz"))


def test_fetch_prints_what_was_fetched(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from benchbase.testing import world

    fetched = replace(world.tiny_data, fetch=lambda config, context: [Path("/x/a.csv")])
    monkeypatch.setattr(world, "tiny_data", fetched)
    assert "/x/a.csv" in good(call("data", "fetch", "tiny_data"))
    assert json.loads(good(call("data", "fetch", "tiny_data", "--json")))["files"] == ["/x/a.csv"]


def test_json_stands_alone_on_stdout_whatever_plugins_print(
    call: Call, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = train.fit

    def loud(*given: Any) -> Any:
        print("a plugin speaks")
        return fit(*given)

    monkeypatch.setattr(train, "fit", loud)
    result = call("run", write(seeds=[1]), "--out", tmp_path / "out", "--json")
    assert json.loads(good(result))["statuses"] == {"ok": 2}
    assert "a plugin speaks" in result.stderr
    assert "a plugin speaks" in good(call("run", write(seeds=[2]), "--out", tmp_path / "other"))


def test_a_file_name_is_never_read_as_a_suite(call: Call, write: Any, tmp_path: Path) -> None:
    path = tmp_path / "my: suite.yaml"
    write().rename(path)
    assert "tiny_causal" in good(call("plan", path))
    assert "no: file.yaml: cannot be read: No such file" in mistake(call("plan", "no: file.yaml"))


def test_a_terminal_that_knows_few_characters_stops_no_command(
    done: Path, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for form in ("text", "markdown"):
        status, printed, errors = finish(start("report", done, "--format", form))
        assert (status, errors) == (0, "") and "tiny_causal" in printed


def test_a_disabled_plugin_that_is_not_there_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_DISABLE", "brokenparts, tinypart")
    result = call("plugins")
    assert result.exit_code == 0
    assert "Note: BENCHBASE_DISABLE names 'tinypart', which is no installed plugin." in result.stderr
    assert "brokenparts'" not in result.stderr
