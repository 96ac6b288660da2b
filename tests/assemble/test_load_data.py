"""The data of a run: the split follows the suite's data_seed, and nothing else of the suite's seeds."""

import pytest

from benchbase.assemble import load_data
from benchbase.config import Part, Protocol, Suite
from benchbase.data import DatasetConfig
from benchbase.registry import Registry
from benchbase.specs import DataContext, DatasetSpec
from benchbase.testing.world import tiny_log

FIXED = DatasetSpec(name="fixed", config=DatasetConfig, build=lambda config, context: tiny_log(), source="a test")


@pytest.mark.parametrize(("split", "follows"), [("user_holdout", True), ("leave_one_out", False)])
def test_the_split_is_drawn_from_the_data_seed(tmp_path, split, follows):
    def part(data_seed, seeds=(1,)):
        dataset = Part(kind="dataset", name="fixed", config=DatasetConfig())
        suite = Suite(suite="s", datasets=(dataset,), protocol=Protocol(split=split), data_seed=data_seed, seeds=seeds)
        found = load_data(suite, dataset, Registry.of([FIXED]), DataContext(cache=tmp_path))
        return found.prepared.hash, found.split.part.tolist()

    assert part(0) == part(0, seeds=(5, 6))
    (same, one), (data, other) = part(0), part(7)
    assert same == data, "the data itself draws nothing"
    assert (one != other) == follows
