"""Time and memory of every loss, forward and backward given the states, against named references in one run.

`python benchmarks/losses.py [--positions 12800] [--items 3416 50000] [--width 64] [--threads 1]` prints for each
catalogue milliseconds a step, tokens a second (one a position), peak memory above what was there, and how much faster
each loss is than two references: `materialised`, all logits and the library's cross-entropy, and `softmax`, the exact
full softmax.
`gathered` is gbce with the vectors of its negatives copied for each position, as one writes it first. What would take
more than `--limit` MiB is left out. All are timed in turn, and the best of `--repeats` counts: a busy machine adds.
Needs the plugin `losses`.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
import torch.nn.functional as F
from benchbase_losses import benchbase_objectives
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Targets
from benchbase.memory import peak_memory, reset_peak
from benchbase.nn import BoundScorer, ItemEmbedding, Scorer
from benchbase.specs import ScorerConfig
from benchbase.train.loop import trim_heap

SPECS = {spec.name: spec for spec in benchbase_objectives()}
MIB = 2**20
LOSSES: list[tuple[str, dict[str, Any]]] = [
    ("softmax", {}),
    ("softmax", {"gradients": "bfloat16"}),
    ("bce", {}),
    ("bpr", {}),
    ("bce", {"negatives": 256, "scope": "batch"}),
    ("gbce", {"negatives": 256, "scope": "batch"}),
    ("sampled_softmax", {"negatives": 256, "scope": "batch"}),
    ("in_batch_softmax", {"negatives": 256}),
    ("infonce", {"negatives": 256, "scope": "batch"}),
    ("bpr", {"negatives": 256, "scope": "batch"}),
    ("gbce", {"negatives": 256, "scope": "position"}),
]

Loss = Callable[[Any, Targets], Tensor]


def materialised(output: Any, targets: Targets) -> Tensor:
    return F.cross_entropy(output.scorer.scores(output.states), targets.item - 1)


def gathered(output: Any, targets: Targets) -> Tensor:
    items = torch.cat([targets.item[:, None], targets.negatives], dim=1)
    scores = torch.einsum("pd,pkd->pk", output.states, output.scorer.vectors[items - 1])
    return targets.mean(F.softplus(-scores[:, 0]) + F.softplus(scores[:, 1:]).sum(dim=1))


def nll(objective: Any, output: Any, targets: Targets) -> Tensor:
    return objective.losses(output, targets, None)["nll"]  # type: ignore[no-any-return]


def label(name: str, parameters: dict[str, Any]) -> str:
    return name + "".join(f" {value}" for value in parameters.values())


def targets_for(asked: Any, items: Tensor, n_items: int) -> Targets:
    """Targets with negatives of the shape that is asked for."""
    n = len(items)
    made = Targets("next_item", torch.arange(n), torch.zeros(n).long(), items, torch.zeros(n, 0), torch.ones(n))
    if asked is None:
        return made
    shape = (asked.count,) if asked.scope == "batch" else (n, asked.count)
    log_q = torch.full(shape, -float(torch.tensor(n_items).log()))
    return Targets("next_item", made.row, made.event, items, made.actions, made.weights,
                   torch.randint(1, n_items + 1, shape), torch.full((n,), float(log_q.flatten()[0])), log_q)


def routes(items: Tensor, n_items: int, width: int, limit: int) -> Iterator[tuple[str, Loss, Targets]]:
    """Every loss that stays under the limit, references first."""
    n = len(items)
    if 3 * 4 * n * n_items < limit * MIB:
        yield "materialised", materialised, targets_for(None, items, n_items)
    context = BuildContext(n_items=n_items, n_users=1, window=1, max_tokens=1)
    for name, parameters in LOSSES:
        spec = SPECS[name]
        config = spec.config(**parameters)
        made = spec.build(config, context)
        given = targets_for(spec.resolve("needs", config).negatives, items, n_items)
        yield label(name, parameters), partial(nll, made), given
    if 3 * 4 * n * 257 * width < limit * MIB:
        yield "gathered 256 position", gathered, given


def step(loss: Loss, targets: Targets, states: Tensor, scorer: Scorer) -> float:
    """Seconds of one forward and backward pass."""
    states = states.detach().requires_grad_()
    start = time.perf_counter()
    output = SimpleNamespace(states=states, scorer=BoundScorer(scorer, targets.row))
    torch.autograd.grad(loss(output, targets), [states, *scorer.parameters()])
    return time.perf_counter() - start


def peak(take: Callable[[], float]) -> float:
    """MiB that a step takes at its peak; it warms up as well."""
    take()
    trim_heap()
    reset_peak()
    before = peak_memory()
    take()
    return (peak_memory() - before) / MIB


def compare(n_items: int, args: argparse.Namespace) -> None:
    scorer = Scorer(ScorerConfig(output="separate", score=args.score), ItemEmbedding(n_items, args.width, hidden=False))
    states, items = torch.randn(args.positions, args.width), torch.randint(1, n_items + 1, (args.positions,))
    steps = {name: partial(step, loss, targets, states, scorer)
             for name, loss, targets in routes(items, n_items, args.width, args.limit)}
    memory = {name: peak(take) for name, take in steps.items()}
    turns = [{name: take() for name, take in steps.items()} for _ in range(args.repeats)]
    best = {name: min(turn[name] for turn in turns) for name in steps}
    print(f"{n_items} items, {args.positions} positions, width {args.width}, {args.score}, threads {args.threads}")
    print(f"{'':<28}{'ms':>9}{'tokens/s':>13}{'peak MiB':>10}{'x materialised':>16}{'x softmax':>11}")
    for name, seconds in best.items():
        ratio = f"{best['materialised'] / seconds:.2f}" if "materialised" in best else "-"
        print(f"{name:<28}{seconds * 1000:9.1f}{args.positions / seconds:13.0f}{memory[name]:10.0f}{ratio:>16}"
              f"{best['softmax'] / seconds:11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"positions": 12_800, "width": 64, "threads": 1, "repeats": 5, "limit": 4_000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--items", type=int, nargs="+", default=[3_416, 50_000])
    parser.add_argument("--score", choices=("dot", "cosine"), default="dot")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for n_items in args.items:
        compare(n_items, args)


if __name__ == "__main__":
    main()
