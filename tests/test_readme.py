"""The README's commands and links are real."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("plugins/*/README.md"))]


@pytest.mark.parametrize("command", ["python3 start.py quickstart", "python3 start.py check"])
def test_the_two_commands_are_named(command: str) -> None:
    assert command in README


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "exec python3 start.py check </dev/null"


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links that lead to no file."""
    links = (link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text))
    return [link for link in links if link and "://" not in link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_seen() -> None:
    text = "[a](LICENSE) [b](no-such-file.md#part) [c](https://example.org/x) [d](#part)"
    assert broken_links(ROOT / "README.md", text) == ["no-such-file.md"]
