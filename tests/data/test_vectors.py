"""Vectors of items in a catalogue, and arrays that are kept: made once for what they follow from."""

import numpy as np
import pytest

from benchbase.data import DatasetConfig, ItemTable, Log, encode, kept
from benchbase.errors import DataError


def log(vectors, ids=(5, 3, 4)):
    return Log(np.array([1, 1, 2]), np.array([3, 5, 9]), items=ItemTable(np.array(ids), vectors={"image": vectors}))


def test_rows_follow_their_items_and_what_is_not_finite_is_none():
    values = np.array([[1, 2], [3, np.nan], [5, 6]])
    found = encode(log(values), DatasetConfig())[1].vectors["image"]
    assert found.dtype == np.float32 and np.isnan(found[[0, 1, 3]]).all() and found[2].tolist() == [1, 2]
    huge = encode(log(np.full((3, 1), 1e300)), DatasetConfig())[1].vectors["image"]
    assert np.isnan(huge).all()
    whole = encode(log(np.array([[1], [2], [3]], np.int8)), DatasetConfig())[1].vectors["image"]
    assert whole[1:3, 0].tolist() == [2, 1]


FORM = "Expected numbers (n, d), a row for each item id."


@pytest.mark.parametrize(("values", "message"), [
    (np.ones(3), f"log: item vectors 'image' are an array (3,) of float64. {FORM}"),
    (np.ones((3, 0)), f"log: item vectors 'image' are an array (3, 0) of float64. {FORM}"),
    (np.array([["a"]] * 3), f"log: item vectors 'image' are an array (3, 1) of <U1. {FORM}"),
    (np.ones((2, 1)), "log: item column 'image' has 2 values. Expected 3, one for each item id."),
])
def test_vectors_that_are_none(values, message):
    with pytest.raises(DataError) as error:
        encode(log(values), DatasetConfig())
    assert str(error.value) == message


def test_what_is_kept_is_made_once_for_a_key(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"a": np.arange(6).reshape(2, 3), "b": np.array([0.5])}

    first, again = (kept("words", {"of": [1, 2]}, make, tmp_path) for _ in range(2))
    assert len(calls) == 1 and first.keys() == {"a", "b"} == again.keys()
    assert (again["a"] == np.arange(6).reshape(2, 3)).all() and again["b"].tolist() == [0.5]
    kept("words", {"of": [1, 3]}, make, tmp_path)
    kept("other", {"of": [1, 2]}, make, tmp_path)
    assert len(calls) == 3
    for file in (tmp_path / "kept").rglob("a.npy"):
        file.write_bytes(b"")  # a damaged folder is made again
    assert kept("words", {"of": [1, 2]}, make, tmp_path)["a"].shape == (2, 3) and len(calls) == 4


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(DataError, match=r"Expected a folder that can be\. Set BENCHBASE_CACHE to another one\."):
        kept("words", 1, lambda: {"a": np.zeros(1)}, tmp_path)
