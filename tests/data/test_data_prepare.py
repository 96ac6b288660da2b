"""Prepare: the cache returns what was prepared, notices every change, and survives damage and races."""

import json
import os
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchbase.data import (
    DatasetConfig,
    ItemTable,
    Log,
    MissingFile,
    checksums,
    default_cache,
    find_file,
    find_folder,
    prepare,
    store,
)
from benchbase.data.checksums import file_hash
from benchbase.errors import DataError, PluginError
from benchbase.specs import Config, DataContext, DatasetSpec


class ToyConfig(DatasetConfig):
    top: int = 9


def toy(build=None, **more):
    """A data set out of one file `toy.txt` of `user item` lines, counting how often it is read."""

    def read(config, context):
        read.calls += 1
        rows = np.loadtxt(find_file(context, "toy.txt"), dtype=int, ndmin=2)
        table = ItemTable(
            np.array([1, 2]), {"kind": [("x", "y"), ()]}, {"title": np.array(["naïve", "日本"])}, np.array(["d", "e"])
        )
        return Log(rows[:, 0], rows[:, 1], np.arange(len(rows)), {"a": rows[:, 1]}, items=table)

    read.calls = 0
    more.setdefault("files", lambda config, context: [find_file(context, "toy.txt")])
    return DatasetSpec(name="toy", config=ToyConfig, build=build or read, source="a test", **more)


@pytest.fixture
def context(tmp_path):
    (tmp_path / "toy.txt").write_text("1 1\n2 2\n1 3\n")
    return DataContext(folders=(tmp_path,), cache=tmp_path / "cache")


def same(first, second):
    arrays = [store.flatten(each.interactions, each.catalogue, each.groups) for each in (first, second)]
    return arrays[0][1] == arrays[1][1] and all(
        np.array_equal(values, arrays[1][0][name]) for name, values in arrays[0][0].items()
    )


def test_the_second_opening_reads_nothing_and_is_equal(context):
    spec = toy()
    first, second = (prepare(spec, ToyConfig(), context) for _ in range(2))
    assert spec.build.calls == 1
    assert same(first, second)
    assert (first.hash, first.card) == (second.hash, second.card)
    assert second.catalogue.columns["title"].tolist() == ["", "naïve", "日本", ""]
    assert second.catalogue.categories["kind"].labels == ("x", "y")
    assert second.interactions.user_ids.tolist() == [1, 2]
    assert not second.interactions.item.flags.writeable
    assert type(second.interactions.item) is np.ndarray


def test_refresh_reads_again(context):
    spec = toy()
    prepare(spec, ToyConfig(), context)
    prepare(spec, ToyConfig(), context, refresh=True)
    assert spec.build.calls == 2


def test_a_cache_that_is_cleared_again_and_again_is_an_error(context, monkeypatch):
    monkeypatch.setattr(sys.modules["benchbase.data.prepare"], "load", lambda folder, key: None)
    with pytest.raises(DataError, match=r"prepared data vanished while it was opened\. Expected nobody to clear"):
        prepare(toy(), ToyConfig(), context)


def test_what_a_killed_process_left_is_removed_after_a_day(context):
    prepare(toy(), ToyConfig(), context)
    folder = folder_of(context)
    old, new = (folder.with_name(f".{folder.name}-{name}") for name in ("old", "new"))
    for left in (old, new):
        left.mkdir()
    os.utime(old, (1, 1))
    prepare(toy(), ToyConfig(), context, refresh=True)
    assert (old.exists(), new.exists()) == (False, True)


def test_content_parameters_and_seed_each_make_a_new_preparation(context, tmp_path):
    spec = toy()
    prepare(spec, ToyConfig(), context)
    prepare(spec, ToyConfig(top=8), context)
    prepare(spec, ToyConfig(), DataContext(folders=context.folders, cache=context.cache, seed=1))
    (tmp_path / "toy.txt").write_text("1 1\n2 2\n1 4\n")
    prepare(spec, ToyConfig(), context)
    assert spec.build.calls == 4


def test_a_touched_file_of_equal_content_is_not_read_again(context, tmp_path):
    spec = toy()
    prepare(spec, ToyConfig(), context)
    os.utime(tmp_path / "toy.txt", ns=(1, 1))
    prepare(spec, ToyConfig(), context)
    assert spec.build.calls == 1


def test_the_hash_is_of_content_not_of_name_parameters_or_seed(context, tmp_path):
    spec = toy()
    first = prepare(spec, ToyConfig(), context)
    again = prepare(toy(), ToyConfig(top=8), DataContext(folders=context.folders, cache=tmp_path / "other", seed=5))
    assert first.hash == again.hash
    (tmp_path / "toy.txt").write_text("1 1\n2 2\n1 4\n")
    assert prepare(spec, ToyConfig(), context).hash != first.hash


def test_edited_reader_code_is_noticed(context, tmp_path, monkeypatch):
    module = tmp_path / "reader_under_test.py"
    module.write_text("one")
    monkeypatch.setitem(sys.modules, "reader_under_test", type(os)("reader_under_test"))
    sys.modules["reader_under_test"].__file__ = str(module)
    spec = toy()
    spec.build.__module__ = "reader_under_test.inner"
    spec = toy(partial(spec.build))
    prepare(spec, ToyConfig(), context)
    module.write_text("two")
    prepare(spec, ToyConfig(), context)
    assert spec.build.func.calls == 2


def folder_of(context):
    [folder] = (context.cache / "prepared").glob("toy-*")
    return folder


def cut_array(folder):
    path = folder / "item.npy"
    path.write_bytes(path.read_bytes()[:-4])


def cut_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-10])


def lose_array(folder):
    (folder / "timestamp.npy").unlink()


