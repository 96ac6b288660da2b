"""What AutoCDSR adds to a training step, in one run.

`python benchmarks/cross_domain.py [--backbone sasrec] [--length 200] [--rows 64] [--width 64] [--domains 2]
[--threads 2] [--device cpu]` takes whole training steps with the full softmax on sequences that fill the window, of
items of several domains in turn, and prints for each way to weigh the attention across domains the mean step, peak
memory above that at rest (of the process, or of the GPU), and the ratio to the plain backbone in the same turns.
AutoCDSR+ runs on `bert4rec` alone here; as released it is a backbone of its own with three layers for each domain and
three behind, and C2DSR is one with an encoder for all events and one for each domain. Needs the plugins `transformers`,
`losses`, `autocdsr` and `c2dsr`.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import numpy as np
import torch
from backbones import Contender, take_turns
from shapes import full

from benchbase.errors import Refusal
from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.world import World

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "fixed_alpha": ("fixed_alpha", {}),
    "pareto": ("pareto", {}),
    "pareto, every 2nd": ("pareto", {"every_n_steps": 2}),
    "pareto, every 4th": ("pareto", {"every_n_steps": 4}),
}


def of_domains(world: World, domains: int) -> World:
    """The same events, each item of one of so many domains."""
    catalogue = world.catalogue
    domain = np.concatenate([[-1], np.arange(catalogue.n_items) % domains]).astype(np.int16)
    names = tuple(f"domain {number}" for number in range(domains))
    return World(world.interactions, replace(catalogue, domain=domain, domain_names=names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="sasrec")
    for name, default in {"length": 200, "rows": 64, "width": 64, "items": 3_416, "domains": 2, "threads": 2,
                          "steps": 12}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    registry = Registry.load()
    backbone, softmax = registry.get("backbone", args.backbone), registry.get("objective", "softmax")
    attention = registry.get("objective", "cross_domain_attention")
    users = max(3 * args.rows, -(-args.items // args.length))
    world = of_domains(full(users, args.length + 2, args.items), args.domains)  # two events are held out

    def contender(objectives: list[Any], combiner: Any = None, modifiers: Sequence[Any] = (),
                  backbone: Any = backbone) -> Contender:
        return Contender(make_experiment(
            (backbone, {"width": args.width}), objectives=objectives, combiner=combiner, modifiers=modifiers,
            world=world, protocol={"split": "leave_one_out", "window": args.length},
            train={"batch": args.rows, "buckets": 1, "patience": 0, "threads": args.threads,
                   "device": args.device}))

    running = {"plain": contender([softmax])}
    for label, (name, parameters) in WAYS.items():
        running[label] = contender([softmax, attention], (registry.get("combiner", name), parameters))
    balance = {"balance": (f"{softmax.name}.nll", "ib_attention.mass")}
    try:
        running["AutoCDSR+"] = contender([softmax, registry.get("objective", "ib_attention")],
                                         (registry.get("combiner", "pareto"), balance),
                                         [registry.get("modifier", "ib_tokens")])
    except Refusal as refusal:
        print(f"AutoCDSR+ is left out: {refusal}")
    released = {"balance": (f"{softmax.name}.nll", "domain_ib_attention.mass")}
    running["AutoCDSR+ as released"] = contender(
        [softmax, registry.get("objective", "domain_ib_attention")], (registry.get("combiner", "pareto"), released),
        backbone=registry.get("backbone", "domain_encoders"))
    rival = [registry.get("objective", name) for name in ("domain_softmax", "cross_domain_infomax")]
    running["C2DSR"] = contender(rival, backbone=registry.get("backbone", "c2dsr"))
    print(f"{args.backbone}: {args.rows} rows of {args.length} events, width {args.width}, {args.domains} domains, "
          f"{torch.cuda.get_device_name() if args.device == 'cuda' else f'threads {args.threads}'}")
    take_turns(running, args.steps, "plain", typical=fmean)  # some steps look at both gradients, others do not


if __name__ == "__main__":
    main()
