"""Canonical JSON: one text for one meaning, so that a hash can be an identity."""

import json
from typing import Any

from ..errors import ConfigError

SCHEMA = 1
"""Version of the form of configurations, and so of run ids."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; ConfigError for what JSON cannot hold, NaN and infinity among it."""
    try:
        return json.dumps(
            _positive_zero(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ConfigError([f"canonical JSON: {error}. Expected finite numbers, text, lists and mappings."]) from error


def _positive_zero(value: Any) -> Any:
    """The value with 0.0 for -0.0, which are equal and yet written differently."""
    if isinstance(value, dict):
        return {key: _positive_zero(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_positive_zero(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value
