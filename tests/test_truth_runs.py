"""A planted graph judges the relation that a model found: from the suite to the page."""

from pathlib import Path
from typing import Any

import pytest

import benchbase
from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.files import to_markdown
from benchbase.runner import read_all

pytestmark = pytest.mark.plugins

GENTLE = {"name": "causal_dag", "rho": 0.01, "growth": 1}
DIRECTED, PAIRS = {"ap", "precision", "recall", "shd"}, {"skeleton_ap", "skeleton_precision", "skeleton_recall",
                                                         "skeleton_shd", "spurious"}
ATTENTION = {"attention_own", "attention_next"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs of a small world: plain, each source of the relation, other backbones, and a recommender."""
    out = tmp_path_factory.mktemp("truth")

    def entry(label: str, source: str = "", backbone: str = "sasrec[width=32,layers=2]") -> dict[str, Any]:
        if not source:
            return {"label": label, "backbone": backbone}
        boost = {"name": "causal_boost", "r_source": source}
        return {"label": label, "backbone": backbone, "modifiers": [boost], "objectives": ["softmax", GENTLE]}

    suite = {
        "suite": "truth", "datasets": ["causal[n_users=500,events=20,n_items=20,themes=3]"], "seeds": [1],
        "protocol": {"split": "leave_one_out", "window": 20, "filter_seen": "none", "metrics": ["ndcg@10"]},
        "train": {"epochs": 8, "patience": 0, "batch": 64, "lr": 0.005}, "guards": False,
        "base": {"objectives": ["softmax"]},
        "entries": [
            entry("plain"), entry("cov", "cov"), entry("bilinear", "bilinear"), entry("sem", "sem"),
            entry("both sides", "cov", "bert4rec[width=32,layers=2]"),
            entry("pointwise", "cov", "hstu[width=32,layers=2]"), entry("recurrent", "", "gru4rec[width=32]"),
            {"label": "markov", "recommender": "markov"},
        ],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        benchbase.run(suite, out)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, float]]:
    return {record.facts["configuration"]["label"]: {
        name.removeprefix("truth."): value for name, value in record.facts["metrics"].items()
        if name.startswith("truth.")} for _, record in read_all(folder)}


def test_each_shows_what_it_has(found: dict[str, dict[str, float]]) -> None:
    assert {label: set(figures) for label, figures in found.items()} == {
        "plain": ATTENTION, "cov": ATTENTION | PAIRS, "bilinear": ATTENTION | PAIRS | DIRECTED,
        "sem": ATTENTION | PAIRS | DIRECTED, "both sides": ATTENTION | PAIRS, "pointwise": PAIRS, "recurrent": set(),
        "markov": set(),
    }


def test_what_it_learned_of_the_graph_is_above_chance(found: dict[str, dict[str, float]], folder: Path) -> None:
    truths = make_leaderboard(folder).tables[0].truths
    assert truths is not None and set(truths.chance) == {"ap", "shd", "skeleton_ap", "skeleton_shd", *ATTENTION}
    assert found["sem"]["skeleton_ap"] > 1.5 * truths.chance["skeleton_ap"]
    assert found["plain"]["attention_next"] > truths.chance["attention_next"]
    assert truths.chance["shd"] == 30  # causes of 20 items, 1.5 each


def test_the_page_tells_it(folder: Path) -> None:
    page = to_markdown(make_leaderboard(folder))
    assert "| figure | plain | cov | bilinear | sem | both sides | pointwise | by chance | correlation" in page
