"""A checkpoint is whole or not there: after a crash at any line, with any file damaged, on a full disk."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchbase import checkpoint
from benchbase.checkpoint import Checkpoint, load, save
from benchbase.errors import RecordError

CPU = torch.device("cpu")


def state(number):
    """A small state that `number` decides, tensors of several kinds and an optimiser with steps in it."""
    parameter = torch.nn.Parameter(torch.full((2, 3), float(number)))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    generator = torch.Generator().manual_seed(number)
    model = {"weight": parameter.detach().clone(), "count": torch.tensor(number), "flag": torch.tensor([True])}
    return Checkpoint({"model": model, "best": {}}, optimizer.state_dict(), {"cpu": generator.get_state()},
                      {"epoch": number, "best": float("-inf"), "curve": [[1, "train.x", 0.1 + 0.2]]})


def same(one, other):
    assert one is not None
    assert one.progress == other.progress
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensors in other.tensors.items():
        assert one.tensors[name].keys() == tensors.keys()
        assert all(torch.equal(one.tensors[name][key], tensor) for key, tensor in tensors.items())
        assert all(one.tensors[name][key].dtype == tensor.dtype for key, tensor in tensors.items())
    assert torch.equal(one.generators["cpu"], other.generators["cpu"])
    assert repr(one.optimizer) == repr(other.optimizer)


def test_what_is_saved_is_loaded_and_older_ones_go(tmp_path):
    folder = tmp_path / "deep" / "er"
    for epoch in (1, 2, 10):
        save(folder, epoch, state(epoch))
        assert [path.name for path in folder.iterdir()] == [f"epoch-{epoch:06d}"]
    same(load(folder, CPU), state(10))


def test_where_nothing_was_saved_nothing_is_found(tmp_path):
    assert load(tmp_path / "none", CPU) is None and load(tmp_path, CPU) is None


def test_states_that_share_memory_can_be_saved(tmp_path):
    table = torch.arange(6.0)
    shared = {"one": table, "same": table, "part": table[2:4], "turned": table.view(2, 3).T}
    save(tmp_path, 1, Checkpoint({"model": shared}, {}, {}))
    found = load(tmp_path, CPU).tensors["model"]
    assert all(torch.equal(found[key], tensor) for key, tensor in shared.items())


class Killed(BaseException):
    """As kill -9: no handler of the code under test runs for it but `finally`, which changes nothing on disk."""


def killed_at(line_count, action):
    """Run `action`, killed when it has run so many lines of the module; True if it came to its end before."""
    left = line_count

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename != checkpoint.__file__:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
        return True
    except Killed:
        return False
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that nobody was left to close
@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "over a damaged one"])
def test_killed_at_any_line_the_older_or_the_newer_is_there_whole(tmp_path, monkeypatch, stale):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # what the system was given survives the process
    older, newer = state(1), state(2)
    met = set()
    for lines in range(1000):
        folder = tmp_path / str(lines)
        save(folder, 1, older)
        if stale:
            (folder / "epoch-000002").mkdir()
            (folder / "epoch-000002" / "model.safetensors").write_bytes(b"half")
        ended = killed_at(lines, lambda: save(folder, 2, newer))  # noqa: B023
        found = load(folder, CPU)
        met.add(found.progress["epoch"])
        same(found, newer if found.progress["epoch"] == 2 else older)
        save(folder, 3, state(3))
        assert [path.name for path in folder.iterdir()] == ["epoch-000003"], "no rest of the killed one stays"
        if ended:
            break
    assert ended and met == {1, 2} and lines > 20


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty"])
def test_a_damaged_one_is_passed_over_for_an_older_one(tmp_path, damage):
    save(tmp_path / "new", 2, state(2))
    names = [path.name for path in files(tmp_path / "new")]
    assert len(names) == 5
    for name in names:
        folder = tmp_path / name
        save(folder, 2, state(2))
        hurt(folder / "epoch-000002" / name, damage)
        assert load(folder, CPU) is None, name
        (tmp_path / "old").mkdir(exist_ok=True)
        save(tmp_path / "old", 1, state(1))
        (tmp_path / "old" / "epoch-000001").rename(folder / "epoch-000001")
        same(load(folder, CPU), state(1))


def hurt(path, damage):
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]
        path.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b""}[damage])


@pytest.mark.parametrize("text", ["[]", "3", '{"version": 0, "files": {}}', '{"version": 1, "files": []}', "{}"])
def test_a_manifest_that_is_none_is_passed_over(tmp_path, text):
    save(tmp_path, 1, state(1))
    (tmp_path / "epoch-000001" / checkpoint.MANIFEST).write_text(text)
    assert load(tmp_path, CPU) is None


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from benchbase.checkpoint import Checkpoint, save
from benchbase.errors import RecordError
folder, room, which = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
big, small = torch.zeros(50_000), torch.zeros(1)
tensors, optimizer, progress = {"model": {"w": small}}, {}, {}
if which == "model": tensors = {"model": {"w": big}}
if which == "optimizer": optimizer = {"state": big}
if which == "progress": progress = {"curve": [0.5] * 50_000}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    save(folder, 2, Checkpoint(tensors, optimizer, {}, progress))
except RecordError as error:
    print(error)
"""


@pytest.mark.parametrize("which", ["model", "optimizer", "progress"])
def test_on_a_full_disk_the_error_says_so_and_the_older_one_stays(tmp_path, which):
    """Files may not grow past a size: every library meets an error of the system in the middle of writing."""
    save(tmp_path, 1, state(1))
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path), "20000", which], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(Path(checkpoint.__file__).parents[1])})
    assert ran.returncode == 0, ran.stderr
    assert f"{tmp_path}: the checkpoint cannot be written: " in ran.stdout
    assert "Expected room and permission. Free some space and run again: it goes on from the last" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000001"]
    same(load(tmp_path, CPU), state(1))


def test_this_system_ends_files_that_grow_too_large():
    """What the test of the full disk stands on."""
    assert hasattr(signal, "SIGXFSZ") and hasattr(resource, "RLIMIT_FSIZE")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordError, match="the checkpoint cannot be written"):
        save(tmp_path / "file" / "folder", 1, state(1))
