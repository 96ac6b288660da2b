"""A leaderboard to show: records in their publishable form, the pages made of them, and nothing written by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import Published, canonical_json, read_published
from ..errors import RecordError
from ..runner.plan import FILE, read_plan
from ..runner.publish import publish, shown_reason
from ..runner.records import records_folder, write_file
from ..specs import defaults
from .costs import costs_of
from .files import plot_name, plots_in, to_csv, to_json, to_markdown
from .load import Folder, load_folder
from .measured import forgotten_of, told_of
from .table import Leaderboard, make_leaderboard

SUITE = "suite.yaml"


def publish_folder(folder: str | Path, target: str | Path, plots: bool = False) -> Leaderboard:
    """Write the records of a folder below `target`/records, and the leaderboard made of them beside that, with or
    without plots as `write_pages` has it.

    Only what the plan names is published, and records of an earlier time do not stay. Of `target`/suite.yaml, where
    there is one, the opening comment opens the page, and its published figures take the place of those in the plan.
    """
    source, place = load_folder(folder), Path(target)
    if records_folder(source.path).resolve() == (place / "records").resolve():
        raise RecordError(f"{target}: is where these records lie. Expected another folder. Use `report --write` to "
                          "write its pages anew.")
    if not source.records:
        raise RecordError(f"{folder}: no run is finished. Expected some to publish. Run the suite first.")
    published = _renewed(source, place).published
    publish(source.records, place / "records")
    if plan := read_plan(records_folder(source.path)):
        cells = [{**cell, "reason": shown_reason(cell["reason"])} for cell in plan["cells"]]
        _write_plan(place / "records", _with_figures({**plan, "cells": cells}, published))
    else:
        (place / "records" / FILE).unlink(missing_ok=True)
    return write_pages(place, plots)


def write_pages(folder: str | Path, plots: bool = False) -> Leaderboard:
    """Write README.md, leaderboard.csv and leaderboard.json of a folder of records into it; with `plots`, or where
    the folder has some already, plots of accuracy against cost as well.

    Published figures of a suite.yaml in it are put into the plan among the records first: from there, and from nowhere
    else, they come into a leaderboard. Errors: ConfigError for figures with mistakes; RecordError where no plan can
    hold them or there is nothing to plot; those of `make_leaderboard` and `plot_costs`.
    """
    place = Path(folder)
    source = load_folder(place)
    renewed = _renewed(source, place)
    if renewed.published != source.published:
        records = records_folder(place)
        plan = read_plan(records)
        if plan is None:
            raise RecordError(f"{place}: no {FILE} among its records, and so no place for the published figures of "
                              f"{SUITE}. Expected the plan of that suite. `benchbase run` writes it.")
        _write_plan(records, _with_figures(plan, renewed.published))
    board = make_leaderboard(renewed)
    older = set(plots_in(place))
    drawn = _plots(board) if plots or older else {}
    if plots and not drawn:
        raise RecordError(f"{place}: nothing to plot. Expected records that tell of operations, of groups of users or "
                          "of a stream, and entries that differ in them. Leave the plots out, or run the suite again "
                          "with this version.")
    pages = {"README.md": to_markdown(board, opening(place / SUITE), drawn), "leaderboard.csv": to_csv(board),
             "leaderboard.json": to_json(board)}
    for name, data in ({name: text.encode() for name, text in pages.items()} | drawn).items():
        write_file(place / name, data)
    for name in older - set(drawn):
        (place / name).unlink()
    return board


def _plots(board: Leaderboard) -> dict[str, bytes]:
    """What can be plotted of a leaderboard, by file name."""
    from .plot import plot_costs, plot_stream, plot_told

    metric, drawn = board.metrics[0] if board.metrics else "", {}
    for place, table in enumerate(board.tables, 1):
        if costs := costs_of(table.rows, metric):
            drawn[plot_name("costs", place)] = plot_costs(costs, metric, board.baseline)
        values = {row.label: row.metrics[metric] for row in table.rows if metric in row.metrics}
        for column, told in told_of(table.groups).items():
            drawn[plot_name(f"told.{column}", place)] = plot_told(values, told, column, metric, board.baseline)
        if lost := forgotten_of(table.stream, metric):
            drawn[plot_name("stream", place)] = plot_stream(values, lost, metric, board.baseline)
    return drawn


def _renewed(source: Folder, place: Path) -> Folder:
    """The folder with the published figures of the suite at a place, if there is one, in place of its own."""
    if not (place / SUITE).is_file():
        return source
    return replace(source, published=read_published(place / SUITE, source.labels, source.metrics, source.datasets))


def _with_figures(plan: Mapping[str, Any], figures: Sequence[Published]) -> dict[str, Any]:
    kept = {name: value for name, value in plan.items() if name != "published"}
    return kept | ({"published": [defaults(each) for each in figures]} if figures else {})


def _write_plan(records: Path, plan: Mapping[str, Any]) -> None:
    write_file(records / FILE, (canonical_json(plan) + "\n").encode())


def opening(suite: Path) -> str:
    """The comment at the head of a suite file, as text."""
    if not suite.is_file():
        return ""
    lines = []
    for line in suite.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
