"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

from functools import partial
from pathlib import Path

import pytest

from benchbase.testing.files import real_folder


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    return partial(real_folder, beside=Path(__file__).parents[3])


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that fetches must say from where."""
    monkeypatch.setenv("BENCHBASE_MOVIELENS_URL", "http://127.0.0.1:9/nowhere")
