"""The command as the system meets it: killed, stopped, short of disk, started twice, spread over processes."""

import json
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Finish = Callable[["subprocess.Popen[str]"], tuple[int, str, str]]

LONG = {"train": {"epochs": 40, "patience": 0, "batch": 4}, "seeds": [1], "grid": {"backbone": ["tiny_causal"]}}
STABLE = ("events.parquet", "topk.parquet", "curve.parquet")


def files(out: Path) -> dict[str, bytes]:
    """What must not depend on how runs were started, stopped and shared."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in sorted((out / "runs").glob("*/*"))
        if path.name in STABLE
    }


def metrics(out: Path) -> dict[str, str]:
    """The metrics of every record, as they are written."""
    return {
        path.parent.name: json.dumps(json.loads(path.read_text())["metrics"])
        for path in sorted((out / "runs").glob("*/record.json"))
    }


def wait_for(what: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    """Wait until something holds while the process lives."""
    end = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def begun(out: Path) -> bool:
    """Whether a checkpoint beyond the first epoch stands."""
    return any(path.name > "epoch-000002" for path in (out / "checkpoints").glob("*/epoch-*"))


def test_kill_9_then_the_same_command_ends_the_same_byte_for_byte(
    write: Any, start: Any, finish: Finish, tmp_path: Path
) -> None:
    suite, killed, whole = write(**LONG), tmp_path / "a", tmp_path / "b"
    process = start("run", suite, "--out", killed)
    wait_for(lambda: begun(killed), process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert not files(killed)
    state = json.loads(finish(start("status", killed, "--json"))[1])
    assert [run["state"] for run in state["runs"]] == ["begun"]
    for out in (killed, whole):
        status, _, errors = finish(start("run", suite, "--out", out))
        assert status == 0, errors
    assert files(killed) == files(whole) and files(whole)
    assert metrics(killed) == metrics(whole)
    before = {path: path.stat().st_mtime_ns for path in (killed / "runs").glob("*/*")}
    assert finish(start("run", suite, "--out", killed))[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (killed / "runs").glob("*/*")} == before


def test_ctrl_c_says_that_the_same_command_goes_on(write: Any, start: Any, finish: Finish, tmp_path: Path) -> None:
    process = start("run", write(**LONG), "--out", tmp_path / "a")
    wait_for(lambda: begun(tmp_path / "a"), process)
    process.send_signal(signal.SIGINT)
    status, _, errors = finish(process)
    assert status == 130
    assert "Stopped. The same command goes on where this one stopped." in errors
    assert "Traceback" not in errors


def test_two_commands_share_one_folder(write: Any, start: Any, finish: Finish, tmp_path: Path) -> None:
    suite, shared, alone = write(), tmp_path / "a", tmp_path / "b"
    both = [start("run", suite, "--out", shared) for _ in range(2)]
    ended = [finish(process) for process in both]
    assert [status for status, _, _ in ended] == [0, 0], ended
    done = [line for _, _, errors in ended for line in errors.splitlines() if line.startswith("[")]
    assert len([line for line in done if "another process ran it" not in line]) == 4, done  # each was run once
    assert ended[0][1].replace("a'", "") == ended[1][1].replace("a'", "")  # and both print the same leaderboard
    assert finish(start("run", suite, "--out", alone))[0] == 0
    assert files(shared) == files(alone)


def test_results_do_not_depend_on_workers(write: Any, start: Any, finish: Finish, tmp_path: Path) -> None:
    suite = write()
    for workers in (1, 2):
        status, _, errors = finish(start("run", suite, "--out", tmp_path / str(workers), "--workers", workers))
        assert status == 0, errors
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert metrics(tmp_path / "1") == metrics(tmp_path / "2")


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The worker processes of a command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_a_worker_that_dies_costs_its_run_and_nothing_else(
    write: Any, start: Any, finish: Finish, tmp_path: Path
) -> None:
    suite, out = write(**{**LONG, "seeds": [1, 2]}), tmp_path / "a"
    process = start("run", suite, "--out", out, "--workers", 2)
    wait_for(lambda: begun(out), process)
    victim = workers_of(process)[0]
    subprocess.run(["kill", "-9", str(victim)], check=True)
    status, printed, errors = finish(process)
    assert status == 1, errors
    assert "failed: its process was ended by SIGKILL (the system may have run out of memory)" in errors
    assert "--retry" in printed.rpartition("What next")[2]
    status, _, errors = finish(start("run", suite, "--out", out, "--retry"))
    assert status == 0, errors
    assert finish(start("run", suite, "--out", tmp_path / "b"))[0] == 0
    assert files(out) == files(tmp_path / "b")


def test_workers_end_with_the_command(write: Any, start: Any, finish: Finish, tmp_path: Path) -> None:
    """Killed, it leaves nobody behind who goes on writing: the next command gets every lock."""
    suite, out = write(**{**LONG, "seeds": [1, 2]}), tmp_path / "a"
    process = start("run", suite, "--out", out, "--workers", 2)
    wait_for(lambda: begun(out), process)
    process.send_signal(signal.SIGKILL)
    finish(process)  # returns when all who hold its output have ended
    status, _, errors = finish(start("run", suite, "--out", out))
    assert status == 0, errors
    assert len(metrics(out)) == 2


def test_a_full_disk_is_told_and_nothing_is_lost(write: Any, start: Any, finish: Finish, tmp_path: Path) -> None:
    suite, out = write(**LONG), tmp_path / "a"
    assert finish(start("data", "prepare", "tiny_data"))[0] == 0  # the cache is on another disk, so to speak

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    status, _, errors = finish(start("run", suite, "--out", out, preexec_fn=limit))
    assert status == 2, errors
    assert "cannot be written" in errors and "Traceback" not in errors
    assert not metrics(out)
    assert finish(start("run", suite, "--out", out))[0] == 0
