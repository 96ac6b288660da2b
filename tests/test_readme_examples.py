"""Every suite line and every part in brackets of the plugins' READMEs is one that benchbase reads."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchbase.config import load_suite
from benchbase.errors import BenchbaseError
from benchbase.registry import Registry

pytestmark = pytest.mark.plugins

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(ROOT.glob("plugins/*/README.md"))
PART = re.compile(r"`([a-z][a-z0-9_]*)(\[[^\]`]+\])`")
KINDS = ("backbone", "compressor", "combiner", "recommender", "modifiers", "objectives", "datasets")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def blocks(text: str) -> list[str]:
    """The fenced YAML blocks of a page."""
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)


def read(block: str, registry: Registry) -> None:
    """Load an example as part of a suite that has what it leaves out. Errors: `ConfigError`."""
    example: dict[str, Any] = {"suite": "example", "datasets": ["noise"], **yaml.safe_load(block)}
    entries = example.setdefault("entries", [{"label": "popular", "recommender": "popularity"}])
    if "base" in example or not all("recommender" in entry for entry in entries):
        example["base"] = {"backbone": "sasrec", "objectives": ["softmax"], **example.get("base", {})}
    assert load_suite(example, registry).configurations(registry)


def read_part(name: str, parameters: str, registry: Registry) -> None:
    """Load a part in brackets as one of whatever kind has its name. Errors: `ConfigError`."""
    kinds = [
        kind for kind in KINDS if any(offer.spec.name == name for offer in registry.offers(kind.removesuffix("s")))
    ]
    assert kinds, f"no plugin offers {name}"
    for kind in kinds:
        part: Any = [name + parameters] if kind.endswith("s") else name + parameters
        choice = {"datasets": part} if kind == "datasets" else {"entries": [{"label": "a", kind: part}]}
        read(yaml.safe_dump(choice), registry)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_examples_of_a_readme_are_suites(page: Path, registry: Registry) -> None:
    found = blocks(page.read_text(encoding="utf-8"))
    assert found, f"{page}: no example"
    for block in found:
        read(block, registry)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_parts_in_brackets_of_a_readme_are_real(page: Path, registry: Registry) -> None:
    for name, parameters in PART.findall(page.read_text(encoding="utf-8")):
        read_part(name, parameters, registry)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_readme_installs_from_this_repository_since_no_index_has_core_or_plugin(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"pip install ([^`]+)`", text)) == {f". ./plugins/{page.parent.name}"}
    assert "python3 start.py install" in text


def test_mistakes_are_seen(registry: Registry) -> None:
    for wrong in ("entries: [{label: a, recommender: esae}]", "entries: [{objectives: ['bce[negative=3]']}]"):
        with pytest.raises(BenchbaseError, match="Did you mean"):
            read(wrong, registry)
    read_part("bce", "[negatives=3]", registry)
    with pytest.raises(BenchbaseError, match="negative"):
        read_part("bce", "[negative=3]", registry)
    assert PART.findall("as `ease[l2=100]` has it, not `users[0]`.") == [("ease", "[l2=100]"), ("users", "[0]")]
