#!/usr/bin/env python3
"""Set the project up on a machine that has only Python 3.11 or newer, then do one of its two jobs.

    python3 start.py quickstart [arguments of `benchbase run`]   train and compare on generated data
    python3 start.py check [arguments of `tox`]                  run every test, the linter and the type checker
    python3 start.py install                                     only make the environment `.venv`

Standard library only. Environments are made in the clone (`.venv`; `.tox` for the tests), are kept for the next
start, and are made again where they were left half-made or no longer fit the declared dependencies.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SUITE = "leaderboards/quickstart/suite.yaml"
TOOLS = ("tox>=4.29", "tox-uv>=1.20")
REPORTS = ROOT / ".tox" / "reports"
OURS, DONE = ".benchbase-environment", ".benchbase-complete"
BIN = "Scripts" if os.name == "nt" else "bin"
CUDA = ("+ nvidia-", "+ cuda-", "+ triton")  # in uv's plan of an installation
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def say(text: str) -> None:
    print(f"start: {text}", flush=True)


def refuse(text: str, *details: str) -> SystemExit:
    print(f"start: {text}", *details, sep="\n", file=sys.stderr, flush=True)
    return SystemExit(2)


def projects() -> list[Path]:
    """The core and every plugin folder that is a distribution."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def run(*command: str | Path, env: dict[str, str]) -> None:
    """Run a command of the set-up in the clone; a failure ends this program with the command's status."""
    status = subprocess.run([str(part) for part in command], cwd=ROOT, env=env).returncode
    if status:
        print(f"start: failed with status {status}: {' '.join(map(str, command))}", file=sys.stderr)
        raise SystemExit(status)


# Where packages come from: uv does not read pip's configuration, so it is handed over.


def pip_settings() -> dict[str, str]:
    """pip's settings by name, whether they come from its configuration files or from environment variables."""
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], cwd=ROOT, capture_output=True, text=True)
    settings: dict[str, str] = {}
    for line in asked.stdout.splitlines() if asked.returncode == 0 else []:
        key, _, value = line.partition("=")
        if key.startswith(("global.", "install.")):
            settings[key.partition(".")[2]] = ast.literal_eval(value)
    for name in ("find-links", "index-url", "cert", "default-timeout", "timeout"):
        if given := os.environ.get("PIP_" + name.upper().replace("-", "_")):
            settings[name] = given
    return settings


def variables() -> dict[str, str]:
    """The environment for uv, pip and tox."""
    env = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"):
        env.pop(name, None)
    pip = pip_settings()
    handed = {
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout", ""),
    }
    if env.get("UV_INDEX_URL"):
        del handed["UV_DEFAULT_INDEX"]
    for name, value in handed.items():
        if value and not env.get(name):
            env[name] = value
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if torch_choice() == "cuda":  # what is lying ready locally is the CPU build
        env.pop("UV_FIND_LINKS", None)
    return env


def torch_choice() -> str:
    choice = os.environ.get("BENCHBASE_TORCH", "cpu")
    if choice not in ("cpu", "cuda"):
        raise refuse(f"BENCHBASE_TORCH: {choice!r} unknown. Expected 'cpu' or 'cuda'.")
    return choice


def with_torch(uv: Path, python: Path, env: dict[str, str]) -> dict[str, str]:
    """The environment in which uv takes the wanted build of torch; never a CUDA build unasked."""
    if torch_choice() == "cuda" or env.get("UV_TORCH_BACKEND"):
        say(f"torch: {env.get('UV_TORCH_BACKEND') or 'the CUDA build'}, as asked for")
        return env
    asked = [str(uv), "pip", "install", "--dry-run", "--python", str(python), "-c", "constraints.txt", "torch"]
    complaints = []
    for tried in (env, {**env, "UV_TORCH_BACKEND": "cpu"}):
        plan = subprocess.run(asked, cwd=ROOT, env=tried, capture_output=True, text=True)
        if plan.returncode == 0 and not any(name in plan.stderr for name in CUDA):
            say("torch: the CPU build (BENCHBASE_TORCH=cuda takes the CUDA build instead)")
            return tried
        complaints += [plan.stderr.strip()] if plan.returncode else []
    raise refuse(f"no CPU build of torch for Python {sys.version.split()[0]} can be reached, neither through find-links"
                 f" nor at {CPU_INDEX}. Offer a wheel (PIP_FIND_LINKS=folder), or take the CUDA build"
                 f" (BENCHBASE_TORCH=cuda).", *complaints)


