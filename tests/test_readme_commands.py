"""Every `benchbase` line of the README runs, in order, against a small suite with the same name and labels.

The two lines that start with `python3 start.py` are tested in test_start.py.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.plugins

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
QUESTION = "leaderboards/ml-1m/suite.yaml"
SUITE = """
suite: ml-1m
datasets: ["markov[n_users=40,n_items=20,events=8]"]
protocol: {split: leave_one_out, window: 8, metrics: [ndcg@10]}
train: {epochs: 1}
base: {backbone: "sasrec[width=8]", objectives: [softmax]}
entries:
  - {label: sasrec}
  - {label: ease, recommender: ease}
"""


def commands() -> list[str]:
    """The `benchbase` lines of the README's shell blocks, comments cut."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.startswith("benchbase ")]


def test_every_command_runs_and_says_something(tmp_path: Path) -> None:
    found = commands()
    assert {shlex.split(line)[1] for line in found} == {"plan", "run", "status", "compare", "report", "plugins"}
    (tmp_path / QUESTION).parent.mkdir(parents=True)
    (tmp_path / QUESTION).write_text(SUITE)
    environment = {**os.environ, "BENCHBASE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for line in found:
        command = [sys.executable, "-m", "benchbase.cli", *shlex.split(line)[1:]]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300)
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        assert ended.stdout.strip(), line
    assert (tmp_path / "runs" / "ml-1m").is_dir()
