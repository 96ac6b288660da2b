"""CAUSE and its rivals obey the contract of compressors, whatever their parameters."""

from typing import Any

import pytest
from benchbase_cause import benchbase_compressors

from benchbase.testing.contracts import CompressorContract

SPECS = {spec.name: spec for spec in benchbase_compressors()}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Default": ("cause", {}),
    "Sum": ("cause", {"fusion": "sum", "slots": False}),
    "Concat": ("cause", {"fusion": "concat", "decay": 0.5}),
    "Mean": ("cause", {"fusion": "mean", "buckets": 2, "items": 2}),
    "Chronological": ("cause", {"order": "chronological", "refill": True}),
    "Extra": ("cause", {"budget": "extra", "buckets": 0, "items": 0}),
    "AnyItems": ("cause", {"pick": "random", "items": 2}),
    "Liked": ("cause", {"action": "like"}),
    "Clusters": ("cause", {"clusters": 4}),
    "RecentOnly": ("recent_only", {"displaced": 2}),
    "MeanPool": ("mean_pool", {"items": 3}),
    "PMA": ("pma", {"tokens": 2, "heads": 2}),
}
for label, (name, config) in VARIANTS.items():
    globals()[f"Test{label}"] = type(f"Test{label}", (CompressorContract,), {"spec": SPECS[name], "config": config})


@pytest.mark.parametrize("name", SPECS)
def test_every_compressor_is_among_them(name: str) -> None:
    assert name in {each for each, _ in VARIANTS.values()}
