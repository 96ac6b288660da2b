"""STAN's arrays: what is read of them, and every way in which they may be wrong."""

import gzip
import pickle
import re

import numpy as np
import pytest
from benchbase_checkins import benchbase_datasets
from benchbase_checkins.config import FoursquareConfig

from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

EVENTS = np.array([[2, 5, 90], [1, 7, 30], [1, 5, 10], [1, 5, 20]], np.int32)
PLACES = np.array([[7, 40.5, -74], [5, -33, 151.25], [9, 0, 0]])


def put(folder, events=EVENTS, places=PLACES):
    np.save(folder / "NYC.npy", events, allow_pickle=True)
    np.save(folder / "NYC_POI.npy", places, allow_pickle=True)


def test_check_ins_and_places(read, tmp_path):
    put(tmp_path)
    found = read("foursquare", format="arrays")
    log, places = found.interactions, found.catalogue
    assert log.user_ids.tolist() == [1, 2] and log.offsets.tolist() == [0, 3, 4]
    assert places.item_ids[log.item].tolist() == [5, 5, 7, 5] and log.timestamp.tolist() == [600, 1200, 1800, 5400]
    assert places.columns["latitude"][1:].tolist() == [-33, 40.5]
    assert places.columns["longitude"][1:].tolist() == [151.25, -74]
    assert found.card["facts"] == {"times": "whole minutes from an unstated start, not Unix time"}
    assert found.card["listed_items_without_events"] == 1 and found.card["order_of_ties"] == "seeded hash"


def test_the_order_of_rows_means_nothing(read, tmp_path):
    events = np.array([[1, place, 10] for place in (5, 7, 9, 5)], np.int64)
    put(tmp_path, events)
    first = read("foursquare", format="arrays").hash
    put(tmp_path, events[::-1])
    assert read("foursquare", format="arrays").hash == first


def test_packed(read, tmp_path):
    put(tmp_path)
    whole = read("foursquare", format="arrays").hash
    for name in ("NYC.npy", "NYC_POI.npy"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert read("foursquare", format="arrays").hash == whole


@pytest.mark.parametrize(("events", "places", "message"), [
    (EVENTS[:, :2], PLACES, "NYC.npy: shape (4, 2) of int32. Expected (n, 3) of whole numbers: user, place, minutes."),
    (EVENTS[:0], PLACES, "NYC.npy: shape (0, 3) of int32. Expected (n, 3)"),
    (EVENTS.ravel(), PLACES, "NYC.npy: shape (12,) of int32. Expected (n, 3)"),
    (EVENTS * 1.0, PLACES, "NYC.npy: shape (4, 3) of float64. Expected (n, 3) of whole numbers"),
    (EVENTS, PLACES.astype(int), "NYC_POI.npy: shape (3, 3) of int64. Expected (n, 3) of numbers: place, latitude, "
                                 "longitude. Take the file of the repository as it is."),
    (EVENTS, PLACES[1:], "NYC_POI.npy: place 7 of NYC.npy is not in it. Expected all 2 places and no others."),
    (EVENTS, PLACES + [[0, 60, 0]] * 3, "NYC_POI.npy: row 0 is [7.0, 100.5, -74.0]. Expected a place's number, and "
                                        "degrees from -90 to 90 and from -180 to 180."),
    (EVENTS, PLACES + [[0.5, 0, 0]] * 3, "NYC_POI.npy: row 0 is [7.5, 40.5, -74.0]."),
    (EVENTS, PLACES * [[np.nan, 1, 1], [1] * 3, [1] * 3], "NYC_POI.npy: row 0 is [nan, 40.5, -74.0]."),
    (EVENTS, PLACES + np.array([[0] * 3, [0] * 3, [0, 0, np.inf]]), "NYC_POI.npy: row 2 is [9.0, 0.0, inf]."),
    (EVENTS * [1, 1, -1], PLACES, "NYC.npy: row 0 is [2, 5, -90]. Expected minutes from 0 on."),
    (EVENTS, PLACES[[0, 1, 2, 0]], "item 7 is listed more than once"),
    (np.array([[1, 2, {}]], object), PLACES, "NYC.npy: no plain array (Object arrays cannot be loaded"),
])
def test_arrays_that_are_wrong(read, tmp_path, events, places, message):
    put(tmp_path, events, places)
    with pytest.raises(DataError, match=re.escape(message)):
        read("foursquare", format="arrays")


class Trap:
    """Leaves a mark where somebody unpickles it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_nothing_in_a_file_is_run(read, tmp_path):
    put(tmp_path)
    (tmp_path / "NYC.npy").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    with pytest.raises(DataError, match=r"NYC\.npy: no plain array"):
        read("foursquare", format="arrays")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array", None])
def test_files_that_are_no_arrays_or_were_cut(read, tmp_path, content):
    put(tmp_path)
    whole = (tmp_path / "NYC.npy").read_bytes()
    (tmp_path / "NYC.npy").write_bytes(whole[:-4] if content is None else content)
    with pytest.raises(DataError, match=r"NYC\.npy: no plain array .*Expected a \.npy file of whole numbers"):
        read("foursquare", format="arrays")


def test_an_archive_of_arrays(read, tmp_path):
    put(tmp_path)
    with (tmp_path / "NYC.npy").open("wb") as stream:
        np.savez(stream, events=EVENTS)
    with pytest.raises(DataError, match=r"NYC\.npy: an archive of arrays\. Expected \(n, 3\)"):
        read("foursquare", format="arrays")


def test_the_real_arrays(read, real_data):
    found = read("foursquare", format="arrays", path=real_data("foursquare-nyc-stan"))
    assert (found.card["users"], found.card["items"], found.card["events"]) == (1_083, 5_135, 147_938)
    assert found.card["time_span"] == [60, 458_435 * 60] and found.card["items_not_listed"] == 0
    latitude = found.catalogue.columns["latitude"][1:]
    assert 40.5 < latitude.min() < latitude.max() < 41


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place)
        request.cls.folders = (place,)


class TestArrays(DatasetContract):
    spec = benchbase_datasets()[0]
    config = FoursquareConfig(format="arrays")
