"""Leaderboards: from a folder of records, and nothing else, to tables, tests and texts."""

from .load import load_folder, load_records
from .table import Leaderboard, Row, Table, Versus, make_leaderboard

__all__ = ["Leaderboard", "Row", "Table", "Versus", "load_folder", "load_records", "make_leaderboard"]
