"""Locks: one holder at a time, and none that outlives its process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchbase.errors import RecordError
from benchbase.runner.locks import held, is_held


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_held(path)
    with held(path) as first:
        assert first
        assert is_held(path)
        with held(path) as second:
            assert not second
        with held(tmp_path / "b.lock") as other:
            assert other
    assert not is_held(path)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom benchbase.runner.locks import held\n"
        "with held(Path(sys.argv[1])) as ours:\n    print(ours, flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        assert is_held(path)
        process.send_signal(signal.SIGKILL)
    assert not is_held(path)


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot be written"), held(tmp_path / "file" / "a.lock"):
        pass
