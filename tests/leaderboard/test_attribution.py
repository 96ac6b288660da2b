"""Which part earned it, from records of a grid whose gains are known."""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from benchbase.leaderboard import Leaderboard, make_leaderboard
from benchbase.leaderboard.attribution import Attribution
from benchbase.leaderboard.files import to_csv, to_json, to_markdown
from benchbase.leaderboard.text import to_text
from benchbase.stats import contrast_test

GAIN = {"b1": 0.0, "b2": 0.2, "softmax": 0.0, "bce": -0.1, "bpr": 0.1}
BOTH = {("b2", "bpr"): 0.3}
"""What two parts gain together beyond the sum."""

SEEDS, USERS = (1, 2, 3), 200


def configuration(backbone: str, objective: str) -> dict[str, Any]:
    usual = {"backbone": {"name": backbone, "width": 8}, "objectives": [{"name": objective, "weight": 1.0}]}
    return {**usual, "modifiers": [], "label": "", "ablate": False}


@pytest.fixture
def grid(make: Any) -> Callable[..., Any]:
    """Records of backbones times objectives, seeds lucky or not; `more`: label -> configuration of further entries."""

    def grid(backbones: str = "b1 b2", objectives: str = "softmax bce bpr", more: Mapping[str, Any] | None = None,
             without: tuple[str, ...] = (), facts: Mapping[str, Any] | None = None, **heads: Any) -> Any:
        runs: dict[Any, Any] = {}
        chosen: dict[Any, Any] = {}
        rng, taste = np.random.default_rng(3), np.random.default_rng(4).random(USERS)
        cells = {f"{b}-{o}": (configuration(b, o), 0.3 + GAIN[b] + GAIN[o] + BOTH.get((b, o), 0))
                 for b, o in itertools.product(backbones.split(), objectives.split())}
        cells |= {label: (each, 0.3) for label, each in (more or {}).items()}
        for label, (each, gain) in cells.items():
            if label not in without:
                runs["d", label] = {seed: np.where((taste + rng.random(USERS)) / 2 < gain, 0, 50) for seed in SEEDS}
                chosen["d", label] = {"configuration": each, "data": {"dataset": "d", "hash": "h", "n_users": USERS},
                                      **(facts or {}).get(label, {})}
        return make(runs, facts=chosen, **heads)

    return grid


def attribution(board: Leaderboard) -> Attribution:
    found = board.tables[0].attribution
    assert found is not None
    return found


def hits(folder: Any, label: str) -> Any:
    from benchbase.leaderboard import load_folder

    (entry,) = (each for each in load_folder(folder).entries if each.label == label)
    return np.stack([values for _, values in entry.values("recall@1").values()])


