"""Card: the numbers are those of the data, it is plain JSON, and its text shows them."""

import json
from pathlib import Path

import numpy as np

from benchbase.data import DatasetConfig, ItemTable, Log, find_file, prepare, render, split, with_split
from benchbase.specs import Config, DataContext, DatasetSpec


class PathConfig(DatasetConfig):
    path: Path = Path("toy.txt")


def build(config, context):
    user, item = np.array([1, 1, 1, 2, 2, 2]), np.array([1, 1, 2, 1, 3, 2])
    return Log(
        user,
        item,
        np.array([9, 9, 86_400, 5, 6, 7]),
        {"stars": item},
        {"speed": item},
        ItemTable(
            np.array([1, 9]), {"genre": [("a",), ("b",)]}, {"year": np.array([1, 2])}, np.array(["films", "films"])
        ),
        removed={"low rating": 4, "nothing": 0},
        facts={"note": "by hand"},
    )


SPEC = DatasetSpec(
    name="toy",
    config=PathConfig,
    build=build,
    source="a test",
    licence="free",
    files=lambda config, context: [find_file(context, config.path)],
)


def card(tmp_path):
    (tmp_path / "toy.txt").write_text("content")
    prepared = prepare(SPEC, PathConfig(path=tmp_path / "toy.txt"), DataContext(cache=tmp_path / "cache"))
    facts = split(prepared.interactions, prepared.catalogue, "leave_one_out").facts
    return with_split(prepared.card, facts), prepared


def test_the_card_counts_what_is_there(tmp_path):
    found, prepared = card(tmp_path)
    assert (found["users"], found["items"], found["events"], found["density"]) == (2, 3, 6, 1.0)
    assert found["events_per_user"] == {"min": 3, "q25": 3, "median": 3, "q75": 3, "max": 3, "mean": 3}
    assert found["events_per_item"]["max"] == 3
    assert found["time_span"] == [5, 86_400]
    assert found["tie_share"] == 1 / 6
    assert found["repeated_pairs"] == 1
    assert found["removed"]["low rating"] == 4
    assert (found["listed_items_without_events"], found["items_not_listed"]) == (1, 2)
    assert found["hash"] == prepared.hash
    assert found["splits"]["leave_one_out"]["leak_share"] == 0.5


def test_the_card_is_json_and_names_files_without_folders(tmp_path):
    found, _ = card(tmp_path)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["files"] == [
        {"name": "toy.txt", "bytes": 7, "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}
    ]
    assert found["config"]["path"] == "toy.txt"
    assert str(tmp_path) not in json.dumps(found)


class Table(Config):
    path: Path


class DeepConfig(PathConfig):
    table: Table
    by_name: dict[str, Path]
    more: tuple[Table, ...] = ()
    loose: frozenset[Path] = frozenset()


def test_paths_lose_their_folders_at_any_depth(tmp_path):
    (tmp_path / "toy.txt").write_text("content")
    path = tmp_path / "deep" / "items.csv"
    config = DeepConfig(
        path=tmp_path / "toy.txt", table={"path": path}, more=({"path": path},), by_name={"a": path}, loose={path}
    )
    spec = DatasetSpec(
        name="toy",
        config=DeepConfig,
        build=build,
        source="a test",
        licence="free",
        files=lambda config, _: [config.path],
    )
    shown = prepare(spec, config, DataContext(cache=tmp_path / "cache")).card
    assert {name: shown["config"][name] for name in ("table", "more", "by_name", "loose")} == {
        "table": {"path": "items.csv"},
        "more": [{"path": "items.csv"}],
        "by_name": {"a": "items.csv"},
        "loose": ["items.csv"],
    }
    assert str(tmp_path) not in json.dumps(shown)
    assert str(tmp_path) not in render(shown)


def test_the_text_shows_the_facts(tmp_path):
    text = render(card(tmp_path)[0])
    for expected in (
        "toy: 2 users, 3 items, 6 events (density 100.000%)",
        "4 events: low rating",
        "note:             by hand",
        "1970-01-01 to 1970-01-02",
        "16.67% of events share",
        "1 events repeat",
        "genre (1)",
        "licence:",
        "split leave_one_out: train 2, valid 2, test 2, unused 0; leak share 50.00%",
        "sha256 ed7002b4",
        "models learn from the future",
        "1 listed items have no events",
        "2 items with events are not",
    ):
        assert expected in text
    assert "nothing" not in text


def test_the_text_says_who_is_held_out(tmp_path):
    found, prepared = card(tmp_path)
    assert "held-out" not in render(found)
    facts = split(prepared.interactions, prepared.catalogue, {"name": "user_holdout", "valid": 0}).facts
    text = render(with_split(prepared.card, facts))
    assert "split user_holdout: train 3, valid 0, test 1, unused 2; leak share" in text
    assert "held-out users:   valid 0, test 1; nothing is learned from them, their unused events are only read" in text


def test_the_text_says_when_there_are_no_timestamps(tmp_path):
    spec = DatasetSpec(
        name="bare",
        config=DatasetConfig,
        source="a test",
        build=lambda config, context: Log(np.ones(3, int), np.arange(3)),
    )
    prepared = prepare(spec, DatasetConfig(), DataContext(cache=tmp_path))
    facts = split(prepared.interactions, prepared.catalogue, "leave_one_out").facts
    text = render(with_split(prepared.card, facts))
    assert "no timestamps" in text
    assert "leak share not known" in text
