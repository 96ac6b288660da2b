"""benchbase: decide which recommender technique to trust."""

from typing import TYPE_CHECKING, Any

from .errors import BenchbaseError, Refusal
from .hooks import hookimpl
from .specs import (
    BackboneSpec,
    BuildContext,
    CombinerConfig,
    CombinerSpec,
    CompressorSpec,
    Config,
    DataContext,
    DatasetSpec,
    EncoderSpec,
    ExplainerSpec,
    ModifierSpec,
    Needs,
    Negatives,
    ObjectiveSpec,
    RecommenderSpec,
    Source,
    check_heads,
)

if TYPE_CHECKING:
    from .leaderboard import load_records
    from .runner import run

__version__ = "0.1.0"

__all__ = [
    "BackboneSpec",
    "BenchbaseError",
    "BuildContext",
    "CombinerConfig",
    "CombinerSpec",
    "CompressorSpec",
    "Config",
    "DataContext",
    "DatasetSpec",
    "EncoderSpec",
    "ExplainerSpec",
    "ModifierSpec",
    "Needs",
    "Negatives",
    "ObjectiveSpec",
    "RecommenderSpec",
    "Refusal",
    "Source",
    "check_heads",
    "hookimpl",
    "load_records",
    "run",
]


def __getattr__(name: str) -> Any:
    """Load `run` and `load_records` when they are asked for: they bring torch and pandas."""
    if name == "run":
        from .runner import run

        return run
    if name == "load_records":
        from .leaderboard import load_records

        return load_records
    raise AttributeError(f"module 'benchbase' has no attribute {name!r}")
