"""Records that come from anyone: what is wrong with one is told by its name, and costs the others nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbase.leaderboard import load_folder, load_records, make_leaderboard
from benchbase.leaderboard.publish import publish_folder
from benchbase.runner.records import read_record, write_record

FIRST = "000000000001"


@pytest.fixture
def folder(make: Any, above: Any) -> Path:
    figure = {"entry": "a", "metric": "recall@1", "value": 0.3, "band": [0.2, 0.4], "source": "s", "url": "http://a.b"}
    runs = {("d", "a"): {1: above(0.3, 1)}, ("d", "b"): {1: above(0.4, 2)}}
    made: Path = make(runs, published=[figure])
    return made


def left_out(folder: Path, tmp_path: Path) -> str:
    """Why the first record is left out; the report of the rest, the data frame and the published form all stand."""
    board = make_leaderboard(folder)
    assert {row.label: row.status for row in board.tables[0].rows} == {"a": "damaged", "b": "ok"}
    assert load_records(folder).set_index("label")["status"].to_dict() == {"a": "damaged", "b": "ok"}
    publish_folder(folder, tmp_path / "shown")
    (note,) = (note for note in board.notes if f"record {FIRST} is left out" in note)
    return note


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], **facts: Any) -> None:
    """Change the counts of the first record, with checksums that agree."""
    record = read_record(folder / "runs" / FIRST)
    events = {name: np.array(column) for name, column in record.table("events.parquet").items()}
    change(events)
    write_record(record.folder, {**record.facts, **facts}, {"events.parquet": events})


def negative(events: dict[str, Any]) -> None:
    events["above"][:] = -1


def too_many(events: dict[str, Any]) -> None:
    events["tied"][:] = 2**31 - 1


def few_candidates(events: dict[str, Any]) -> None:
    events["candidates"][0] = events["above"][0]
    events["tied"][0] = 1


def more_than_items(events: dict[str, Any]) -> None:
    events["candidates"][0] = 101


def no_user(events: dict[str, Any]) -> None:
    events["user"][0] = -3


def beyond(events: dict[str, Any]) -> None:
    events["user"] += 1


def twice(events: dict[str, Any]) -> None:
    events["user"][0] = events["user"][1]


def none(events: dict[str, Any]) -> None:
    for name in events:
        events[name] = events[name][:0]


def early(events: dict[str, Any]) -> None:
    events["event"][0] = -1


@pytest.mark.parametrize(("change", "told"), [
    (negative, "it has impossible counts. Expected above + tied below candidates"),
    (too_many, "it has impossible counts"),
    (few_candidates, "it has impossible counts"),
    (more_than_items, "it has more than 100 candidates. Expected items of the data"),
    (no_user, "it has users outside of 0 to 49. Expected rows of the prepared data"),
    (beyond, "it has users outside of 0 to 49"),
    (twice, "it counts an event twice. Expected each event once"),
    (none, "it has no event. Expected at least one"),
    (early, "it has events before the first one"),
])  # fmt: skip
def test_impossible_counts_damage_their_record_alone(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    rewrite(folder, change)
    note = left_out(folder, tmp_path)
    assert f"{FIRST}/events.parquet: {told}" in note and "Remove the record and run again." in note


def test_a_target_that_is_no_candidate_is_a_miss_no_damage(folder: Path) -> None:
    def miss(events: dict[str, Any]) -> None:
        events["above"][:] = events["candidates"]

    rewrite(folder, miss)
    assert load_folder(folder).damaged == {}


def test_a_metric_takes_the_place_of_no_other_column(folder: Path) -> None:
    rewrite(folder, lambda events: None, metrics={"label": 0.5, "status": 1.0, "recall@1": 0.25})
    frame = load_records(folder)
    assert frame["label"].tolist() == ["a", "b"] and frame["status"].tolist() == ["ok", "ok"]
    assert frame["recall@1"][0] == 0.25


WRONG = (None, "x", -1, 10**30, [], {"a": 1}, "gone")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new == "gone":
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", [f"{FIRST}/record.json", "plan.json"])
def test_no_wrong_value_anywhere_makes_a_report_stumble(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from benchbase.errors import BenchbaseError
    from benchbase.leaderboard import table
    from benchbase.leaderboard.files import to_csv, to_json, to_markdown
    from benchbase.runner.provenance import differing

    monkeypatch.setattr(table, "RESAMPLES", 2)
    target = folder / "runs" / name
    before = json.loads(target.read_text())
    for path in places(before)[1:]:
        for new in WRONG:
            target.write_text(json.dumps(changed(before, path, new)))
            try:
                read = load_folder(folder)
                board = make_leaderboard(read)
                for form in (to_markdown, to_csv, to_json):
                    form(board)
                for record in read.records:
                    differing(record.facts)
            except BenchbaseError:
                continue
            except Exception as error:
                raise AssertionError(f"{'.'.join(map(str, path))} = {new!r}") from error
