"""A leaderboard for the terminal; without one, the same as plain text."""

import io
import sys
from typing import TYPE_CHECKING, TextIO

from . import words
from .table import Leaderboard, Row
from .table import Table as Board

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH = 120
"""Columns of plain text."""


def to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """The leaderboard as plain text."""
    sink = io.StringIO()
    show(board, sink, width)
    return sink.getvalue()


def show(board: Leaderboard, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print the leaderboard, in colour where the stream is a terminal."""
    from rich.text import Text

    console = console_for(stream, width)
    console.print(Text(board.suite, style="bold"), Text(f"  {words.head(board)}", style="dim"))
    for table in board.tables:
        console.print()
        console.print(Text(table.dataset, style="bold"), Text(f"  {table.card}", style="dim"))
        if table.protocol:
            console.print(Text(table.protocol, style="dim"))
        console.print(_main(table, board))
        if any(row.versus for row in table.rows):
            console.print(_tests(table, board))
        for note in words.doubts(table):
            console.print(Text(f"· {note}"))
    console.print()
    for line in words.legend(board):
        console.print(Text(line, style="dim"))
    for note in board.notes:
        console.print(Text(f"· {note}"))


def console_for(stream: TextIO | None = None, width: int | None = None) -> "Console":
    """A console that writes plain text of a fixed width where nobody watches."""
    from rich.console import Console

    stream = stream or sys.stdout
    watched = stream.isatty()
    return Console(file=stream, width=width or (None if watched else WIDTH), highlight=False, markup=False, emoji=False,
                   force_terminal=None if watched else False)


def _grid(title: str = "") -> "Table":
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="italic", pad_edge=False)


def _main(table: Board, board: Leaderboard) -> "Table":
    """Entries by metrics, ranks and costs."""
    grid = _grid()
    grid.add_column("entry")
    for name in ("rank", *board.metrics, "seeds"):
        grid.add_column(name, justify="right")
    grid.add_column(f"against {board.baseline}" if board.baseline else "")
    for name in ("training", "epochs", "parameters"):
        grid.add_column(name, justify="right")
    for row in table.rows:
        grid.add_row(*_cells(row, board))
    return grid


def _cells(row: Row, board: Leaderboard) -> list["RenderableType"]:
    from rich.text import Text

    label = Text(row.label)
    if row.flags:
        label.append(f"\n{', '.join(row.flags)}", style="yellow")
    cells: list[RenderableType] = [label, words.rank(row.rank)]
    for metric in board.metrics:
        if interval := row.metrics.get(metric):
            mark, style = ("*", "bold") if metric in row.best else (" ", "")
            cell = Text(words.number(interval.point) + mark, style=style)
            cells.append(cell.append(f"\n{words.ends(interval)} ", style="not bold dim"))
        else:
            cells.append("")
    style = {"better": "green", "worse": "red", "ok": ""}.get(words.result(row, board), "dim")
    cells += [words.seeds(row), Text(words.result(row, board), style=style)]
    if row.status != "ok":
        return [*cells, "", "", ""]
    return [*cells, words.duration(row.cost["train_seconds"]), words.epochs(row.cost),
            words.size(row.cost["parameters"])]


def _tests(table: Board, board: Leaderboard) -> "Table":
    """Every entry less the baseline."""
    grid = _grid(f"less {board.baseline}, {board.metrics[0]}")
    grid.add_column("entry")
    for name in ("difference", "interval", "p", "p corrected", "effect", "detectable", "better/same/worse"):
        grid.add_column(name, justify="right")
    for row in table.rows:
        if versus := row.versus:
            grid.add_row(row.label, words.signed(versus.difference), words.versus_ends(versus),
                         words.p_value(versus.p), words.p_value(versus.p_holm), words.effect(versus.effect_size),
                         words.number(versus.detectable), f"{versus.wins} / {versus.ties} / {versus.losses}")
    return grid
