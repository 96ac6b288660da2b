"""Time and memory of preparing a log of 20 million events, against a plain pandas reference in the same run.

    python benchmarks/prepare_20m.py [--events N]

Writes a CSV of about half a gigabyte into a temporary folder, then runs each measurement in a process of its own:
the first preparation (reading, sorting, hashing, writing), the second (opening the cache), and the reference
(read_csv, factorize, sort_values). Limits for 20 million events on two quiet cores: 12 s, 1.5 GiB, second open 1 s.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

USERS, ITEMS = 138_000, 27_000


def write_log(path: Path, n_events: int) -> None:
    """A log in the order of users, within a user by item as in published rating files; popularity is skewed."""
    import pandas as pd

    rng = np.random.default_rng(0)
    user = np.sort((rng.beta(1, 3, n_events) * USERS).astype(np.int32))
    item = (rng.beta(1, 6, n_events) * ITEMS).astype(np.int32)
    order = np.argsort(user * np.int64(ITEMS) + item)
    frame = pd.DataFrame(
        {
            "user": user + 1,
            "item": item[order] + 1,
            "rating": rng.integers(1, 11, n_events) / 2,
            "timestamp": rng.integers(789_652_009, 1_427_784_002, n_events),
        }
    )
    frame.to_csv(path, index=False)


def ours(path: Path, cache: Path) -> int:
    from benchbase_files import benchbase_datasets
    from benchbase_files.config import FilesConfig

    from benchbase import DataContext
    from benchbase.data import prepare

    config = FilesConfig(path=path, format="csv", columns={"actions": ["rating"]})
    return prepare(benchbase_datasets()[0], config, DataContext(cache=cache)).interactions.n_events


def reference(path: Path, cache: Path) -> int:
    import pandas as pd

    frame = pd.read_csv(path)
    for column in ("user", "item"):
        frame[column] = pd.factorize(frame[column])[0]
    return len(frame.sort_values(["user", "timestamp"]))


def measure(what: str, path: Path, cache: Path) -> dict[str, float]:
    """Seconds and peak resident GiB of one step in a fresh process, imports included."""
    command = [sys.executable, __file__, "--step", what, "--path", str(path), "--cache", str(cache)]
    start = time.perf_counter()
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {**json.loads(answer), "total": time.perf_counter() - start}


def step(what: str, path: Path, cache: Path) -> None:
    start = time.perf_counter()
    events = {"ours": ours, "reference": reference}[what](path, cache)
    print(json.dumps({"seconds": time.perf_counter() - start, "events": events, "gib": peak_gib()}))


def peak_gib() -> float:
    """Peak resident memory of this process; Linux's ru_maxrss would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step(given.step, given.path, given.cache)
        return
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder) / "log.csv", Path(folder) / "cache"
        write_log(path, given.events)
        print(f"{given.events:,} events, {path.stat().st_size / 2**20:,.0f} MiB of CSV")
        first, second, naive = (measure(what, path, cache) for what in ("ours", "ours", "reference"))
        for name, found in (("prepare", first), ("second open", second), ("reference", naive)):
            print(f"{name:<12} {found['seconds']:6.2f} s  peak {found['gib']:.2f} GiB")
        print(
            f"prepare / reference: time {first['seconds'] / naive['seconds']:.2f}, "
            f"memory {first['gib'] / naive['gib']:.2f}"
        )


if __name__ == "__main__":
    main()
