"""What half the tokens save: a step of AttnLFA, AttnMVP and AttnDHN against the interleaved baseline, in one run.

`python benchmarks/interleaving.py [--lengths 50 200 512] [--rows 64] [--width 64] [--layers 3] [--threads 1]` takes
whole training steps of the action task on sequences that fill the window, all on the backbone `transformer` of equal
width and depth. Variants take turns, step by step. Printed are the median step, peak memory above the process at rest,
tokens that enter the stack, and the ratio of medians (variant / interleaved: below 1 is faster). Rows are scaled down
with the length so that a step has as many events. Needs the plugins `transformers`, `losses` and `interleaving`.
"""

import argparse
import os
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import numpy as np
import torch
from backbones import Contender, take_turns
from shapes import full

from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.world import World

ITEMS, ACTIONS = 3_416, ("like", "share", "hate", "comment")
VARIANTS = {"interleaved": None, "AttnLFA": ("attn_lfa", {}), "AttnMVP": ("attn_mvp", {}),
            "AttnMVP - LFA": ("attn_mvp", {"late_fusion": False}), "AttnDHN": ("attn_dhn", {})}


def acting(users: int, length: int) -> World:
    """Sequences of one length, of uniform items and actions."""
    world, draw = full(users, length, ITEMS), np.random.default_rng(1)
    n_events = len(world.interactions.item)
    actions = (draw.random((n_events, len(ACTIONS))) < 0.2).astype(np.float32)
    return World(replace(world.interactions, actions=actions, action_names=ACTIONS), world.catalogue)


def contenders(world: World, length: int, rows: int, args: argparse.Namespace) -> dict[str, Contender]:
    registry = Registry.load()
    backbone, loss = registry.get("backbone", "transformer"), registry.get("objective", "action_bce")
    made = {}
    for name, chosen in VARIANTS.items():
        modifiers = [] if chosen is None else [(registry.get("modifier", chosen[0]), chosen[1])]
        made[name] = Contender(make_experiment(
            (backbone, {"width": args.width, "layers": args.layers}), modifiers=modifiers, objectives=[loss],
            layout="interleaved" if chosen is None else "items", world=world,
            protocol={"tasks": ["action"], "split": "leave_one_out", "window": length, "metrics": ["ne"]},
            train={"batch": rows, "buckets": 1, "patience": 0, "threads": args.threads}))
    return made


def compare(length: int, args: argparse.Namespace) -> None:
    rows = max(1, args.rows * args.lengths[0] // length)
    world = acting(max(3 * rows, -(-ITEMS // length)), length + 2)  # two events are held out
    running = contenders(world, length, rows, args)
    print(f"{rows} rows of {length} events, width {args.width}, {args.layers} layers, threads {args.threads}")
    take_turns(running, args.steps, "interleaved")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 200, 512])
    for name, default in {"rows": 64, "width": 64, "layers": 3, "threads": 1, "steps": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for length in args.lengths:
        compare(length, args)


if __name__ == "__main__":
    main()
