"""Fetching: from a server on loopback, with the pinned hashes in force."""

import errno
import hashlib
import shutil
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from benchbase_movielens import benchbase_datasets, fetching
from benchbase_movielens.config import MovieLensConfig
from benchbase_movielens.releases import RELEASES

from benchbase import DataContext
from benchbase.data import MissingFile, prepare
from benchbase.errors import DataError

SPECS = {spec.name: spec for spec in benchbase_datasets()}
FILES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,5,3.5,9\n",
    "movies.csv": "movieId,title,genres\n5,A (2000),B\n",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that a local server offers as the publisher's."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("BENCHBASE_MOVIELENS_URL", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def pack(folder, release, files):
    """Put an archive on the server; its md5."""
    with zipfile.ZipFile(folder / release.archive, "w") as packed:
        for name, content in files.items():
            packed.writestr(f"{release.folder}/{name}", content)
    return hashlib.md5((folder / release.archive).read_bytes()).hexdigest()


def release(name):
    return next(each for each in RELEASES if each.name == name)


def pinned(found, **pins):
    """The spec of a release with other pins than the published ones."""
    changed = replace(found, **pins)
    spec = SPECS[found.name]
    return replace(
        spec, **{name: partial(getattr(spec, name).func, release=changed) for name in ("build", "files", "fetch")}
    )


def test_an_archive_is_fetched_checked_and_unpacked_once(served, tmp_path):
    found = release("ml_20m")
    spec = pinned(found, md5=pack(served, found, {**FILES, "tags.csv": "not needed"}))
    context = DataContext(folders=(tmp_path,), cache=tmp_path / "cache")
    assert prepare(spec, MovieLensConfig(), context).card["events"] == 1
    folder = tmp_path / "cache" / "downloads"
    assert [path.name for path in folder.iterdir()] == ["ml-20m"]
    assert sorted(path.name for path in (folder / "ml-20m").iterdir()) == ["movies.csv", "ratings.csv"]
    (served / found.archive).unlink()
    assert prepare(spec, MovieLensConfig(min_rating=1), context).card["events"] == 1


def test_another_archive_than_the_pinned_one_is_refused(served, tmp_path):
    pack(served, release("ml_1m"), FILES)
    with pytest.raises(
        DataError,
        match=r"ml-1m\.zip: the file changed: .*Expected md5:c4d9eecfca2ab87c1945afe126590906\. "
        r"Get ml-1m\.zip from https://grouplens\.org",
    ):
        prepare(SPECS["ml_1m"], MovieLensConfig(), DataContext(cache=tmp_path))
    assert list((tmp_path / "downloads").iterdir()) == []


def test_latest_small_is_pinned_by_the_content_of_its_files(served, tmp_path, real_data):
    source = real_data("ml-latest-small")
    content = {name: (source / name).read_bytes() for name in ("ratings.csv", "movies.csv")}
    found = release("ml_latest_small")
    pack(served, found, content)
    assert prepare(SPECS[found.name], MovieLensConfig(), DataContext(cache=tmp_path / "a")).card["events"] == 100_836
    pack(served, found, {**content, "ratings.csv": content["ratings.csv"] + b"610,1,5.0,1537799999\r\n"})
    with pytest.raises(
        DataError, match=r"ml-latest-small\.zip: the file changed: ratings\.csv has sha256 .*Expected aa289ca8"
    ):
        prepare(SPECS[found.name], MovieLensConfig(), DataContext(cache=tmp_path / "b"))
    assert list((tmp_path / "b" / "downloads").iterdir()) == []


@pytest.mark.parametrize("files", [{"ratings.csv": ""}, None])
def test_an_archive_without_the_files_is_refused(served, tmp_path, files):
    found = release("ml_latest_small")
    if files is None:
        (served / found.archive).write_text("no archive")
    else:
        pack(served, found, files)
    with pytest.raises(
        DataError,
        match=r"^ml-latest-small\.zip: the file changed: .*Expected a zip archive with "
        r"ratings\.csv, movies\.csv in ml-latest-small",
    ):
        prepare(SPECS[found.name], MovieLensConfig(), DataContext(cache=tmp_path))


