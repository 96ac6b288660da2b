"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

from functools import partial
from pathlib import Path

import pytest
from benchbase_coat import benchbase_datasets

from benchbase.testing.files import reader, real_folder


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    return partial(real_folder, beside=Path(__file__).parents[3])


@pytest.fixture
def read(tmp_path):
    """Prepare one of the data sets out of the test's own folder."""
    return reader(benchbase_datasets(), tmp_path)
