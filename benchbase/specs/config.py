"""Parameters of parts, and those that the core itself has for every model."""

from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Parameters of a part: typed, bounded, described; unknown keys are refused and values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class ScorerConfig(Config):
    """How a state becomes a score for every item; one choice for loss and ranking."""

    score: Literal["dot", "cosine"] = Field("dot", description="product of query and item vector, or their cosine")
    output: Literal["tied", "separate"] = Field("tied", description="item vectors: those of the input, or their own")
    temperature: float = Field(1.0, gt=0, description="scores are divided by it")
    bias: bool = Field(False, description="add a learned bias per item")


class LayoutConfig(Config):
    """How events become tokens: one token an event, item and action summed, or item and action in turn."""

    kind: Literal["items", "stacked", "interleaved"] = Field("items", description="tokens made of an event")
    position: Literal["from_start", "from_end"] = Field("from_start", description="end that positions count from")
    user_token: bool = Field(False, description="put a learned token of the user first")


class SequenceConfig(Config):
    """What of a user's events a model reads and learns from; the protocol asks and judges by the data alone."""

    events: Literal["all", "own_domain"] = Field(
        "all", description="all of them, or for each target those of its own domain alone: single-domain training"
    )
    mislabelled: float = Field(
        0.0, ge=0, le=1, description="share of items whose domain the model is told wrongly, drawn by the run's seed"
    )
    window: int | None = Field(
        None, ge=1, le=100_000, description="events that a model reads, where they are fewer than the protocol's window"
    )


class HeadConfig(Config):
    """How a state becomes a probability for every action that is predicted; one choice for loss and evaluation.

    Source of `mmoe`: Ma et al. 2018, Modeling task relationships in multi-task learning with multi-gate
    mixture-of-experts, eq. (5) to (7).
    """

    kind: Literal["mlp", "mmoe"] = Field("mlp", description="one hidden layer that all actions share, or experts that "
                                                            "each mixes by a gate of its own")
    hidden: int = Field(64, ge=1, description="units of the hidden layer, or of each expert and tower")
    experts: int = Field(4, ge=1, description="experts of mmoe")


def check_heads(width: int, heads: int, name: str = "heads") -> None:
    """Refuse a number of attention heads that does not divide the width. Errors: `ValueError` with the nearest."""
    if width % heads:
        near = max(n for n in range(1, heads) if width % n == 0)
        raise ValueError(f"{name}: {heads} does not divide the width {width}. Expected a divisor of the width. "
                         f"Nearest: {near}.")


class CombinerConfig(Config):
    """Parameters that every combiner has."""

    balance: tuple[str, str] = Field(description="the two losses to balance, main first, as objective.term")


def defaults(config: BaseModel) -> dict[str, Any]:
    """Every parameter of a part with its value, ready for canonical JSON: sets sorted, since theirs is no order."""
    plain: dict[str, Any] = _plain(config.model_dump())
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, PurePath):
        return value.as_posix()
    return value if isinstance(value, (str, bool, int, float, type(None))) else str(value)