def test_effects_are_against_the_baselines_levels_with_all_pairs_beside(grid: Any) -> None:
    folder = grid(baseline="b1-softmax")
    found = attribution(make_leaderboard(folder))
    assert found.levels == {"backbone": ("b1", "b2"), "objectives": ("softmax", "bce", "bpr")}
    assert [(each.factor, each.base, each.level, each.pairs) for each in found.effects] == [
        ("backbone", "b1", "b2", 3), ("objectives", "softmax", "bce", 2), ("objectives", "softmax", "bpr", 2),
        ("objectives", "bce", "bpr", 2),
    ]
    signs = itertools.product(("softmax", "bce", "bpr"), (("b1", -1), ("b2", 1)))
    expected = contrast_test([(sign / 3, hits(folder, f"{name}-{o}")) for o, (name, sign) in signs])
    effect = found.effects[0]
    assert (effect.difference, effect.low, effect.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_a_planted_interaction_is_found_and_no_other(grid: Any) -> None:
    found = attribution(make_leaderboard(grid()))
    by_levels = {each.levels: each for each in found.interactions}
    assert set(by_levels) == {("b2", "bce"), ("b2", "bpr")}
    assert by_levels["b2", "bpr"].low > 0.1 and by_levels["b2", "bce"].low < 0 < by_levels["b2", "bce"].high
    assert found.spread is not None
    shares = {source.factors: source for source in found.spread.sources}
    assert list(shares) == [("backbone",), ("objectives",), ("backbone", "objectives")]
    assert shares["backbone", "objectives"].low > 0 and sum(each.share for each in shares.values()) == pytest.approx(1)


def test_another_baseline_gives_other_references(grid: Any) -> None:
    folder = grid(more={"pop": {"recommender": {"name": "pop"}, "label": "", "ablate": False}})
    assert attribution(make_leaderboard(folder, "b2-bpr")).levels == {
        "backbone": ("b2", "b1"), "objectives": ("bpr", "bce", "softmax")
    }
    first = attribution(make_leaderboard(folder, "pop"))  # a recommender has no levels: the first entry's are taken
    assert first.levels == {"backbone": ("b1", "b2"), "objectives": ("softmax", "bce", "bpr")}
    assert "pop" not in first.entries


def test_a_partial_grid_counts_matched_pairs_only(grid: Any) -> None:
    found = attribution(make_leaderboard(grid(without=("b2-bce",))))
    assert [each.pairs for each in found.effects] == [2, 1, 2, 1]
    assert [each.levels for each in found.interactions] == [("b2", "bpr")]
    assert found.spread is not None and found.spread.cells == 4
    assert found.spread.levels == {"backbone": ("b1", "b2"), "objectives": ("softmax", "bpr")}
    whole, part = (to_markdown(make_leaderboard(grid(folder=name, without=gone)))
                   for name, gone in (("whole", ()), ("part", ("b2-bce",))))
    assert "the spread of the 2 × 3 means, recall@1" in whole
    assert "the spread of the 2 × 2 means (without bce, which not all others meet), recall@1" in part


def test_an_entry_without_a_match_takes_no_part_and_is_named(grid: Any) -> None:
    odd = configuration("b3", "other")
    board = make_leaderboard(grid(more={"odd": odd}))
    assert "odd" not in attribution(board).entries
    assert "without a match, and so without a part in the attribution: odd" in board.tables[0].notes
    plain = attribution(make_leaderboard(grid(folder="other")))
    assert attribution(board).effects == plain.effects


def test_a_run_that_failed_takes_no_part(grid: Any, make: Any) -> None:
    folder = grid()
    for seed in SEEDS:
        path = folder / "runs" / f"000005{seed:06x}" / "record.json"  # b2-bpr
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "failed", "reason": "x"}))
    found = attribution(make_leaderboard(folder))
    assert "b2-bpr" not in found.entries and found.effects[0].pairs == 2


def test_under_trained_entries_that_take_part_are_named(grid: Any) -> None:
    late = {"training": {"epochs": 5, "best_epoch": 5, "under_trained": True, "stopped": "epochs"}}
    board = make_leaderboard(grid(facts={"b1-bce": late, "odd": late}, more={"odd": configuration("b3", "other")}))
    assert "under-trained entries take part in the attribution: b1-bce" in board.tables[0].notes


def test_where_every_effect_is_one_pair_the_comparison_says_as_much(grid: Any) -> None:
    board = make_leaderboard(grid("b1 b2", "softmax bce", without=("b2-bce",)))
    assert board.tables[0].attribution is None
    for form in (to_markdown, to_text):
        assert "Which part" not in form(board)
    assert make_leaderboard(grid("b1", folder="one")).tables[0].attribution is None


def test_parameters_and_lists_are_levels(grid: Any) -> None:
    wide = {"backbone": {"name": "b1", "width": 16}}
    boost = {"modifiers": [{"name": "boost", "alpha": 1.0}]}
    more = {f"{next(iter(keys))}-{o}": {**configuration("b1", o), **keys} for keys in (wide, boost)
            for o in ("softmax", "bce")}
    found = attribution(make_leaderboard(grid("b1", "softmax bce", more=more)))
    assert found.levels == {"backbone": ("b1[width=8]", "b1[width=16]"), "modifiers": ("none", "boost"),
                            "objectives": ("softmax", "bce")}


