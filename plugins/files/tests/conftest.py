"""Where the real data for tests is: BENCHBASE_TEST_DATA, or shared/data beside the repository."""

from functools import partial
from pathlib import Path

import pytest
from benchbase_files import benchbase_datasets
from benchbase_files.config import FilesConfig

from benchbase import DataContext
from benchbase.data import prepare
from benchbase.testing.files import real_folder


@pytest.fixture
def real_data():
    """The folder of a named real data set; skips, saying why, where it is absent."""
    return partial(real_folder, beside=Path(__file__).parents[3])


@pytest.fixture
def read(tmp_path):
    """Prepare a `files` data set out of the test's own folder, or others."""

    def read(*folders, **parameters):
        context = DataContext(folders=folders or (tmp_path,), cache=tmp_path / "cache")
        return prepare(benchbase_datasets()[0], FilesConfig(**parameters), context)

    return read


@pytest.fixture
def damaged():
    """A packed file cut short at several places, and with one bit changed at several others."""

    def damaged(packed):
        for at in (0, 1, 5, 11, len(packed) // 2, len(packed) - 9, len(packed) - 1):
            yield packed[:at]
        for at in range(0, len(packed), 3):
            yield packed[:at] + bytes([packed[at] ^ 16]) + packed[at + 1 :]

    return damaged
