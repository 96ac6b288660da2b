"""Suites: read with every mistake at once, expanded to configurations, and given identities."""

from .canonical import SCHEMA, canonical_json
from .forms import read_part, write_part
from .labels import part_labels
from .load import Source, load_suite, load_with_registry, registry_for
from .models import ACTION_METRICS, Configuration, Protocol, Train
from .parts import Part
from .select import Selector, parse_selector, selected
from .suite import Suite, run_id

__all__ = [
    "ACTION_METRICS",
    "SCHEMA",
    "Configuration",
    "Part",
    "Protocol",
    "Selector",
    "Source",
    "Suite",
    "Train",
    "canonical_json",
    "load_suite",
    "load_with_registry",
    "parse_selector",
    "part_labels",
    "read_part",
    "registry_for",
    "run_id",
    "selected",
    "write_part",
]
