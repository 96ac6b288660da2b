"""Assemble: the one place where parts meet; configuration + registry -> experiment, or a refusal with a reason."""

from .data import RunData, load_data
from .experiment import Experiment, assemble
from .fits import check
from .model import build_context, build_model
from .settings import settled

__all__ = ["Experiment", "RunData", "assemble", "build_context", "build_model", "check", "load_data",
           "settled"]
