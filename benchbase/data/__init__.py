"""Data: from what a source holds to interactions, catalogue and splits. Imports no torch, and pandas only in use."""

from .card import render, with_split
from .catalogue import Catalogue, Categories
from .counts import counts_before
from .encode import encode
from .explanations import Explainer, Explanation, Names, Recommendation, quoted
from .filters import DatasetConfig
from .groups import Groups
from .interactions import Interactions
from .log import ItemTable, Log, UserTable
from .paths import MissingFile, cache_folder, default_cache, find_file, find_files, find_folder
from .prepare import Prepared, prepare
from .rules import SPLITS, TEST, TRAIN, UNUSED, VALID, SplitRule, resolve_split
from .splits import Split, split
from .store import kept
from .text import open_text, reading
from .truth import Truth

__all__ = [
    "SPLITS",
    "TEST",
    "TRAIN",
    "UNUSED",
    "VALID",
    "Catalogue",
    "Categories",
    "DatasetConfig",
    "Explainer",
    "Explanation",
    "Groups",
    "Interactions",
    "ItemTable",
    "Log",
    "MissingFile",
    "Names",
    "Prepared",
    "Recommendation",
    "Split",
    "SplitRule",
    "Truth",
    "UserTable",
    "cache_folder",
    "counts_before",
    "default_cache",
    "encode",
    "find_file",
    "find_files",
    "find_folder",
    "kept",
    "open_text",
    "prepare",
    "quoted",
    "reading",
    "render",
    "resolve_split",
    "split",
    "with_split",
]
