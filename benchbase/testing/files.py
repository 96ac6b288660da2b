"""Where real data for tests lies, which no repository may hold."""

import os
from pathlib import Path
from unittest import SkipTest


def real_folder(name: str, beside: Path) -> Path:
    """The folder of a named real data set: in BENCHBASE_TEST_DATA, or in shared/data beside the repository `beside`.

    Errors: `SkipTest`, which test runners understand, where it is absent.
    """
    root = Path(os.environ.get("BENCHBASE_TEST_DATA") or beside.parent / "shared" / "data")
    if not (root / name).is_dir():
        raise SkipTest(f"no real data at {root / name}: set BENCHBASE_TEST_DATA to the folder that holds {name}")
    return root / name
