"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click


def as_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def as_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; without a terminal as plain text that no width cuts."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..leaderboard.text import console_for

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console_for().print(grid)


def what_next(text: str) -> None:
    """The last line: what the user can do now."""
    click.echo(f"\nWhat next: {text}")


def shell(text: object) -> str:
    """A text as one word of a command."""
    import shlex

    return shlex.quote(str(text))
