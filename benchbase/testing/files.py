"""Where real data for tests lies, which no repository may hold, and data sets prepared out of a test's own folder."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from ..data import Prepared, prepare
from ..specs import DataContext, DatasetSpec


def real_folder(name: str, beside: Path) -> Path:
    """The folder of a named real data set: in BENCHBASE_TEST_DATA, or in shared/data beside the repository `beside`.

    Errors: `SkipTest`, which test runners understand, where it is absent.
    """
    root = Path(os.environ.get("BENCHBASE_TEST_DATA") or beside.parent / "shared" / "data")
    if not (root / name).is_dir():
        raise SkipTest(f"no real data at {root / name}: set BENCHBASE_TEST_DATA to the folder that holds {name}")
    return root / name


def reader(specs: Iterable[DatasetSpec], folder: Path) -> Callable[..., Prepared]:
    """A function `read(name, **parameters)` that prepares one of these data sets out of a folder, cached there."""
    known = {spec.name: spec for spec in specs}
    context = DataContext(folders=(folder,), cache=folder / "cache")

    def read(name: str, **parameters: Any) -> Prepared:
        spec = known[name]
        return prepare(spec, spec.config(**parameters), context)  # type: ignore[arg-type]

    return read