def damaged(served, found):
    """An archive whose compressed text is damaged, and whose directory is whole."""
    with zipfile.ZipFile(served / found.archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in FILES.items():
            packed.writestr(f"{found.folder}/{name}", content * 50)
    content = bytearray((served / found.archive).read_bytes())
    start = 30 + len(f"{found.folder}/ratings.csv")  # the first file's own header and name
    content[start : start + 4] = b"\xff" * 4
    (served / found.archive).write_bytes(content)


def test_a_damaged_archive_is_an_error_and_not_kept(served, tmp_path):
    found = release("ml_latest_small")
    damaged(served, found)
    with pytest.raises(DataError, match=r"^ml-latest-small\.zip: the file changed: Error -3 .*Expected a zip archive"):
        prepare(SPECS[found.name], MovieLensConfig(), DataContext(cache=tmp_path))
    assert list((tmp_path / "downloads").iterdir()) == []


def no_room(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_the_archive_for_the_next_time(served, tmp_path, monkeypatch):
    found = release("ml_20m")
    spec = pinned(found, md5=pack(served, found, FILES))
    context = DataContext(cache=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "shutil", SimpleNamespace(copyfileobj=no_room, rmtree=shutil.rmtree))
        with pytest.raises(
            DataError,
            match=r"downloads: ml-20m\.zip cannot be kept here: .*No space left.*Expected a folder that can be "
            r"written, with room\. The archive is kept for the next time\. Make room, or set BENCHBASE_CACHE",
        ):
            prepare(spec, MovieLensConfig(), context)
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["ml-20m.zip"]
    (served / found.archive).unlink()
    assert prepare(spec, MovieLensConfig(), context).card["events"] == 1
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["ml-20m"]


def test_a_kept_archive_that_is_damaged_is_fetched_anew(served, tmp_path):
    found = release("ml_20m")
    spec = pinned(found, md5=pack(served, found, FILES))
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / found.archive).write_bytes(b"half")
    assert prepare(spec, MovieLensConfig(), DataContext(cache=tmp_path)).card["events"] == 1
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["ml-20m"]


def test_a_disk_that_fills_while_fetching_is_no_fault_of_the_connection(served, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "retrieve", no_room)
    with pytest.raises(DataError, match=r"downloads: ml-1m\.zip cannot be kept here: .*No space left"):
        prepare(SPECS["ml_1m"], MovieLensConfig(), DataContext(cache=tmp_path))
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(served, tmp_path):
    (tmp_path / "downloads").write_text("a file, so that no folder can stand here")
    with pytest.raises(DataError, match=r"downloads: ml-1m\.zip cannot be kept here: .*Expected a folder"):
        prepare(SPECS["ml_1m"], MovieLensConfig(), DataContext(cache=tmp_path))


def test_an_unreachable_or_missing_archive_says_what_to_do(served, tmp_path, monkeypatch):
    context = DataContext(cache=tmp_path / "cache")
    message = (
        r"ml-1m\.zip: cannot be fetched: .*Expected a connection\. "
        r"Get ml-1m\.zip from https://grouplens\.org.*unpack it"
    )
    with pytest.raises(DataError, match=message):
        prepare(SPECS["ml_1m"], MovieLensConfig(), context)
    monkeypatch.setenv("BENCHBASE_MOVIELENS_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=message):
        prepare(SPECS["ml_1m"], MovieLensConfig(), context)


def test_without_fetching_a_missing_release_is_an_error(tmp_path):
    with pytest.raises(
        MissingFile, match=r"^ml-1m: no such folder\. .*Or let it be fetched \(ml-1m\.zip from https://"
    ):
        prepare(SPECS["ml_1m"], MovieLensConfig(), DataContext(cache=tmp_path), fetch=False)


def put(folder, names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(FILES[name])


def test_a_folder_that_is_not_whole_hides_no_other(served, tmp_path):
    found = release("ml_20m")
    spec = pinned(found, md5=pack(served, found, FILES))
    context = DataContext(folders=(tmp_path / "a", tmp_path / "b"), cache=tmp_path / "cache")
    put(tmp_path / "a" / "ml-20m", ["movies.csv"])
    assert prepare(spec, MovieLensConfig(), context).card["events"] == 1
    (served / found.archive).unlink()
    assert spec.files(MovieLensConfig(), context)[0].parent == tmp_path / "cache" / "downloads" / "ml-20m"
    put(tmp_path / "b" / "ml-20m", FILES)
    assert spec.files(MovieLensConfig(), context)[0].parent == tmp_path / "b" / "ml-20m"
    assert spec.files(MovieLensConfig(path="ml-20m"), context)[0].parent == tmp_path / "b" / "ml-20m"


def test_folders_that_are_not_whole_are_named_with_what_they_lack(tmp_path):
    context = DataContext(folders=(tmp_path / "a",), cache=tmp_path / "cache")
    put(tmp_path / "a" / "ml-20m", ["movies.csv"])
    put(tmp_path / "cache" / "downloads" / "ml-20m", [])
    with pytest.raises(
        MissingFile,
        match=r"^ml-20m: no folder holds all files\. .*a/ml-20m lacks ratings\.csv; .*downloads/ml-20m lacks "
        r"ratings\.csv, movies\.csv\. Expected ratings\.csv, movies\.csv in one folder\. .* Or let it be fetched",
    ):
        prepare(SPECS["ml_20m"], MovieLensConfig(), context, fetch=False)


def test_a_fetched_copy_that_lost_a_file_is_fetched_again(served, tmp_path):
    found = release("ml_20m")
    spec = pinned(found, md5=pack(served, found, FILES))
    context = DataContext(cache=tmp_path / "cache")
    put(tmp_path / "cache" / "downloads" / "ml-20m", ["movies.csv"])
    assert prepare(spec, MovieLensConfig(), context).card["events"] == 1


def test_a_given_path_is_never_fetched(served, tmp_path):
    with pytest.raises(MissingFile, match=r"^elsewhere: no such folder"):
        prepare(SPECS["ml_1m"], MovieLensConfig(path="elsewhere"), DataContext(cache=tmp_path))
    assert not (tmp_path / "downloads").exists()


def test_two_processes_that_fetch_at_once_both_succeed(served, tmp_path):
    found = release("ml_25m")
    changed = replace(found, md5=pack(served, found, FILES))
    (tmp_path / "downloads" / found.folder).mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / "downloads" / found.folder / name).write_text(content)
    paths = fetching.bring(changed, MovieLensConfig(), DataContext(cache=tmp_path))
    assert [path.name for path in paths] == ["ratings.csv", "movies.csv"]
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [found.folder]
