"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

from functools import partial
from pathlib import Path

import pytest
from benchbase_amazon import benchbase_datasets

from benchbase import DataContext
from benchbase.data import prepare
from benchbase.testing.files import real_folder

SPECS = {spec.name: spec for spec in benchbase_datasets()}


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    return partial(real_folder, beside=Path(__file__).parents[3])


@pytest.fixture
def read(tmp_path):
    """Prepare one of the data sets out of the test's own folder."""

    def read(name, **parameters):
        context = DataContext(folders=(tmp_path,), cache=tmp_path / "cache")
        return prepare(SPECS[name], SPECS[name].config(**parameters), context)

    return read
