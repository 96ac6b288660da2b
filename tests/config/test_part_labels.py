"""Labels of data sets: as short as they can be, and no folder of the machine in them."""

import pytest

from benchbase.config import level_labels, part_labels
from benchbase.config.parts import Part
from benchbase.specs import Config


class File(Config):
    path: str = ""
    filters: tuple[str, ...] = ()


def labels(*paths: str) -> list[str]:
    return part_labels([Part(kind="dataset", name="file", config=File(path=path)) for path in paths])


def test_a_path_is_named_by_its_end():
    assert labels("/home/me/a.csv", "/mnt/data/b.csv") == ["file[path=a.csv]", "file[path=b.csv]"]
    assert labels("/home/me/a.csv") == ["file"]


def test_as_many_folders_as_tell_two_files_apart():
    assert labels("/home/me/x/log.csv", "/home/me/y/log.csv") == ["file[path=x/log.csv]", "file[path=y/log.csv]"]
    assert labels("/a/log.csv", "/b/log.csv", "log.csv") == [
        "file[path=a/log.csv]",
        "file[path=b/log.csv]",
        "file[path=log.csv]",
    ]
    assert len(set(labels("/a/log.csv", "a/log.csv"))) == 2


def test_paths_inside_of_values():
    parts = [Part(kind="dataset", name="file", config=File(filters=(f"/home/{name}",))) for name in "ab"]
    assert not any("home" in label for label in part_labels(parts))


@pytest.mark.parametrize(("key", "values", "labels"), [
    ("backbone", [{"name": "a", "w": 1}, {"name": "b", "w": 1}], ["a", "b"]),
    ("backbone", [{"name": "a", "w": 1, "x": 0}, {"name": "a", "w": 2, "x": 0}], ["a[w=1]", "a[w=2]"]),
    ("modifiers", [[], [{"name": "a"}], [{"name": "a"}, {"name": "b"}]], ["none", "a", "a + b"]),
    ("objectives", [[{"name": "a", "weight": 1.0}], [{"name": "a", "weight": 2.0}]],
     ["a[weight=1.0]", "a[weight=2.0]"]),
    ("encoders", [[], [{"name": "words", "strength": 2}]], ["none", "words"]),
    ("compressor", [None, {"name": "c"}], ["none", "c"]),
    ("scorer", [{"score": "dot", "bias": True}, {"score": "cosine", "bias": True}],
     ["scorer[score=dot]", "scorer[score=cosine]"]),
    ("layout", [{"kind": "items", "position": "x"}, {"kind": "stacked", "position": "x"}], ["items", "stacked"]),
    ("backbone", [{"name": "a"}, {"name": "a", "w": 1}], ['{"name":"a"}', '{"name":"a","w":1}']),
    ("backbone", [{"name": "a", "w": 1}, {"name": "a"}], ['{"name":"a","w":1}', '{"name":"a"}']),
    ("backbone", [3, None, [1, "x"], {}], ["3", "null", '[1,"x"]', "{}"]),
])  # fmt: skip
def test_values_of_one_key_are_told_apart(key, values, labels):
    assert level_labels(key, values) == labels
