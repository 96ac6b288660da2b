"""Accuracy against operations: who is on the front, what stands on the page, and that older records have none."""

from typing import Any

import numpy as np
import pytest

from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.costs import costs_of
from benchbase.leaderboard.files import to_csv, to_markdown
from benchbase.leaderboard.text import to_text

COST = {"prepare_seconds": 1.0, "train_seconds": 60.0, "rank_seconds": 1.0, "peak_memory_bytes": 2**20,
        "parameters": 1000, "tokens_per_sequence": 3.0}
RIGHT = {"short": 20, "long": 30, "worse for more": 25, "as good for less": 30, "compressed": 26}
FLOPS = {"short": 1e6, "long": 4e6, "worse for more": 5e6, "as good for less": 3e6, "compressed": 1.5e6}
HISTORY = {"history_events_per_sequence": 120.5, "history_tokens_per_sequence": 7.25}


def above(right: int) -> Any:
    """Counts of 50 users, of whose targets so many are first."""
    return np.array([0] * right + [20] * (50 - right))


def board_of(make: Any, flops: Any = FLOPS, **changes: Any) -> Any:
    facts = {("d", label): {"cost": {**COST, **({"flops_per_sequence": flops[label]} if label in flops else {}),
                                     **(HISTORY if label == "compressed" else {})}} for label in RIGHT}
    return make_leaderboard(make({("d", label): {1: above(n), 2: above(n)} for label, n in RIGHT.items()}, facts=facts,
                                 **changes))


def test_on_the_front_nobody_else_is_as_good_for_less_or_better_for_as_little(make: Any) -> None:
    found = costs_of(board_of(make).tables[0].rows, "recall@1")
    assert [each.label for each in found] == ["short", "compressed", "as good for less", "long", "worse for more"]
    assert [each.label for each in found if each.front] == ["short", "compressed", "as good for less"]
    assert found[1].history == (120.5, 7.25) and found[0].history is None


def test_less_is_better_where_the_metric_says_so(make: Any) -> None:
    from dataclasses import replace

    rows = [replace(row, metrics={"ne": row.metrics["recall@1"]}) for row in board_of(make).tables[0].rows]
    assert [each.label for each in costs_of(rows, "ne") if each.front] == ["short"]


def test_the_page_tells_of_operations_tokens_and_history(make: Any) -> None:
    board = board_of(make)
    page = to_markdown(board)
    assert "Accuracy and cost: operations and tokens of a sequence:" in page
    assert "| compressed | 0.5200 | 1.5 M | 1.50 | 3.0 | 120.5 in 7.2 | yes |" in page
    assert "| long | 0.6000 | 4 M | 4.00 | 3.0 |  |  |" in page
    assert "Operations: those of the products of one forward pass" in page
    assert "120.5 in 7.2" in to_text(board, width=140)
    assert "cost.flops_per_sequence" in to_csv(board).splitlines()[0]


@pytest.mark.parametrize("flops", [{}, {"short": 1e6}, dict.fromkeys(RIGHT, 1e6)])
def test_records_that_do_not_tell_or_do_not_differ_have_no_sheet(make: Any, flops: Any) -> None:
    page = to_markdown(board_of(make, flops))
    assert "Accuracy and cost" not in page and "Operations: those" not in page


def test_older_records_have_the_columns_they_had(make: Any) -> None:
    assert "per_sequence" not in to_csv(board_of(make, {}))
