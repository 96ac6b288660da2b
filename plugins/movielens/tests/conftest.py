"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    root = Path(os.environ.get("BENCHBASE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")

    def folder(name):
        if not (root / name).is_dir():
            pytest.skip(f"no real data at {root / name}: set BENCHBASE_TEST_DATA to the folder that holds {name}")
        return root / name

    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that fetches must say from where."""
    monkeypatch.setenv("BENCHBASE_MOVIELENS_URL", "http://127.0.0.1:9/nowhere")
