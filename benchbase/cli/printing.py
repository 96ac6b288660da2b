"""What commands print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

import click

_OUT = "benchbase.stdout"


def _json_alone(ctx: click.Context, option: click.Parameter, wanted: bool) -> bool:
    """With --json whatever a plugin prints goes to stderr: programs read stdout."""
    if wanted and _OUT not in ctx.meta:
        ctx.meta[_OUT] = sys.stdout
        ctx.with_resource(redirect_stdout(sys.stderr))
    return wanted


JSON = click.option("--json", "json_", is_flag=True, callback=_json_alone, help="Print JSON.")
"""The option of every command that prints facts."""


def as_json(value: Any) -> None:
    """Print a value as JSON."""
    out = click.get_current_context().meta[_OUT]
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str), file=out)


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
