"""Peak memory of a full ranking of many users over many items, above the process at rest.

`python benchmarks/ranking_memory.py [--users 100000 --items 200000 --threads 2]` ranks every user's last event with a
small untrained model, top lists included, and prints the peak in MiB above what the process held before, its share of
the budget of 1 GiB, and the size of the score matrix that was never made. `--small` is a quick look.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

from shapes import experiment, generated

from benchbase.evaluate import rank
from benchbase.memory import peak_memory, reset_peak
from benchbase.testing.tiny import tiny_causal, tiny_softmax

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"users": 100_000, "items": 200_000, "width": 32, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="2,000 users, 20,000 items")
    args = parser.parse_args()
    users, items = (2_000, 20_000) if args.small else (args.users, args.items)
    world = generated(users, items, 12, 200)
    made = experiment(world, (tiny_causal, {"width": args.width}), tiny_softmax, 20, threads=args.threads)
    reset_peak()
    at_rest = peak_memory()
    start = time.perf_counter()
    ranking = rank(made, "test", top_k=10)
    seconds = time.perf_counter() - start
    above = (peak_memory() - at_rest) / MIB
    print(f"ranked {len(ranking.user):,} users x {items:,} items in {seconds:.1f} s")
    print(f"at rest {at_rest / MIB:.0f} MiB, peak {above:.0f} MiB above it: {above / 1024:.2f} of the budget of 1 GiB; "
          f"the whole matrix would take {len(ranking.user) * items * 4 / MIB:,.0f} MiB")


if __name__ == "__main__":
    main()
