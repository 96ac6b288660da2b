"""Runs: plan a suite, run its cells, keep their records."""

from .events import Listener, Silent, Step
from .many import Result, plan_suite, run
from .measures import user_values
from .plan import Cell, Plan, make_plan
from .records import Record, read_all, read_record

__all__ = [
    "Cell",
    "Listener",
    "Plan",
    "Record",
    "Result",
    "Silent",
    "Step",
    "make_plan",
    "plan_suite",
    "read_all",
    "read_record",
    "run",
    "user_values",
]