def test_neither_the_order_nor_the_names_of_entries_move_anything(grid: Any, make: Any) -> None:
    folder = grid(baseline="b1-softmax")
    first = attribution(make_leaderboard(folder))
    plan = folder / "runs" / "plan.json"
    cells = json.loads(plan.read_text())
    plan.write_text(json.dumps({**cells, "cells": cells["cells"][::-1]}))
    second = attribution(make_leaderboard(folder))
    assert (first.effects, first.interactions, first.spread) == (second.effects, second.interactions, second.spread)


def test_one_seed_and_one_user(make: Any) -> None:
    def board(n_users: int) -> Leaderboard:
        keys = [("d", f"{b}-{o}") for b in ("b1", "b2") for o in ("softmax", "bce")]
        ranks = np.random.default_rng(0).integers(0, 3, (4, n_users))
        facts = {key: {"configuration": configuration(*key[1].split("-"))} for key in keys}
        runs = {key: {1: each} for key, each in zip(keys, ranks, strict=True)}
        return make_leaderboard(make(runs, facts=facts, folder=f"out{n_users}"))

    assert attribution(board(20)).effects[0].pairs == 2
    one = board(1)
    assert one.tables[0].attribution is None
    assert "Which part" not in to_markdown(one)


def test_the_same_results_everywhere_earn_nothing(make: Any, above: Any) -> None:
    keys = [("d", f"{b}-{o}") for b in ("b1", "b2") for o in ("softmax", "bce")]
    facts = {key: {"configuration": configuration(*key[1].split("-"))} for key in keys}
    found = attribution(make_leaderboard(make({key: {s: above(0.3, s) for s in (1, 2)} for key in keys}, facts=facts)))
    assert found.spread is None
    assert {(each.difference, each.low, each.high) for each in (*found.effects, *found.interactions)} == {(0, 0, 0)}


def test_every_form_shows_it(grid: Any) -> None:
    board = make_leaderboard(grid(baseline="b1-softmax"))
    effect = attribution(board).effects[0]
    page, text = to_markdown(board), to_text(board)
    row = f"| backbone | b2 | b1 | {effect.difference:+.4f} | {effect.low:+.4f} to {effect.high:+.4f} | 3 |"
    assert row in page and "bce | bpr" not in page  # pairs without the reference stand in the JSON alone
    for form in (page, text):
        assert "Which part earned it, recall@1: gains, all else equal" in form
        assert "b2 × bpr" in form and "b1 × softmax" in form and "backbone × objectives" in form
        assert "means over all pairs" not in form and "Recommenders take no part." in " ".join(form.split())
    told = json.loads(to_json(board))["tables"][0]["attribution"]
    assert len(told["effects"]) == 4 and told["effects"][0]["pairs"] == 3
    assert told["entries"]["b2-bce"] == {"backbone": "b2", "objectives": "bce"}
    assert {"luck", "sources", "levels", "cells"} == set(told["spread"])
    assert "attribution" not in to_csv(board)


def test_hostile_names_of_parts_make_no_markdown(grid: Any) -> None:
    evil = "x](y)|<b>*\n"
    more = {f"evil-{o}": configuration(evil, o) for o in ("softmax", "bce", "bpr")}
    board = make_leaderboard(grid(more=more))
    page = to_markdown(board)
    line = next(line for line in page.splitlines() if line.startswith("| backbone | x"))
    assert "](" not in line and "<b>" not in line and line.replace("\\|", "").count("|") == 7
    assert evil.strip() in to_text(board)


def test_configurations_that_are_none_do_no_harm(make: Any, above: Any) -> None:
    odd = [3, None, [1], {"a": {"b": []}}, "x", {"name": 3}, [{"kind": None}]]
    facts = {("d", f"e{i}{j}"): {"configuration": {**configuration("", ""), "backbone": odd[i], "objectives": odd[j]}}
             for i in range(7) for j in range(2)}
    board = make_leaderboard(make({key: {1: above(0.3, n)} for n, key in enumerate(facts)}, facts=facts))
    assert attribution(board).effects[0].pairs == 2
    for form in (to_markdown, to_text, to_json):
        form(board)
