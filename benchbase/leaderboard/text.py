"""A leaderboard for the terminal; without one, the same as plain text."""

import io
import sys
from typing import TYPE_CHECKING, TextIO

from . import words
from .columns import Column, grid
from .sheets import Sheet, sheets
from .table import Leaderboard, Row
from .table import Table as Board

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH = 140
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
        console.print(_main(table, board, console.width))
        if any(row.versus for row in table.rows):
            console.print(_tests(table, board, console.width))
        for sheet in sheets(table, board):
            console.print(_sheet(sheet, console.width))
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


def _main(table: Board, board: Leaderboard, room: int) -> "Table":
    """Entries by metrics, ranks and costs."""
    against = f"against {board.baseline}" if board.baseline else ""
    names = ("entry", "rank", *board.metrics, "seeds", against, "training", "epochs", "parameters")
    spare = {"parameters": 4, "epochs": 3, "seeds": 2, "training": 1}
    lines = [_cells(row, board) for row in table.rows]
    return grid([Column(name, [line[place] for line in lines], name in ("entry", against), spare.get(name, 0))
                 for place, name in enumerate(names)], room)


def _cells(row: Row, board: Leaderboard) -> list["Text"]:
    from rich.text import Text

    label = Text(row.label)
    if row.flags:
        label.append(f"\n{', '.join(row.flags)}", style="yellow")
    cells = [label, Text(words.rank(row.rank))]
    for metric in board.metrics:
        cell = Text()
        if interval := row.metrics.get(metric):
            mark, style = ("*", "bold") if metric in row.best else (" ", "")
            cell = Text(words.number(interval.point) + mark, style=style)
            cell.append(f"\n{words.ends(interval)} ", style="not bold dim")
        cells.append(cell)
    style = {"better": "green", "worse": "red", "ok": ""}.get(words.result(row, board), "dim")
    cells += [Text(words.seeds(row)), Text(words.result(row, board), style=style)]
    if row.status != "ok":
        return [*cells, Text(), Text(), Text()]
    return [*cells, Text(words.duration(row.cost["train_seconds"])), Text(words.epochs(row.cost)),
            Text(words.size(row.cost["parameters"]))]


def _tests(table: Board, board: Leaderboard, room: int) -> "Table":
    """Every entry less the baseline."""
    from rich.text import Text

    names = ("entry", "difference", "interval", "p", "p corrected", "effect", "detectable", "better/same/worse")
    spare = {"detectable": 3, "better/same/worse": 2, "effect": 1}
    lines = [(row.label, words.signed(v.difference), words.signed_ends(v), words.p_value(v.p),
              words.p_value(v.p_holm), words.effect(v.effect_size), words.number(v.detectable),
              f"{v.wins} / {v.ties} / {v.losses}") for row in table.rows if (v := row.versus)]
    columns = [Column(name, [Text(line[place]) for line in lines], name == "entry", spare.get(name, 0))
               for place, name in enumerate(names)]
    return grid(columns, room, f"less {board.baseline}, {board.metrics[0]}")


def _sheet(sheet: Sheet, room: int) -> "Table":
    from rich.text import Text

    columns = [Column(name, [Text(line[place]) for line in sheet.lines], place in sheet.left)
               for place, name in enumerate(sheet.names)]
    return grid(columns, room, sheet.title)
