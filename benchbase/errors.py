"""Errors a user can meet, and the nearest-name help that many of them carry."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class BenchbaseError(Exception):
    """A mistake a user can mend: `where: what is wrong. What was expected. Nearest fix.`

    The command line prints these without a traceback and exits with code 2.
    """


class ConfigError(BenchbaseError):
    """A suite that cannot be read; `problems` holds every mistake found, not the first only."""

    def __init__(self, problems: Iterable[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> Any:
        return type(self), (self.problems,)


class PluginError(BenchbaseError):
    """A plugin, or one of its specs, that breaks the contract of hooks and specs."""


class DataError(BenchbaseError):
    """Input data that cannot be used as it stands."""


class Refusal(BenchbaseError):
    """Parts that do not fit each other: the cell is skipped, with this as its reason."""


class RunError(BenchbaseError):
    """A run that cannot go on; `status` says how its record is marked: `failed`, `diverged` or `timeout`."""

    def __init__(self, message: str, status: str = "failed"):
        self.status = status
        super().__init__(message)

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.status)


class RecordError(BenchbaseError):
    """A record on disk that cannot be written, read or trusted."""


def message_of(error: BaseException) -> str:
    """The text of any error; that of a plugin's own error is made by the plugin's code, which may fail too."""
    try:
        return str(error)
    except Exception as other:
        return f"its message cannot be shown ({type(other).__name__})"


def brief(error: BaseException) -> str:
    """An error as part of a sentence: its type and text, the text alone where it is one of ours."""
    text = message_of(error)
    return (text if isinstance(error, BenchbaseError) else f"{type(error).__name__}: {text}").rstrip(". ")


def nearest(name: str, known: Iterable[str], noun: str = "Known") -> str:
    """The second half of an unknown-name error: a did-you-mean if one is close, then everything known."""
    known = sorted(set(known))
    if not known:
        return f"{noun}: none."
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}{noun}: {', '.join(known)}."
