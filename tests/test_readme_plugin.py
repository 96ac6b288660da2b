"""The plugin of the README, as printed there, installs, is listed, trains, and is the plain backbone at strength 0."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import benchbase
from benchbase.registry import Registry
from benchbase.runner import read_all
from benchbase.runner.records import Record

pytestmark = pytest.mark.plugins

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks() -> dict[str, str]:
    """The README's files by name: a line that is a name in backticks, then a fenced block."""
    return dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", README, re.M | re.S))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The README's files on the path, with the metadata that an installer would write."""
    files = blocks()
    assert set(files) == {"benchbase_recency/__init__.py", "benchbase_recency/boost.py", "pyproject.toml"}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    info = tmp_path / "benchbase_recency-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: benchbase-recency\nVersion: 0.1.0\n")
    entry = re.search(r"\[project\.entry-points\.benchbase\]\n(.+)", files["pyproject.toml"])
    assert entry is not None
    (info / "entry_points.txt").write_text("[benchbase]\n" + entry[1].replace('"', "") + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("benchbase_recency")]:
        del sys.modules[name]


def test_it_is_listed_with_its_distribution(installed: Path) -> None:
    offer = Registry.load().offer("modifier", "recency_boost")
    assert (offer.distribution, offer.version) == ("benchbase-recency", "0.1.0")


def test_it_trains_and_strength_zero_is_the_plain_backbone(installed: Path) -> None:
    suite: dict[str, Any] = {
        "suite": "recency", "datasets": ["markov[n_users=60,n_items=20,events=10]"], "guards": False, "seeds": [1],
        "protocol": {"split": "leave_one_out", "window": 10, "filter_seen": "none", "metrics": ["ndcg@10"]},
        "train": {"epochs": 2, "batch": 32},
        "base": {"backbone": "sasrec[width=8]", "objectives": ["softmax"]},
        "entries": [
            {"label": "plain"},
            {"label": "none", "modifiers": ["recency_boost[strength=0.0]"]},
            {"label": "near", "modifiers": ["recency_boost[strength=2.0]"]},
        ],
    }
    assert benchbase.run(suite, installed / "runs").good
    found = {}
    for _, record in read_all(installed / "runs"):
        assert isinstance(record, Record)
        found[record.facts["configuration"]["label"]] = record.facts
    assert found["none"]["metrics"] == found["plain"]["metrics"]
    assert found["none"]["route"] == found["plain"]["route"] == ["fused"]
    assert found["near"]["route"] == ["fused-mask"]
