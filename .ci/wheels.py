"""Install wheels of the core and of named plugins into the running environment, with one of their extras.

A wheel is built once for each state of its sources, into `.tox/wheels/<folder>-<hash of the sources>`, and shared by
all environments. What the environment holds besides is removed, so that no environment knows more than it should.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".tox" / "wheels"


def sources(project: Path) -> list[Path]:
    """The files that make up a distribution, without its tests."""
    beside = [project / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    packages = [path.parent for path in project.glob("benchbase*/__init__.py")]
    inside = [path for package in packages for path in package.rglob("*")]
    return sorted(path for path in beside + inside if path.is_file() and "__pycache__" not in path.parts)


def wheel_of(project: Path, uv: str) -> Path:
    """The wheel of a project, built where none of these sources exists; safe beside another that builds it."""
    digest = hashlib.sha256()
    for path in sources(project):
        digest.update(f"{path.relative_to(project)}\0".encode() + path.read_bytes() + b"\0")
    folder = WHEELS / f"{project.name if project != ROOT else 'core'}-{digest.hexdigest()[:12]}"
    if not folder.exists():
        WHEELS.mkdir(parents=True, exist_ok=True)
        built = Path(tempfile.mkdtemp(dir=WHEELS, prefix=".building-"))
        subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", built, project], check=True)
        try:
            os.rename(built, folder)
        except OSError:  # another environment was first
            shutil.rmtree(built)
    return next(folder.glob("*.whl"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugins", nargs="*", help="folder names under plugins/")
    parser.add_argument("--all", action="store_true", help="every plugin")
    parser.add_argument("--extra", default="test", help="the extra of each distribution to install (test)")
    given = parser.parse_args()
    uv = shutil.which("uv")
    if not uv:
        parser.error("uv is not on the path. Start with `python3 start.py check`, or install uv.")
    every = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
    projects = [ROOT, *(ROOT / "plugins" / name for name in (every if given.all else given.plugins))]
    wheels = [wheel_of(project, uv) for project in projects]
    wanted = [f"{distribution(wheel)}[{given.extra}] @ {wheel.as_uri()}" for wheel in wheels]
    command = [uv, "pip", "install", "--quiet", "--exact", "--python", sys.executable, "-c", "constraints.txt"]
    return subprocess.run([*command, *wanted], cwd=ROOT).returncode


def distribution(wheel: Path) -> str:
    return wheel.name.split("-")[0].replace("_", "-")


if __name__ == "__main__":
    sys.exit(main())
