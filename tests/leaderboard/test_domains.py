"""Means and corrected tests within each domain of the targets."""

from typing import Any

import numpy as np
import pytest

from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.files import to_json, to_markdown
from benchbase.leaderboard.text import to_text
from benchbase.stats import crossed_test, holm, seed_differences

WHERE = np.array([0] * 20 + [2] * 29 + [-1])
"""The domain of each user's target: some in the first, some in the third, one of no domain."""

NAMES = ["books", "empty", "toys"]


def folder(make: Any, runs: Any, **more: Any) -> Any:
    return make(runs, domain=WHERE, domains=NAMES, **more)


def test_each_domain_has_its_means_and_its_tests(make: Any, above: Any) -> None:
    base = {seed: above(0.3, seed) for seed in (1, 2, 3)}
    other = {seed: np.where(WHERE == 2, above(0.95, 10 + seed), above(0.3, seed)) for seed in (1, 2, 3)}
    board = make_leaderboard(folder(make, {("d", "plain"): base, ("d", "apart"): other}))
    found = board.tables[0].domains
    assert found is not None and found.names == ("books", "toys") and found.users == found.events == (20, 29)
    assert found.tests == 2
    expected = []
    for place, code in enumerate((0, 2)):
        hits = [np.array([np.asarray(each[seed])[code == WHERE] == 0 for seed in (1, 2, 3)], float)
                for each in (base, other)]
        plain, apart = (found.entries[label][place] for label in ("plain", "apart"))
        assert plain.mean == pytest.approx(hits[0].mean()) and plain.p is None and plain.verdict == ""
        assert apart.mean == pytest.approx(hits[1].mean())
        test = crossed_test(seed_differences(hits[1], hits[0]), 0.95)
        assert (apart.difference, apart.p) == pytest.approx((test.mean, test.p))
        expected.append(test.p)
    assert [found.entries["apart"][place].p_holm for place in (0, 1)] == pytest.approx(holm(expected).tolist())
    assert [each.verdict for each in found.entries["apart"]] == ["no difference shown", "better"]


def test_the_sheet_tells_users_events_and_differences(make: Any) -> None:
    half, all_ = np.where(np.arange(50) % 2, 0, 50), np.zeros(50)
    place = folder(make, {("d", "plain"): {1: half, 2: half}, ("d", "apart"): {1: all_, 2: all_}})
    page = to_markdown(make_leaderboard(place))
    assert "By domain of the target, recall@1 (less plain; p corrected over 2 tests):" in page
    assert "| domain | users | events | plain | apart |" in page
    line = next(line for line in page.splitlines() if line.startswith("| toys |"))
    assert line.startswith("| toys | 29 | 29 | 0.4828 | 1.0000 (+0.5172, p ")
    assert "By domain of the target" in to_text(make_leaderboard(place), 200)
    assert '"verdict": "better"' in to_json(make_leaderboard(place))


def test_without_a_baseline_there_are_means_alone(make: Any) -> None:
    place = folder(make, {("d", "plain"): {1: np.zeros(50)}, ("d", "apart"): {1: np.zeros(50)}}, baseline=None)
    page = to_markdown(make_leaderboard(place))
    assert "By domain of the target, recall@1:" in page and "| books | 20 | 20 | 1.0000 | 1.0000 |" in page


@pytest.mark.parametrize("where", [WHERE * 0, WHERE * 0 - 1])
def test_one_domain_or_none_is_no_sheet(make: Any, where: Any) -> None:
    runs = {("d", "plain"): {1: np.zeros(50)}}
    board = make_leaderboard(make(runs, domain=where, domains=NAMES))
    assert board.tables[0].domains is None and "By domain" not in to_markdown(board)


def test_a_record_without_names_has_no_sheet(make: Any) -> None:
    board = make_leaderboard(make({("d", "plain"): {1: np.zeros(50)}}, domain=WHERE))
    assert board.tables[0].domains is None
