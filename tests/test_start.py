"""The set-up script: its closing line can be trusted, and its environments are made again when they have to be."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
ONE_OF_EACH = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="no"/></testcase><testcase name="d"><skipped/></testcase>
</testsuite></testsuites>"""
GOOD = '<testsuites><testsuite><testcase name="a"/><testcase name="b"/></testsuite></testsuites>'


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("BENCHBASE_TORCH", "UV_TORCH_BACKEND", "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("start", ROOT / "start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def closing(start: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str], *, status: int = 0,
            outcomes: dict[str, bool] | None = None, **reports: str) -> tuple[int, str]:
    for name, text in reports.items():
        (folder / f"{name}.xml").write_text(text)
    environments = {name: {"result": {"success": good}} for name, good in (outcomes or {}).items()}
    (folder / "tox.json").write_text(json.dumps({"testenvs": environments}))
    ended = start.summarise(folder, folder / "tox.json", status)
    return ended, capsys.readouterr().out.splitlines()[-1]


def test_the_last_line_is_the_sum(start, tmp_path, capsys):
    ended = closing(start, tmp_path, capsys, outcomes={"core": True, "all": True, "lint": True}, core=GOOD, all=GOOD)
    assert ended == (0, "4 passed, 0 failed")


def test_failures_errors_and_skips_are_counted(start, tmp_path, capsys):
    outcomes = {"core": False, "all": True}
    ended = closing(start, tmp_path, capsys, status=1, outcomes=outcomes, core=ONE_OF_EACH, all=GOOD)
    assert ended == (1, "3 passed, 2 failed, 1 skipped")


@pytest.mark.parametrize(("reports", "outcomes", "status", "line"), [
    ({"core": GOOD}, {"core": True, "lint": False}, 1, "2 passed, 1 failed"),  # no report, not well
    ({"core": GOOD}, {"core": False}, 1, "2 passed, 1 failed"),  # died after its tests
    ({"core": GOOD}, {"core": False}, 0, "2 passed, 1 failed"),  # whatever tox's own status says
    ({"core": GOOD, "all": "<testsui"}, {"core": True}, 0, "2 passed, 1 failed"),  # a report cut short
    ({"core": GOOD}, {}, 3, "2 passed, 1 failed"),  # tox itself failed
    ({}, {"lint": True}, 0, "0 passed, 1 failed"),  # nothing was tested
])  # fmt: skip
def test_what_fails_outside_of_a_test_is_a_failure(start, tmp_path, capsys, reports, outcomes, status, line):
    ended = closing(start, tmp_path, capsys, status=status, outcomes=outcomes, **reports)
    assert ended[0] != 0
    assert ended[1] == line


@pytest.mark.parametrize(("given", "expected"), [
    (["run", "-e", "core", "--", "-k", "name"], ["run", "--result-json", "r", "-e", "core", "--", "-k", "name"]),
    (["-e", "core", "--", "tests"], ["run", "--result-json", "r", "-e", "core", "--", "tests"]),
])  # fmt: skip
def test_the_report_is_asked_of_tox_and_not_of_pytest(start, given, expected):
    assert start.tox_arguments(given, Path("r")) == expected
    assert start.tox_arguments([], Path("r"))[:3] == ["run-parallel", "--result-json", "r"]


