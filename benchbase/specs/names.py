"""Names that specs may use, and the version of the contract."""

from typing import Any

from ..errors import PluginError

API = 1
"""Major version of the contract between the core and its plugins."""

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})
"""Places in a backbone that a modifier can change (see `benchbase.nn.Modifier`)."""

LAYOUTS = frozenset({"items", "stacked", "interleaved"})
TASKS = frozenset({"next_item", "action"})
ATTENTION = frozenset({"softmax", "pointwise", "none"})
TRAINING = frozenset({"next", "masked"})
LAWS = ("uniform", "popularity", "in_batch", "mixed")
"""Laws that negatives are drawn from (see `Negatives`)."""

SCOPES = ("position", "sequence", "batch")
RESERVED = frozenset({"name", "weight"})
"""Keys of a part in a suite that are not parameters of the part."""


def check_names(where: str, what: str, given: Any, known: frozenset[str]) -> None:
    """Refuse a set that holds other names than the known ones; functions of a config are checked when resolved."""
    if callable(given) or given is None:
        return
    if isinstance(given, str) or (unknown := set(given) - known):
        wrong = given if isinstance(given, str) else sorted(unknown)
        raise PluginError(f"{where}: {what} {wrong!r} unknown. Expected a set out of {sorted(known)}.")
