"""`benchbase status`."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from .printing import JSON, as_json, as_table, shell, what_next


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@JSON
def status(folder: Path, json_: bool) -> None:
    """Tell which runs of DIR, a folder that `benchbase run` wrote, are done, under way, or still to do."""
    from ..runner.plan import plan_of

    rows = [_row(folder, cell) for cell in plan_of(folder)["cells"]]
    counts = dict(sorted(Counter(row["state"] for row in rows).items()))
    if json_:
        as_json({"folder": str(folder), "counts": counts, "runs": rows})
        return
    as_table(("run", "entry", "data set", "seed", "state", "why"),
             [(row["run_id"], row["label"], row["dataset"], str(row["seed"]), row["state"], row["why"])
              for row in rows])
    click.echo(", ".join(f"{number} {state}" for state, number in counts.items()))
    if set(counts) <= {"ok", "skipped"}:
        what_next(f"`benchbase report {shell(folder)}` prints the leaderboard.")
    else:
        what_next("the command that began these runs goes on with them; with --retry it runs those again that failed.")


def _row(folder: Path, cell: dict[str, Any]) -> dict[str, Any]:
    """What became of one cell: its record first, then whether it is under way or begun."""
    from ..runner.records import UnknownSchema, records_folder
    from ..runner.state import find, has_checkpoint, is_running

    run_id, state, why = cell["run_id"], "pending", ""
    try:
        found = find(records_folder(folder) / run_id)
        state, why = found.status, str(found.record.facts["reason"]) if found.record else found.problem
    except UnknownSchema as error:
        state, why = "unknown", str(error)
    if is_running(folder, run_id):
        state, why = "running", ""
    elif state == "pending" and has_checkpoint(folder, run_id):
        state, why = "begun", "goes on from its checkpoint"
    return {"run_id": run_id, "label": cell["label"], "dataset": cell["dataset"], "seed": cell["seed"], "state": state,
            "why": why}