# Environments


def key_of(*parts: str) -> str:
    """What an environment depends on: interpreter, place, declared dependencies, constraints."""
    files = [Path(__file__), ROOT / "constraints.txt", *(folder / "pyproject.toml" for folder in projects())]
    texts = [sys.version, str(ROOT), torch_choice(), *parts]
    texts += [f"{path.relative_to(ROOT)}\n{path.read_text(encoding='utf-8')}" for path in files]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def is_complete(folder: Path, key: str) -> bool:
    done = folder / DONE
    return done.is_file() and done.read_text(encoding="utf-8") == key and python_of(folder).exists()


def python_of(folder: Path) -> Path:
    return folder / BIN / ("python.exe" if os.name == "nt" else "python")


def begin(folder: Path, env: dict[str, str]) -> Path | None:
    """Make an empty environment, in place of an old or half-made one of ours; returns its uv, if uv can be had."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / OURS).exists():
            raise refuse(f"{folder}: this environment was made by something else. Move it away and start again.")
        say(f"{folder.name}: out of date or half-made, making it again")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / OURS).touch()
    if found := shutil.which("uv", path=env.get("PATH")):
        run(sys.executable, "-m", "venv", "--without-pip", folder, env=env)
        return Path(found)
    run(sys.executable, "-m", "venv", folder, env=env)
    took = subprocess.run([python_of(folder), "-m", "pip", "install", "-q", "-c", "constraints.txt", "uv"],
                          cwd=ROOT, env=env)
    uv = folder / BIN / ("uv.exe" if os.name == "nt" else "uv")
    return uv if took.returncode == 0 and uv.exists() else None


def finish(folder: Path, key: str) -> None:
    """Mark an environment complete; the last thing done to it."""
    part = folder / (DONE + ".part")
    part.write_text(key, encoding="utf-8")
    os.replace(part, folder / DONE)


def install() -> Path:
    """Make `.venv` with the core and every plugin, editable; returns its folder."""
    folder, key = ROOT / ".venv", key_of("venv")
    if is_complete(folder, key):
        return folder
    env = variables()
    say("making .venv")
    uv = begin(folder, env)
    editable = [part for project in projects() for part in ("-e", str(project))]
    if uv:
        env = with_torch(uv, python_of(folder), env)
        run(uv, "pip", "install", "-q", "--python", python_of(folder), "-c", "constraints.txt", *editable, env=env)
    else:
        say("uv cannot be had: going on with pip, which takes a minute longer")
        install_torch_with_pip(folder, env)
        run(python_of(folder), "-m", "pip", "install", "-q", "-c", "constraints.txt", *editable, env=env)
    finish(folder, key)
    return folder


def install_torch_with_pip(folder: Path, env: dict[str, str]) -> None:
    """Have the CPU build of torch before anything asks for torch; a question on Linux only."""
    if torch_choice() == "cuda" or sys.platform != "linux":
        return
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    wanted = next(pin for pin in pins if pin.startswith("torch==")) + "+cpu"
    say("torch: the CPU build (BENCHBASE_TORCH=cuda takes the CUDA build instead)")
    command = [str(python_of(folder)), "-m", "pip", "install", "-q", "-c", "constraints.txt", wanted]
    if subprocess.run(command, cwd=ROOT, env=env, capture_output=True).returncode:
        run(*command, "--extra-index-url", CPU_INDEX, env=env)


# The jobs


def only_install(arguments: list[str]) -> int:
    say(f"ready: {install()}")
    return 0


def quickstart(arguments: list[str]) -> int:
    """Run the quickstart suite, two runs at a time unless told otherwise; `benchbase run` prints the leaderboard."""
    command = install() / BIN / "benchbase"
    if not any(argument.startswith("--workers") for argument in arguments) and (os.cpu_count() or 1) > 1:
        arguments = ["--workers", "2", *arguments]
    say(f"{command.relative_to(ROOT)} run {' '.join([SUITE, *arguments])}")
    return subprocess.run([command, "run", SUITE, *arguments], cwd=ROOT).returncode


def check(arguments: list[str]) -> int:
    """Run tox over all its environments, then print how many tests passed and failed altogether."""
    folder, key = ROOT / ".tox" / "tools", key_of("tools", *TOOLS)
    env = variables()
    if not is_complete(folder, key):
        uv = begin(folder, env)
        if not uv:
            raise refuse("uv cannot be installed here, and the tests need it (see tox.ini).")
        run(uv, "pip", "install", "-q", "--python", python_of(folder), "-c", "constraints.txt", *TOOLS, "uv", env=env)
        finish(folder, key)
    env["PATH"] = os.pathsep.join([str(folder / BIN), env.get("PATH", os.defpath)])
    env = with_torch(folder / BIN / "uv", python_of(folder), env)
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    results = REPORTS / "tox.json"
    command = [str(python_of(folder)), "-m", "tox", *tox_arguments(arguments, results)]
    status = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL).returncode
    return summarise(REPORTS, results, status)


def tox_arguments(given: list[str], results: Path) -> list[str]:
    """What tox is called with: all environments side by side, or as given, and a report of how they ended."""
    command, *rest = given or ["run-parallel", "--parallel", "auto", "--parallel-no-spinner"]
    if command.startswith("-"):
        command, rest = "run", given
    return [command, "--result-json", str(results), *rest]


def summarise(reports: Path, results: Path, status: int) -> int:
    """Print the sum of the environments' reports as the last line; an environment that failed without a failing
    test (linter, type checker, installation, collection) counts as one failure. Returns the exit status.
    """
    counts = {path.stem: count(path) for path in sorted(reports.glob("*.xml"))}
    total = {what: sum(entry[what] for entry in counts.values()) for what in ("passed", "failed", "skipped")}
    outcomes = read_outcomes(results)
    broken = sorted(name for name, good in outcomes.items() if not good and not counts.get(name, {}).get("failed"))
    if status and not (broken or total["failed"]):
        broken.append("tox")
    if not total["passed"] and not total["failed"]:
        broken.append("no test ran")
    for name in broken:
        say(f"failed outside of a test: {name}")
    total["failed"] += len(broken)
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}", flush=True)
    return status or (1 if total["failed"] else 0)


def count(report: Path) -> dict[str, int]:
    """Outcomes in one JUnit report; a report that cannot be read is one failure."""
    try:
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    except ElementTree.ParseError:
        return {"passed": 0, "failed": 1, "skipped": 0}
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - failed - skipped, "failed": failed, "skipped": skipped}


def read_outcomes(results: Path) -> dict[str, bool]:
    """Whether each environment ended well, from tox's own report; empty where tox wrote none."""
    try:
        environments = json.loads(results.read_text(encoding="utf-8"))["testenvs"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: entry["result"]["success"] for name, entry in environments.items() if "result" in entry}


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is started with whatever Python there is
        raise refuse(f"Python {sys.version.split()[0]} is too old. Expected 3.11 or newer.")
    jobs = {"quickstart": quickstart, "check": check, "install": only_install}
    if not arguments or arguments[0] not in jobs:
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    return jobs[arguments[0]](arguments[1:])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
