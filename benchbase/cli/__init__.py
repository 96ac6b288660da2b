"""The command line: `benchbase`. Each command loads what it needs when it is called; help loads nothing heavy."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import BenchbaseError

INTERRUPTED = 130
MISTAKE = 2

COMMANDS = {
    "run": ("run", "Run a suite and print its leaderboard; what is finished is kept."),
    "plan": ("run", "List every run of a suite, to run or to skip and why; train nothing."),
    "status": ("status", "Tell which runs of a folder are done."),
    "report": ("report", "Print the leaderboard of a folder of records, or write it to files."),
    "compare": ("report", "Set two entries of a leaderboard side by side."),
    "plugins": ("plugins", "List the parts that installed plugins offer, and the plugins that are broken."),
    "data": ("data", "List, describe, prepare and fetch data sets."),
}
"""Each command: the module it stands in, and its help."""


class Program(click.Group):
    """Finds commands by name, and ends mistakes of the user without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[name][0]}"), name)
        command.help = command.help or COMMANDS[name][1]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        # Read when torch is loaded: idle threads then sleep instead of spinning.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        options["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no dash or umlaut stops no command
                stream.reconfigure(errors="replace")
        try:
            status = super().main(args, *rest, **options)
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except click.Abort:
            click.echo("\nStopped. The same command goes on where this one stopped.", err=True)
            status = INTERRUPTED
        except BenchbaseError as error:
            click.echo(f"Error: {error}", err=True)
            status = MISTAKE
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="benchbase")
def main() -> None:
    """Decide which recommender technique to trust: plugins in, leaderboards out."""