def test_pip_settings_are_handed_to_uv(start, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    assert start.variables()["UV_FIND_LINKS"] == "/a,/b"
    assert start.variables()["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert start.variables()["UV_FIND_LINKS"] == "/mine"


def test_pip_settings_come_from_its_files_too(start, tmp_path, monkeypatch):
    for name in ("PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_text("[global]\nfind-links =\n    /a\n    /b\n[install]\ncert = /c.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setattr(start.sys, "executable", getattr(sys, "_base_executable", sys.executable))
    if "pip.conf" not in subprocess.run([start.sys.executable, "-m", "pip", "config", "debug"], capture_output=True,
                                        text=True).stdout:
        pytest.skip("this Python has no pip")
    assert start.variables()["UV_FIND_LINKS"].endswith("/a,/b")
    assert start.variables()["SSL_CERT_FILE"] == "/c.pem"


def test_the_cuda_build_is_not_taken_from_local_wheels(start, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "/a")
    monkeypatch.setenv("BENCHBASE_TORCH", "cuda")
    assert "UV_FIND_LINKS" not in start.variables()
    monkeypatch.setenv("BENCHBASE_TORCH", "rocm")
    with pytest.raises(SystemExit):
        start.variables()


FAKE_UV = """import os, sys
cuda = os.environ.get("UV_TORCH_BACKEND") != "cpu" or {unreachable}
print(" + nvidia-cublas==1" if cuda else " + torch==2+cpu", file=sys.stderr)
"""


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_cuda_build_never_comes_unasked(start, tmp_path, monkeypatch, capsys, unreachable):
    script = tmp_path / "uv"
    script.write_text(f"#!{sys.executable}\n{FAKE_UV.format(unreachable=unreachable)}")
    script.chmod(0o755)
    if unreachable:
        with pytest.raises(SystemExit):
            start.with_torch(script, Path("python"), {"PATH": ""})
        assert "BENCHBASE_TORCH=cuda" in capsys.readouterr().err
    else:
        assert start.with_torch(script, Path("python"), {"PATH": ""})["UV_TORCH_BACKEND"] == "cpu"
        assert "BENCHBASE_TORCH=cuda" in capsys.readouterr().out


def environment(start: ModuleType, folder: Path) -> None:
    start.begin(folder, {"PATH": str(folder.parent)})


def test_an_environment_is_complete_only_with_its_key(start, tmp_path, monkeypatch):
    monkeypatch.setattr(start.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    folder = tmp_path / "venv"
    environment(start, folder)
    (folder / "left-over").touch()
    start.python_of(folder).parent.mkdir()
    start.python_of(folder).touch()
    assert not start.is_complete(folder, "key")
    start.finish(folder, "key")
    assert start.is_complete(folder, "key")
    assert not start.is_complete(folder, "another key")
    environment(start, folder)
    assert not start.is_complete(folder, "key")
    assert not (folder / "left-over").exists()


def test_an_environment_of_somebody_else_is_left_alone(start, tmp_path, capsys):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    with pytest.raises(SystemExit):
        environment(start, tmp_path / "venv")
    assert "made by something else" in capsys.readouterr().err
    assert (tmp_path / "venv" / "pyvenv.cfg").exists()


def test_the_key_follows_dependencies_and_constraints(start, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "ROOT", tmp_path)
    monkeypatch.setattr(start, "__file__", str(tmp_path / "start.py"))
    keys = set()
    for name in ("start.py", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    for name in ("pyproject.toml", "constraints.txt", "plugins/toy/pyproject.toml"):
        keys.add(start.key_of("venv"))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("changed")
    keys |= {start.key_of("venv"), start.key_of("tools")}
    assert len(keys) == 5


@pytest.mark.parametrize(("cores", "given", "called"), [
    (2, [], ["--workers", "2"]),
    (1, [], []),
    (None, [], []),
    (8, ["--workers", "4"], ["--workers", "4"]),
    (8, ["--workers=1", "--json"], ["--workers=1", "--json"]),
    (8, ["--out", "x"], ["--workers", "2", "--out", "x"]),
])  # fmt: skip
def test_the_quickstart_does_two_runs_at_a_time_unless_told_otherwise(start, monkeypatch, cores, given, called):
    commands = []
    monkeypatch.setattr(start, "install", lambda: start.ROOT / ".venv")
    monkeypatch.setattr(start.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(start.subprocess, "run",
                        lambda command, **options: commands.append(command) or subprocess.CompletedProcess([], 3))
    assert start.main(["quickstart", *given]) == 3
    assert commands[0][1:] == ["run", start.SUITE, *called]


def test_jobs_and_help(start, capsys):
    assert start.main(["--help"]) == 0
    assert start.main([]) == 2
    assert start.main(["chekc"]) == 2
    assert "start.py quickstart" in capsys.readouterr().out
