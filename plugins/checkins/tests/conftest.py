"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

import os
from pathlib import Path

import pytest
from benchbase_checkins import benchbase_datasets

from benchbase import DataContext
from benchbase.data import prepare

SPECS = {spec.name: spec for spec in benchbase_datasets()}


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    root = Path(os.environ.get("BENCHBASE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")

    def folder(name):
        if not (root / name).is_dir():
            pytest.skip(f"no real data at {root / name}: set BENCHBASE_TEST_DATA to the folder that holds {name}")
        return root / name

    return folder


@pytest.fixture
def read(tmp_path):
    """Prepare one of the data sets out of the test's own folder."""

    def read(name, **parameters):
        context = DataContext(folders=(tmp_path,), cache=tmp_path / "cache")
        return prepare(SPECS[name], SPECS[name].config(**parameters), context)

    return read
