"""Reading out of the test's own folder."""

import pytest
from benchbase_yelp import benchbase_datasets

from benchbase.testing.files import reader


@pytest.fixture
def read(tmp_path):
    """Prepare the data set out of the test's own folder."""
    return reader(benchbase_datasets(), tmp_path)