def spoil_header(folder):
    path = folder / "offsets.npy"
    path.write_bytes(b"x" * path.stat().st_size)


def forge_key(folder):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "other"}))


@pytest.mark.parametrize("damage", [cut_array, cut_manifest, lose_array, spoil_header, forge_key])
def test_a_damaged_cache_is_rebuilt(context, damage):
    spec = toy()
    first = prepare(spec, ToyConfig(), context)
    expected = store.flatten(first.interactions, first.catalogue, first.groups)[0]["item"].copy()
    damage(folder_of(context))
    assert prepare(spec, ToyConfig(), context).interactions.item.tolist() == expected.tolist()
    assert spec.build.calls == 2
    prepare(spec, ToyConfig(), context)
    assert spec.build.calls == 2


def test_nothing_is_left_aside_when_reading_or_writing_fails(context, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store.np, "save", fail)
        with pytest.raises(
            DataError,
            match=r"cache: prepared data cannot be kept here: .*No space left.*"
            r"Expected a folder that can be written\. Set BENCHBASE_CACHE",
        ):
            prepare(toy(), ToyConfig(), context)
    assert list((context.cache / "prepared").iterdir()) == []
    prepare(toy(), ToyConfig(), context)


def test_preparing_at_the_same_time_is_safe(context):
    """All readers wait until every one has read, so all of them write; each must then open a whole cache."""
    barrier = threading.Barrier(4, timeout=30)
    inner = toy()

    def build(config, context):
        log = inner.build(config, context)
        barrier.wait()
        return log

    found, spec = [], toy(build)
    threads = [threading.Thread(target=lambda: found.append(prepare(spec, ToyConfig(), context))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.hash for each in found}) == 1
    assert len(found) == 4
    assert same(found[0], found[3])
    assert len(list((context.cache / "prepared").iterdir())) == 1


def test_missing_files_are_fetched_where_the_data_set_can_and_may(context, tmp_path):
    (tmp_path / "toy.txt").unlink()

    def fetch(config, context):
        (tmp_path / "toy.txt").write_text("1 1\n")

    with pytest.raises(MissingFile, match=r"^toy\.txt: no such file\. Looked for .*toy\.txt\. Set BENCHBASE_DATA"):
        prepare(toy(), ToyConfig(), context)
    with pytest.raises(MissingFile):
        prepare(toy(fetch=fetch), ToyConfig(), context, fetch=False)
    assert prepare(toy(fetch=fetch), ToyConfig(), context).interactions.n_events == 1


def test_a_file_that_cannot_be_read_is_named(context, tmp_path):
    spec = toy(files=lambda config, context: [tmp_path / "gone.txt"])
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read: No such file.*Expected a readable file"):
        prepare(spec, ToyConfig(), context)


def test_a_source_that_cannot_be_read_is_no_fault_of_the_cache(context, tmp_path):
    spec = toy(files=lambda config, context: [tmp_path])
    with pytest.raises(DataError, match=r"^[^:]*: cannot be read: Is a directory\. Expected a readable file") as caught:
        prepare(spec, ToyConfig(), context)
    assert str(caught.value).startswith(str(tmp_path)) and "kept here" not in str(caught.value)


def test_plugins_that_break_the_contract_are_named(context):
    class Bare(Config):
        pass

    spec = DatasetSpec(name="bare", config=Bare, build=lambda config, context: None, source="a test")
    with pytest.raises(PluginError, match=r"^dataset bare: its config Bare lacks the filters.*DatasetConfig\."):
        prepare(spec, Bare(), context)
    with pytest.raises(PluginError, match=r"^dataset toy: build returned a NoneType\. Expected a benchbase\.data\.Log"):
        prepare(toy(lambda config, context: None), ToyConfig(), context)


def test_file_hashes_are_remembered_until_the_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    first = file_hash(path, tmp_path / "cache")
    [memo] = (tmp_path / "cache" / "checksums").iterdir()
    memo.write_text(memo.read_text().replace(first, "remembered"))
    assert file_hash(path, tmp_path / "cache") == "remembered"
    path.write_text("three")
    assert file_hash(path, tmp_path / "cache") not in (first, "remembered")


def test_threads_that_remember_at_once_do_not_meet(tmp_path, monkeypatch):
    """Both write their file aside before either moves it into place."""
    barrier, plain, failed = threading.Barrier(2, timeout=30), Path.replace, []

    def replace(self, target):
        barrier.wait()
        return plain(self, target)

    def write():
        try:
            checksums.write_json(tmp_path / "a.json", {"a": 1})
        except OSError as error:
            failed.append(error)

    monkeypatch.setattr(Path, "replace", replace)
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert checksums.read_json(tmp_path / "a.json") == {"a": 1}


def test_files_are_looked_up_in_order_and_packed_ones_found(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "x.txt").write_text("")
    (tmp_path / "b" / "y.txt.gz").write_text("")
    context = DataContext(folders=(tmp_path / "a", tmp_path / "b"))
    assert find_file(context, "x.txt") == tmp_path / "b" / "x.txt"
    assert find_file(context, "y.txt") == tmp_path / "b" / "y.txt.gz"
    assert find_file(context, tmp_path / "b" / "x.txt") == tmp_path / "b" / "x.txt"
    (tmp_path / "a" / "x.txt").write_text("")
    assert find_file(context, "x.txt") == tmp_path / "a" / "x.txt"
    assert find_folder(DataContext(folders=(tmp_path,)), "b") == tmp_path / "b"
    with pytest.raises(MissingFile, match=r"^q: no such folder\. There are no folders to look in\. Set BENCHBASE_DATA"):
        find_folder(DataContext(), "q")


def test_the_default_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.setenv("BENCHBASE_CACHE", "")
    assert default_cache().name == "benchbase"
