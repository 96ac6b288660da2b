"""The line that tells the protocol says how sequences are cut for training wherever that is not the usual way."""

import json
from typing import Any

import pytest

from benchbase.leaderboard import make_leaderboard

TRAIN = {"epochs": 7, "patience": 2, "threads": 1}


def board(make: Any, above: Any, **train: Any) -> Any:
    facts = {("d", "a"): {"train": TRAIN | train}}
    return make_leaderboard(make({("d", "a"): {1: above(0.3, 1)}}, facts=facts))


@pytest.mark.parametrize("train", [{}, {"windows": "last"}])
def test_the_usual_windows_go_without_saying(make: Any, above: Any, train: dict[str, str]) -> None:
    line = board(make, above, **train).tables[0].protocol
    assert "window 9; full ranking" in line and "training windows" not in line


@pytest.mark.parametrize("windows", ["chunks", "slide[stride=25]"])
def test_other_windows_are_told(make: Any, above: Any, windows: str) -> None:
    line = board(make, above, windows=windows).tables[0].protocol
    assert f"; window 9; training windows {windows}; full ranking" in line


def test_how_seldom_the_valid_part_is_ranked_is_told(make: Any, above: Any) -> None:
    """Patience counts evaluations."""
    assert "at most 7 epochs, patience 2, 1 thread" in board(make, above, eval_every=1).tables[0].protocol
    line = board(make, above, eval_every=5).tables[0].protocol
    assert "at most 7 epochs, valid part ranked every 5 epochs, patience 2, 1 thread" in line


def test_windows_of_a_record_are_text(make: Any, above: Any) -> None:
    (row,) = board(make, above, windows=3).tables[0].rows
    assert row.status == "damaged"


@pytest.mark.parametrize(("epochs", "passes"), [(1, ""), (3, ", 3 passes")])
def test_how_a_stream_is_learned_from_is_told(make: Any, above: Any, epochs: int, passes: str) -> None:
    split = {"name": "prequential", "periods": 20, "lr": 0.3, "momentum": 0.9, "batch": 64, "epochs": epochs}
    place = make({("d", "a"): {1: above(0.3, 1)}}, facts={("d", "a"): {"train": TRAIN}})
    path, = (place / "runs").glob("*/record.json")
    facts = json.loads(path.read_text())
    facts["protocol"]["split"] = split
    path.write_text(json.dumps(facts))
    line = make_leaderboard(place).tables[0].protocol
    assert (f"split prequential in 20 periods, each learned from by SGD (lr 0.3, momentum 0.9, batches of 64{passes}); "
            "targets") in line


@pytest.mark.parametrize(("split", "reason"), [
    ({"periods": "many"}, "protocol.split.periods is 'many'"),
    ({"periods": 5, "lr": 0.1, "momentum": 0.9}, "it has periods, but no batch. Expected how they are learned from"),
])
def test_a_stream_that_does_not_say_how_is_a_damaged_record(make: Any, above: Any, split: Any, reason: str) -> None:
    place = make({("d", "a"): {1: above(0.3, 1)}}, facts={("d", "a"): {"train": TRAIN}})
    path, = (place / "runs").glob("*/record.json")
    facts = json.loads(path.read_text())
    facts["protocol"]["split"] = {"name": "prequential", **split}
    path.write_text(json.dumps(facts))
    (row,) = make_leaderboard(place).tables[0].rows
    assert row.status == "damaged"
