"""The line that tells the protocol says how sequences are cut for training wherever that is not the usual way."""

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
