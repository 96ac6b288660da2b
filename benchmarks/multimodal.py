"""What multimodal item vectors, retrieval and a language model cost: LLM4Rec's parts beside SASRec, in one run.

`python benchmarks/multimodal.py [--items 3416] [--users 512] [--window 50] [--rows 128] [--steps 7] [--width 64]
[--threads 2] [--device cpu]` takes whole training steps of SASRec with the full softmax on full windows, of items with
generated titles, one to three of 18 genres and a year, and then scores all items for one user at a time. Entries take
turns, step by step. Printed are the median step, the milliseconds of one user, with the vectors of items at hand, as a
ranking has them, and made anew, and ratios (entry / plain, above 1 is dearer), beside the paper's 142 ms / 89 ms.
The language model is small, of the same depth and width as SASRec. Needs the plugins `transformers`, `losses` and
`llm4rec` with its extras `text` and `language`.
"""

import argparse
import os
import statistics
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import numpy as np
import torch
from backbones import Contender, timed
from compression import median_turns, to_score
from shapes import categories_of, full

from benchbase.nn import Items
from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.world import World

MULTIMODAL = {"text": ("title",), "categories": ("genre",), "times": ("year",)}
ENTRIES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "text": {"encoders": {"multimodal": {"text": ("title",)}}},
    "multimodal": {"encoders": {"multimodal": MULTIMODAL}},
    "retrieval": {"modifiers": {"retrieval": {"text": ("title",)}}},
    "causal_lm": {"backbones": {"causal_lm": {}}},
    "both": {"encoders": {"multimodal": MULTIMODAL}, "modifiers": {"retrieval": {"text": ("title",)}}},
}
PAPER = 142 / 89


def described(users: int, length: int, n_items: int) -> World:
    """Full windows, of items of which a title of three words out of 2,000, genres and a year are known."""
    world, draw = timed(full(users, length, n_items)), np.random.default_rng(3)
    words = draw.integers(2_000, size=(n_items + 1, 3))
    titles = np.array(["", *(" ".join(f"word{word}" for word in row) for row in words[1:])], object)
    columns = {"title": titles, "year": 1950 + draw.integers(70, size=n_items + 1)}
    catalogue = replace(world.catalogue, columns=columns, categories={"genre": categories_of(n_items, 18, 3)})
    return World(world.interactions, catalogue)


def contender(parts: Mapping[str, Mapping[str, Any]], world: World, args: argparse.Namespace) -> Contender:
    """SASRec with these parts."""
    registry = Registry.load()
    chosen = {key: [(registry.get(key.removesuffix("s"), name), config) for name, config in named.items()]
              for key, named in parts.items()}
    backbone, = chosen.pop("backbones", [(registry.get("backbone", "sasrec"), {})])
    width = {"width": args.width} | ({"hidden": args.width} if backbone[0].name == "causal_lm" else {})
    return Contender(make_experiment(
        (backbone[0], width), objectives=[registry.get("objective", "softmax")],
        world=world, protocol={"split": "leave_one_out", "window": args.window}, **chosen,
        train={"batch": args.rows, "buckets": 1, "patience": 0, "threads": args.threads, "device": args.device}))


@torch.inference_mode()
def score(each: Contender, held: Items | None) -> torch.Tensor:
    """Scores of all items for one user, with vectors of items that are held, or made anew."""
    model, device = each.made.model, each.made.device
    assert model is not None
    chunk = to_score(each, 1)
    batch, targets = chunk.batch.to(device), chunk.targets.to(device)
    items = held or model.items("score")
    encoded = model.encode(batch, "score", items=items)
    output = model.output(encoded, batch, targets, "score", model.scorer.vectors(source=items))
    return output.scorer.scores(output.states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"items": 3_416, "users": 512, "window": 50, "rows": 128, "steps": 7, "width": 64, "threads": 2}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    world = described(args.users, args.window + 2, args.items)
    running = {name: contender(parts, world, args) for name, parts in ENTRIES.items()}
    for each in running.values():
        each.warm_up()
    for _ in range(args.steps):
        for each in running.values():
            each.step()
    models = {name: each.made.model for name, each in running.items() if each.made.model is not None}
    with torch.inference_mode():
        held = {name: model.eval().items("score") for name, model in models.items()}
    wait = next(iter(running.values())).wait
    kept, anew = ({name: 1000 * seconds for name, seconds in median_turns(
        {name: partial(score, each, given.get(name)) for name, each in running.items()}, wait, 5 * args.steps).items()}
        for given in (held, {}))
    step = {name: 1000 * statistics.median(each.spent) for name, each in running.items()}
    print(f"{args.items:,} items, windows of {args.window}, {args.rows} rows, {args.threads} threads, {args.device}")
    print(f"{'':<12}{'step ms':>9}{'one user':>10}{'anew':>8}   {'step':>6}{'one':>7}{'anew':>7}   entry / plain")
    for name in ENTRIES:
        ratios = "".join(f"{found[name] / found['plain']:7.2f}" for found in (step, kept, anew))
        print(f"{name:<12}{step[name]:9.0f}{kept[name]:10.2f}{anew[name]:8.2f}  {ratios}")
    print(f"the paper, one user: {PAPER:.2f}")


if __name__ == "__main__":
    main()
