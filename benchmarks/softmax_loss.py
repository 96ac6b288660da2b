"""Time of the chunked softmax loss against materialised logits and cross-entropy, forward and backward, in one run.

`python benchmarks/softmax_loss.py --positions 12800 --items 3416 --width 64 --threads 2` prints seconds for both and
their ratio (reference / ours: above 1 means faster). The two are timed in turn, so that a busy machine slows both.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase.nn import softmax_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def materialised(query: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
    """What one writes first: all scores, then the library's cross-entropy."""
    return F.cross_entropy(query @ vectors.T, target)


def chunked(query: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
    return softmax_loss(query, vectors, target, torch.ones(len(query)))


def chunked_bfloat16(query: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
    return softmax_loss(query, vectors, target, torch.ones(len(query)), products=torch.bfloat16)


def step(loss: Loss, query: Tensor, vectors: Tensor, target: Tensor) -> tuple[float, list[Tensor]]:
    """Seconds of one forward and backward pass, and the gradients of query and vectors."""
    query, vectors = query.detach().requires_grad_(), vectors.detach().requires_grad_()
    start = time.perf_counter()
    gradients = torch.autograd.grad(loss(query, vectors, target), [query, vectors])
    return time.perf_counter() - start, list(gradients)


def error(ours: list[Tensor], reference: list[Tensor]) -> float:
    """The larger relative error, in the Frobenius norm, of the two gradients."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, reference, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"positions": 12_800, "items": 3_416, "width": 64, "threads": 1, "repeats": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    query, vectors = torch.randn(args.positions, args.width), torch.randn(args.items, args.width) * 0.3
    target = torch.randint(args.items, (args.positions,))
    routes: dict[str, Loss] = {"materialised": materialised, "chunked": chunked, "bfloat16": chunked_bfloat16}
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    gradients: dict[str, list[Tensor]] = {}
    for _ in range(args.repeats + 1):
        for name, loss in routes.items():
            spent, gradients[name] = step(loss, query, vectors, target)
            seconds[name].append(spent)
    medians = {name: statistics.median(spent[1:]) for name, spent in seconds.items()}  # the first is a warm-up
    for name, median in medians.items():
        ratio = medians["materialised"] / median
        wrong = error(gradients[name], gradients["materialised"])
        print(f"{name:<14}{median * 1000:8.1f} ms  ratio {ratio:5.2f}  gradient error {wrong:.1e}")


if __name__ == "__main__":
    main()
