"""Importing benchbase.data is light: other commands should not wait for what they do not use."""

import subprocess
import sys


def test_importing_data_loads_no_heavy_library():
    code = "import sys, benchbase.data; print([m for m in ('torch', 'pandas', 'pyarrow', 'scipy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.strip() == "[]"
