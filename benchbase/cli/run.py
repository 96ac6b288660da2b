"""`benchbase run` and `benchbase plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .printing import JSON, as_json, as_table, shell, what_next

if TYPE_CHECKING:
    from ..leaderboard import Leaderboard
    from ..runner import Plan, Result

ONLY = click.option("--only", metavar="SELECTOR", multiple=True,
                    help="Only these runs: label=a*, dataset=NAME, seed=1, backbone=NAME[width=64], or several terms "
                         "joined by commas; a plain word is a label. May be given more than once.")
OUT = click.option("--out", metavar="DIR", type=click.Path(path_type=Path),
                   help="Where records go; runs/<suite> if left out.")


@click.command()
@click.argument("suite")
@OUT
@click.option("--workers", metavar="N", type=click.IntRange(min=1), default=1, show_default=True,
              help="Processes; results do not depend on how many.")
@ONLY
@click.option("--refresh", is_flag=True, help="Run those again that other code made.")
@click.option("--retry", is_flag=True, help="Run those again that failed, diverged or ran out of time.")
@JSON
def run(suite: str, out: Path | None, workers: int, only: tuple[str, ...], refresh: bool, retry: bool,
        json_: bool) -> int:
    """Run every unfinished run of SUITE, a YAML file, and print the leaderboard.

    Stopped and given again, it goes on where it stopped; two of these commands share the work of one folder.
    """
    from ..leaderboard import make_leaderboard
    from ..leaderboard.files import plain
    from ..leaderboard.text import show
    from ..runner import run as run_suite
    from .progress import listener

    result = run_suite(Path(suite), out, workers=workers, only=only, refresh=refresh, retry=retry, listener=listener())
    board = make_leaderboard(result.folder)
    if json_:
        as_json({"folder": str(result.folder), "statuses": dict(result.statuses), "notes": list(result.notes),
                 "leaderboard": plain(board)})
    else:
        show(board)
        what_next(_next_step(_command(suite, out, only), suite, result, board))
    return 0 if result.good else 1


@click.command()
@click.argument("suite")
@OUT
@ONLY
@JSON
def plan(suite: str, out: Path | None, only: tuple[str, ...], json_: bool) -> None:
    """List every run of SUITE, to run or to skip with the reason, and what became of it; nothing is trained."""
    from ..runner import plan_suite
    from ..runner.records import FINISHED
    from ..runner.state import DAMAGED

    planned = plan_suite(Path(suite), only=only)
    folder = out or Path("runs") / planned.suite.suite
    rows = _states(planned, folder)
    if json_:
        as_json({**planned.plain(), "cells": rows})
        return
    as_table(("run", "entry", "data set", "seed", "plan", "state"),
             [(row["run_id"], row["label"], row["dataset"], str(row["seed"]),
               f"skip: {row['reason']}" if row["reason"] else "run", row["state"]) for row in rows])
    left = [row["state"] for row in rows if row["action"] == "run" and row["state"] not in FINISHED]
    to_do = sum(state in ("pending", DAMAGED) for state in left)
    what_next(_plan_step(_command(suite, out, only), shell(folder), to_do, len(left) - to_do))


def _command(suite: str, out: Path | None, only: tuple[str, ...]) -> str:
    """The command that does what was asked for now, there where it was asked for."""
    return " ".join(["benchbase run", shell(suite), *([f"--out {shell(out)}"] if out else []),
                     *(f"--only {shell(selector)}" for selector in only)])


def _plan_step(command: str, folder: str, to_do: int, failed: int) -> str:
    """What to do with so many runs that are not done, and so many that failed."""
    steps = [f"`{command}` does the {to_do} runs that are not done"] if to_do else []
    steps += [f"`{command} --retry` runs those again that did not end well ({failed})"] if failed else []
    return "; ".join(steps or [f"all is done: `benchbase report {folder}` prints the leaderboard"]) + "."


def _states(planned: "Plan", folder: Path) -> list[dict[str, Any]]:
    """The selected cells with what stands on disk for each."""
    from ..runner.state import find

    return [{**cell.plain(), "state": find(folder / "runs" / cell.run_id).status} for cell in planned.selected]


def _next_step(command: str, suite: str, result: "Result", board: "Leaderboard") -> str:
    failed = {status for status in result.statuses if status not in ("ok", "skipped")}
    folder = shell(result.folder)
    if failed:
        return (f"some runs {' or '.join(sorted(failed))} (see above). Mend the cause, then "
                f"`{command} --retry`.")
    labels = [row.label for table in board.tables for row in table.rows if row.versus]
    if labels and board.baseline:
        return (f"`benchbase compare {folder} {shell(labels[0])} {shell(board.baseline)}` tells what sets two entries "
                f"apart; or edit {suite} and run it again, finished runs are kept.")
    return f"edit {suite} and run it again, finished runs are kept; `benchbase report {folder}` prints this again."
