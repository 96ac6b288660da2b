"""What CausalRec adds to a training step of SASRec, and how it grows with the length of sequences, in one run.

`python benchmarks/causal_boost.py [--lengths 200] [--rows 128] [--width 64] [--items 3416] [--threads 1]` takes whole
training steps with the full softmax on sequences that fill the window, and prints for each way to find the relation the
median step, peak memory above the process at rest, and the ratio to plain SASRec in the same turns. `boost` is the
modifier alone, `+ dag` with its objective; nothing is cut into blocks. Rows are scaled down with the length so that a
step has as many events. Needs the plugins `transformers`, `losses` and `causalrec`.
"""

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
from backbones import Contender, take_turns
from shapes import full

from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.world import World


def contenders(world: World, length: int, rows: int, args: argparse.Namespace) -> dict[str, Contender]:
    registry = Registry.load()
    backbone, softmax = registry.get("backbone", "sasrec"), registry.get("objective", "softmax")
    boost, dag = registry.get("modifier", "causal_boost"), registry.get("objective", "causal_dag")

    def contender(modifiers: list[Any], objectives: list[Any]) -> Contender:
        return Contender(make_experiment(
            (backbone, {"width": args.width}), modifiers=modifiers, objectives=[softmax, *objectives], world=world,
            protocol={"split": "leave_one_out", "window": length},
            train={"batch": rows, "buckets": 4, "patience": 0, "threads": args.threads}))

    made = {"sasrec": contender([], [])}
    for source in ("cov", "bilinear", "sem"):
        chosen = [(boost, {"r_source": source, "max_nodes": length})]
        made[f"{source}: boost"] = contender(chosen, [])
        made[f"{source}: boost + dag"] = contender(chosen, [dag])
    return made


def compare(length: int, args: argparse.Namespace) -> None:
    rows = max(1, args.rows * args.lengths[0] // length)
    world = full(max(3 * rows, -(-args.items // length)), length + 2, args.items)  # two events are held out
    running = contenders(world, length, rows, args)
    print(f"{rows} rows of {length} events, width {args.width}, {args.items} items, threads {args.threads}")
    take_turns(running, args.steps, "sasrec")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[200])
    for name, default in {"rows": 128, "width": 64, "items": 3_416, "threads": 1, "steps": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for length in args.lengths:
        compare(length, args)


if __name__ == "__main__":
    main()
