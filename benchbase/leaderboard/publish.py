"""A leaderboard to show: records in their publishable form, the pages made of them, and nothing written by hand."""

from pathlib import Path

from ..config import canonical_json
from ..errors import RecordError
from ..runner.plan import FILE, read_plan
from ..runner.publish import publish, shown_reason
from ..runner.records import records_folder, write_file
from .files import to_csv, to_json, to_markdown
from .load import load_folder
from .table import Leaderboard, make_leaderboard

SUITE = "suite.yaml"


def publish_folder(folder: str | Path, target: str | Path) -> Leaderboard:
    """Write the records of a folder below `target`/records, and the leaderboard made of them beside that.

    Only what the plan names is published, and records of an earlier time do not stay. The comment that opens
    `target`/suite.yaml opens the page.
    """
    source, place = load_folder(folder), Path(target)
    if records_folder(source.path).resolve() == (place / "records").resolve():
        raise RecordError(f"{target}: is where these records lie. Expected another folder. Use `report --write` to "
                          "write its pages anew.")
    if not source.records:
        raise RecordError(f"{folder}: no run is finished. Expected some to publish. Run the suite first.")
    publish(source.records, place / "records")
    if plan := read_plan(records_folder(source.path)):
        cells = [{**cell, "reason": shown_reason(cell["reason"])} for cell in plan["cells"]]
        write_file(place / "records" / FILE, (canonical_json({**plan, "cells": cells}) + "\n").encode())
    else:
        (place / "records" / FILE).unlink(missing_ok=True)
    return write_pages(place)


def write_pages(folder: str | Path) -> Leaderboard:
    """Write README.md, leaderboard.csv and leaderboard.json of a folder of records into it."""
    place = Path(folder)
    board = make_leaderboard(place)
    pages = {"README.md": to_markdown(board, opening(place / SUITE)), "leaderboard.csv": to_csv(board),
             "leaderboard.json": to_json(board)}
    for name, text in pages.items():
        write_file(place / name, text.encode())
    return board


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
