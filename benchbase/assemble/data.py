"""The data of a run: prepared, split, and where it came from."""

from dataclasses import dataclass, replace

from ..config import Part, Suite
from ..data import Prepared, Split, prepare, split
from ..registry import Registry
from ..specs import DataContext, DatasetSpec


@dataclass(frozen=True)
class RunData:
    """A prepared data set and its division under the suite's protocol."""

    spec: DatasetSpec
    prepared: Prepared
    split: Split


def load_data(suite: Suite, dataset: Part, registry: Registry, context: DataContext) -> RunData:
    """Prepare (or open) a data set of the suite and split it.

    Errors: `DataError` for data that cannot be used, `Refusal` where the split needs what the data lacks.
    """
    spec = registry.get("dataset", dataset.name)
    assert isinstance(spec, DatasetSpec)
    prepared = prepare(spec, dataset.config, replace(context, seed=suite.data_seed))  # type: ignore[arg-type]
    rule = suite.protocol.split
    divided = split(prepared.interactions, prepared.catalogue, (rule.name, rule.config), suite.protocol.targets,
                    suite.data_seed)
    return RunData(spec, prepared, divided)
