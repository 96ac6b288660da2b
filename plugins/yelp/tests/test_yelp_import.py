"""The top module is light: listing plugins must not wait for the libraries that one of them needs."""

import subprocess
import sys


def test_importing_the_plugin_loads_no_heavy_library():
    heavy = "('torch', 'pandas', 'pyarrow', 'scipy', 'pooch')"
    code = f"import sys, benchbase_yelp; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.strip() == "[]"
