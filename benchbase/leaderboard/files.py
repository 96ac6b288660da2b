"""A leaderboard as Markdown, CSV and JSON: the same records give the same bytes."""

import csv
import io
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import Published
from ..runner.measures import EXPLANATIONS, GROUPS, LISTS, STREAM, TRUTH
from . import words
from .sheets import Sheet, curve_sheet, sheets
from .table import Leaderboard, Row, Table

DIGITS = 6
"""Significant digits of numbers in files: more would depend on the machine that adds them up."""


PLOTS = {"costs": "Accuracy against operations", "told": "Accuracy against what a probe tells",
         "stream": "Accuracy in the stream against what is forgotten"}
"""What each kind of plot shows."""


def plot_name(plot: str, table: int | str) -> str:
    """What a plot is called: its kind, or `told.` and what users are grouped by; tables are counted from 1."""
    kind, _, column = plot.partition(".")
    ending = f"-{re.sub('[^A-Za-z0-9_-]', '-', column)}" if column else ""
    return f"{kind}-{table}{ending}.svg"


def plots_in(folder: Path) -> list[str]:
    """The names of the plots that lie in a folder."""
    return sorted(path.name for kind in PLOTS for path in folder.glob(f"{kind}-*.svg"))


def to_markdown(board: Leaderboard, intro: str = "", plots: Collection[str] = ()) -> str:
    """A page: the question, one table per data set with its tests, every note. `intro` follows the title; `plots`: the
    files of those that lie beside it.
    """
    parts = [f"# {_escape(board.suite)}", intro.strip(), f"{words.head(board).capitalize()}."]
    for place, table in enumerate(board.tables, 1):
        parts += [f"## {_escape(table.dataset)}", _lines(table.card, table.protocol), _main(table, board)]
        if any(row.versus for row in table.rows):
            parts += [f"Less {_escape(str(board.baseline))}, {board.metrics[0]}:", _tests(table)]
        for sheet in (*sheets(table, board), *curve_sheet(table, board)):
            parts += [f"{_escape(sheet.title)}:", _sheet(sheet)]
            if sheet.plot and (name := plot_name(sheet.plot, place)) in plots:
                parts.append(f"![{PLOTS[sheet.plot.partition('.')[0]]}; the same figures stand above]({name})")
        parts.append(_list(words.doubts(table)))
    parts += ["## How to read it", _list(words.legend(board)), _list(board.notes)]
    parts.append("Made by `benchbase report` from the records beside it; do not edit.")
    return "\n\n".join(part for part in parts if part) + "\n"


def to_csv(board: Leaderboard) -> str:
    """One line per data set and entry."""
    sink = io.StringIO()
    rows = list(_flat(board))
    fullest = sorted(rows, key=lambda row: -len(row))
    names = list(dict.fromkeys(name for row in fullest for name in row))
    writer = csv.DictWriter(sink, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def to_json(board: Leaderboard) -> str:
    """Everything, indented."""
    return json.dumps(plain(board), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A leaderboard or a part of it as JSON values: numbers rounded, those that are not finite null, sets sorted."""
    if isinstance(value, Published):
        return plain(value.model_dump())
    if hasattr(value, "__dataclass_fields__"):
        verdict = {"verdict": value.verdict} if hasattr(value, "verdict") else {}
        return {**{name: plain(getattr(value, name)) for name in value.__dataclass_fields__}, **verdict}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _rounded(value) if isinstance(value, float) else value


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None


def _flat(board: Leaderboard) -> Iterator[dict[str, Any]]:
    for table in board.tables:
        for row in table.rows:
            flat: dict[str, Any] = {"dataset": table.dataset, "entry": row.label, "status": row.status,
                                    "seeds": " ".join(map(str, row.seeds)), "users": table.users if row.seeds else ""}
            for metric in board.metrics:
                interval = row.metrics.get(metric)
                for name, end in (("", "point"), (".low", "low"), (".high", "high")):
                    flat[metric + name] = _rounded(getattr(interval, end)) if interval else ""
            for name in ("point", "low", "high"):
                flat["rank" if name == "point" else f"rank.{name}"] = getattr(row.rank, name) if row.rank else ""
            doubts = {"flags": "; ".join(row.flags), "reasons": "; ".join(row.reasons)}
            yield flat | _figures(table, row.label) | _versus(row) | doubts


def _figures(table: Table, label: str) -> dict[str, Any]:
    """What else was measured of an entry."""
    found = ((LISTS, table.lists), (GROUPS, table.groups), (STREAM, table.stream), (TRUTH, table.truths))
    said = table.explanations.entries if table.explanations else ()
    return {f"{prefix}{name}": _rounded(interval.point) for prefix, some in found if some
            for each in some.entries if each.label == label for name, interval in each.figures.items()} | {
            f"{EXPLANATIONS}{each.explainer}.{name}": _rounded(interval.point)
            for each in said if each.label == label for name, interval in each.figures.items()}


def _versus(row: Row) -> dict[str, Any]:
    versus = {f"baseline.{name}": _cell(value) for name, value in asdict(row.versus).items()} if row.versus else {}
    verdict = {"baseline.verdict": row.versus.verdict} if row.versus else {}
    return versus | verdict | {f"cost.{name}": _cell(value) for name, value in row.cost.items()}


def _cell(value: Any) -> Any:
    return _rounded(value) if isinstance(value, float) else value


def _main(table: Table, board: Leaderboard) -> str:
    against = f"against {board.baseline}" if board.baseline else ""
    names = ["entry", "rank", *board.metrics, "seeds", against, "training", "epochs", "parameters", "flags"]
    lines = []
    for row in table.rows:
        metrics = []
        for metric in board.metrics:
            interval = row.metrics.get(metric)
            point = words.number(interval.point) if interval else ""
            shown = f"**{point}**" if metric in row.best else point
            metrics.append(f"{shown} ({words.ends(interval)})" if interval else "")
        paid = row.status == "ok"
        lines.append([_escape(row.label), words.rank(row.rank), *metrics, words.seeds(row), words.result(row, board),
                      words.duration(row.cost["train_seconds"]) if paid else "",
                      words.epochs(row.cost) if paid else "",
                      words.size(row.cost["parameters"]) if paid else "", ", ".join(row.flags)])
    return _grid(names, lines, left=(0, len(board.metrics) + 3, len(names) - 1))


def _tests(table: Table) -> str:
    names = ["entry", "difference", "interval", "p", "p corrected", "effect", "detectable", "better/same/worse"]
    lines = [[_escape(row.label), words.signed(v.difference), words.signed_ends(v), words.p_value(v.p),
              words.p_value(v.p_holm), words.effect(v.effect_size), words.number(v.detectable),
              f"{v.wins} / {v.ties} / {v.losses}"] for row in table.rows if (v := row.versus)]
    return _grid(names, lines, left=(0,))


def _sheet(sheet: Sheet) -> str:
    return _grid(sheet.names, [[_escape(cell) for cell in line] for line in sheet.lines], sheet.left)


def _grid(names: Sequence[str], lines: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    rule = ["---" if place in left else "--:" for place in range(len(names))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in ([_escape(name) for name in names], rule, *lines))


def _escape(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    line = " ".join(text.splitlines())
    return line.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("](", "]\\(")


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {_escape(item)}" for item in items)


def _lines(*lines: str) -> str:
    return "\n".join(f"{_escape(line)}.  " for line in lines if line).rstrip()
