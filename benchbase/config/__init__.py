"""Suites: read with every mistake at once, expanded to configurations, and given identities."""

from .canonical import SCHEMA, canonical_json
from .forms import read_part, write_part
from .labels import level_labels, part_labels
from .load import Source, load_suite, load_with_registry, read_published, registry_for
from .models import MODEL_KEYS, Configuration, Protocol, Train
from .parts import Part
from .published import Published
from .select import Selector, parse_selector, selected
from .suite import Suite, run_id

__all__ = [
    "MODEL_KEYS",
    "SCHEMA",
    "Configuration",
    "Part",
    "Protocol",
    "Published",
    "Selector",
    "Source",
    "Suite",
    "Train",
    "canonical_json",
    "level_labels",
    "load_suite",
    "load_with_registry",
    "parse_selector",
    "part_labels",
    "read_part",
    "read_published",
    "registry_for",
    "run_id",
    "selected",
    "write_part",
]
