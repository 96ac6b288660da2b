"""Where a result comes from: the sources that made it, the versions at hand, the sort of machine."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config import canonical_json

CORE = Path(__file__).resolve().parent.parent
SOURCES = ("data", "nn", "metrics", "assemble", "train", "evaluate", "checkpoint")
"""Modules of the core whose code decides a result."""

LIBRARIES = ("benchbase-core", "numpy", "pandas", "pyarrow", "scipy", "torch")


def sources(modules: Iterable[str]) -> dict[str, str]:
    """The hash of the sources of the core and of each of these top-level packages, found without importing any.

    A package that is not installed is left out.
    """
    found = {"core": _core()}
    for module in sorted(set(modules)):
        if digest := _package(module):
            found[module] = digest
    return found


def code_hash(hashes: Mapping[str, str]) -> str:
    """One hash of all sources that a run used."""
    return hashlib.sha256(canonical_json(dict(hashes)).encode()).hexdigest()[:12]


def differing(facts: Mapping[str, Any]) -> list[str]:
    """The packages of a record whose code is not the code at hand; those that are not installed count as differing."""
    before: Mapping[str, str] = facts["environment"].get("sources", {})
    now = sources(name for name in before if name != "core")
    return [name for name, digest in before.items() if now.get(name) != digest]


def environment(plugins: Mapping[str, str], hashes: Mapping[str, str], device: str, threads: int) -> dict[str, Any]:
    """Versions, commit, code and machine; no paths, no names of hosts or users. `plugins`: distribution -> version."""
    cpu = cpu_model()
    machine = device if device not in ("", "cpu") else f"{cpu}, {os.cpu_count()} cores"
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", "cpu": cpu,
            "machine": machine, "device": device or "cpu", "threads": threads, "libraries": _libraries(),
            "plugins": dict(plugins), "commit": commit(), "sources": dict(hashes)}


@cache
def cpu_model() -> str:
    """The name of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def commit() -> str | None:
    """The commit of the core's sources, where they are a checkout with git at hand."""
    if not (CORE.parent / ".git").exists():
        return None
    try:
        asked = subprocess.run(["git", "-C", str(CORE.parent), "rev-parse", "HEAD"], capture_output=True, text=True,
                               timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


@cache
def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def _core() -> str:
    files = [file for name in SOURCES for file in _files(CORE / name)]
    return _hash(CORE, files)


@cache
def _package(module: str) -> str:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    folder = origin.parent
    return _hash(folder, sorted(folder.rglob("*.py")) if origin.name == "__init__.py" else [origin])


def _files(path: Path) -> list[Path]:
    """The sources of a package's folder, or of the module of that name."""
    module = path.with_suffix(".py")
    return [*([module] if module.is_file() else []), *sorted(path.rglob("*.py"))]


def _hash(root: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
