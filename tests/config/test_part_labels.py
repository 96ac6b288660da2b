"""Labels of data sets: as short as they can be, and no folder of the machine in them."""

from benchbase.config import part_labels
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
