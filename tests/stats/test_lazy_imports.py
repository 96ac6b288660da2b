"""The core's start-up does not pay for scipy."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["benchbase", "benchbase.metrics", "benchbase.stats"])
def test_importing_brings_neither_scipy_nor_torch_nor_pandas(module):
    code = f"import sys, {module}; print(sorted({{'scipy', 'torch', 'pandas'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
