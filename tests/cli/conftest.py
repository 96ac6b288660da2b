"""The tiny parts as an installed plugin, and a suite file of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGIN = """
from benchbase import hookimpl

@hookimpl
def benchbase_datasets():
    from benchbase.testing.world import tiny_data
    return [tiny_data]

@hookimpl
def benchbase_backbones():
    from benchbase.testing.tiny import tiny_bidirectional, tiny_causal
    return [tiny_causal, tiny_bidirectional]

@hookimpl
def benchbase_objectives():
    from benchbase.testing.tiny import tiny_softmax
    return [tiny_softmax]
"""

SUITE: dict[str, Any] = {
    "suite": "tiny",
    "plugins": ["tinyparts"],
    "datasets": ["tiny_data"],
    "protocol": {"split": "leave_one_out", "window": 8, "filter_seen": "none", "metrics": ["ndcg@5", "hr@5"]},
    "train": {"epochs": 3, "patience": 0, "batch": 8},
    "seeds": [1, 2],
    "guards": False,
    "base": {"objectives": ["tiny_softmax"]},
    "grid": {"backbone": ["tiny_causal", "tiny_bidirectional"]},
}

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path of Python that holds the plugin `tinyparts`, and broken ones beside it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tinyparts.py").write_text(PLUGIN)
    (folder / "brokenparts.py").write_text("import no_such_module\n")
    for name in ("tinyparts", "brokenparts"):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[benchbase]\n{name} = {name}\n")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared data of tests stays with the tests."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("BENCHBASE_CACHE", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a suite file; keyword arguments replace keys of the tiny suite."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump({**SUITE, **changes}, sort_keys=False))
        return path

    return write


Start = Callable[..., "subprocess.Popen[str]"]


def hear_ctrl_c() -> None:
    """Listen to Ctrl-C, which whatever is started in a shell's background is told to ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(installed: Path) -> Start:
    """Start the command in a process of its own."""

    def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
        path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "benchbase.cli", *map(str, arguments)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            **{"preexec_fn": hear_ctrl_c, **options},
        )

    return start


@pytest.fixture
def finish() -> Callable[["subprocess.Popen[str]"], tuple[int, str, str]]:
    """Wait for a process: its status, what it printed, and its errors."""

    def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        printed, errors = process.communicate(timeout=300)
        return process.returncode, printed, errors

    return finish


__all__: Sequence[str] = ()
