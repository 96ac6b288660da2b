"""`benchbase report` and `benchbase compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .printing import JSON, as_json, as_table, shell, what_next

if TYPE_CHECKING:
    from ..leaderboard.compare import Sides

FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.command()
@FOLDER
@click.option("--format", "format_", type=click.Choice(["text", "markdown", "csv", "json"]), default="text",
              show_default=True, help="What to print.")
@click.option("--json", "json_", is_flag=True, help="The same as --format json.")
@click.option("--baseline", metavar="LABEL", help="Compare with this entry; the suite's baseline if left out.")
@click.option("--write", is_flag=True, help="Write README.md, leaderboard.csv and leaderboard.json into DIR instead. "
              "Published figures are taken from a suite.yaml there, and kept with the records.")
@click.option("--publish", metavar="DIR", type=click.Path(path_type=Path),
              help="Write records in the form that may be shown, and their pages, into another folder instead.")
@click.option("--plots", is_flag=True,
              help="With --write or --publish: draw accuracy against cost, and against what a probe tells of groups "
                   "(needs matplotlib, the extra `plots`). Pages that have plots keep them, drawn anew.")
def report(folder: Path, format_: str, json_: bool, baseline: str | None, write: bool, publish: Path | None,
           plots: bool) -> None:
    """Print the leaderboard of DIR, from its records alone."""
    if publish is not None and write:
        raise click.UsageError("--write and --publish: expected one of them. --publish writes pages too.")
    if publish is not None or write:
        if baseline:
            raise click.UsageError("--baseline goes with printing only: pages have the suite's baseline.")
        _write(folder, publish, plots)
        return
    if plots:
        raise click.UsageError("--plots goes with pages: expected --write or --publish beside it.")
    from ..leaderboard import make_leaderboard
    from ..leaderboard.files import to_csv, to_json, to_markdown
    from ..leaderboard.text import show

    board = make_leaderboard(folder, baseline)
    forms = {"markdown": to_markdown, "csv": to_csv, "json": to_json}
    chosen = "json" if json_ else format_
    if chosen in forms:
        click.echo(forms[chosen](board), nl=False)
    else:
        show(board)
        what_next(f"`benchbase report {shell(folder)} --publish FOLDER` writes records and pages to show.")
    _tell_other_code(folder)


def _write(folder: Path, target: Path | None, plots: bool) -> None:
    from ..leaderboard.files import plots_in
    from ..leaderboard.publish import publish_folder, write_pages

    if target is None:
        write_pages(folder, plots)
    else:
        publish_folder(folder, target, plots)
    place = target or folder
    drawn = plots_in(place)
    wrote = ["README.md", "leaderboard.csv", "leaderboard.json", *drawn, *(["records"] if target else [])]
    click.echo(f"Wrote {', '.join(wrote[:-1])} and {wrote[-1]} to {place}.")
    what_next(f"read {place / 'README.md'}; `benchbase report {shell(place)}` prints the same leaderboard.")


def _tell_other_code(folder: Path) -> None:
    """Say, on stderr, where records come from other code than that at hand; no page depends on it."""
    from ..leaderboard import load_folder
    from ..runner.provenance import differing

    names = sorted({name for record in load_folder(folder).records for name in differing(record.facts)})
    if names:
        click.echo(f"Note: some records come from other code than that at hand ({', '.join(names)} differs); "
                   "`benchbase run SUITE --refresh` runs those again.", err=True)


@click.command()
@FOLDER
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--matters", metavar="X", type=click.FloatRange(min=0, min_open=True),
              help="The smallest difference that is of any use to you: tells whether larger ones are ruled out.")
@JSON
def compare(folder: Path, first: str, second: str, matters: float | None, json_: bool) -> None:
    """Set the entries A and B of DIR side by side: in what they differ, and how their users fare."""
    from ..leaderboard.compare import compare_entries
    from ..leaderboard.files import plain

    sides = compare_entries(folder, first, second, matters)
    if json_:
        as_json(plain(sides))
        return
    _show_factors(sides)
    _show_pairs(sides, matters)
    for gap in sides.gaps:
        click.echo(f"· {gap}")
    click.echo("Differences are A less B. p and the interval are of one test over paired users and over seeds, both "
               "taken as samples; p corrected: over the data sets for the first metric (Holm). p randomised: signs of "
               "users' differences flipped at random, seeds taken as they are.")
    what_next(f"`benchbase report {shell(folder)}` shows all entries.")


def _show_factors(sides: "Sides") -> None:
    click.echo(f"A: {sides.first}\nB: {sides.second}")
    as_table(("differs in", "A", "B"), [(path, _text(one), _text(other)) for path, one, other in sides.factors])


def _show_pairs(sides: "Sides", matters: float | None) -> None:
    from ..leaderboard import words

    tests, sizes = [], []
    for pair in sides.pairs:
        users, test, where = pair.users, pair.test, [pair.dataset, pair.metric]
        tests.append([*where, words.number(pair.first), words.number(pair.second), words.signed(test.mean),
                      f"{words.signed(test.low)} to {words.signed(test.high)}", words.p_value(test.p),
                      "" if pair.p_holm is None else words.p_value(pair.p_holm), words.p_value(users.p_randomisation)])
        sizes.append([*where, words.effect(users.effect_size), words.number(test.detectable),
                      f"{users.wins} / {users.ties} / {users.losses}"])
        if matters is not None:
            sizes[-1].append(_size(test.low, test.high, matters))
    as_table(("data set", "metric", "A", "B", "difference", "interval", "p", "p corrected", "p randomised"),
             tests)
    names = ["data set", "metric", "effect", "detectable", "users better / same / worse with A"]
    as_table(names if matters is None else [*names, f"against {matters:g}"], sizes)


def _size(low: float, high: float, matters: float) -> str:
    """What an interval says of differences that matter."""
    if low >= matters or high <= -matters:
        return "matters"
    return "too small to matter" if -matters < low and high < matters else "not settled"


def _text(value: Any) -> str:
    """A factor's value in few words: a part by its name and parameters."""
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        inside = ", ".join(f"{key}={_text(item)}" for key, item in value.items() if key != "name")
        return f"{value['name']}[{inside}]" if "name" in value and inside else str(value.get("name", f"{{{inside}}}"))
    return "none" if value is None else str(value)


