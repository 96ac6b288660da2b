"""Time of softmax attention whose weights are boosted or whose bias is learned, route against route, in one run.

`python benchmarks/boosted_attention.py [--rows 128] [--events 200] [--heads 2] [--width 32] [--threads 1]` prints
milliseconds of forward and backward, gradients of the factor or bias included, and how much faster each is than the
reference: all weights held by the library (`explicit`), or its maths behind a folded bias (`library`). `fused` is the
plain causal kernel, which learns neither. All are timed in turn, and the best of `--repeats` counts.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase.nn import Boost, attend, causal_mask


def routes(rows: int, heads: int, events: int, width: int) -> dict[str, tuple[str, Callable[[], Tensor], list[Tensor]]]:
    """Every way, the name of its reference, and what its gradients go to."""
    q, k, v = (torch.randn(rows, events, heads, width).transpose(1, 2).requires_grad_() for _ in range(3))
    factor = (1 + torch.rand(rows, 1, events, events)).requires_grad_()
    bias = torch.randn(rows, 1, events, events).requires_grad_()
    loose, triangle = [Boost(factor, renormalise=False)], causal_mask(events, "cpu")

    def library() -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.where(triangle, bias, float("-inf")))

    return {
        "fused, no boost": ("fused, no boost", lambda: attend(q, k, v, causal=True).out, [q, k, v]),
        "boost, explicit": (
            "boost, explicit",
            lambda: attend(q, k, v, causal=True, boosts=loose, weights=[lambda w: w]).out, [q, k, v, factor]),
        "boost, blockwise": (
            "boost, explicit", lambda: attend(q, k, v, causal=True, boosts=loose).out, [q, k, v, factor]),
        "bias, library": ("bias, library", library, [q, k, v, bias]),
        "bias, blockwise": ("bias, library", lambda: attend(q, k, v, causal=True, bias=bias).out, [q, k, v, bias]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rows": 128, "events": 200, "heads": 2, "width": 32, "threads": 1, "repeats": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    ways = routes(args.rows, args.heads, args.events, args.width)
    cotangent = torch.randn(args.rows, args.heads, args.events, args.width)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(args.repeats + 1):
        for name, (_, take, leaves) in ways.items():
            start = time.perf_counter()
            torch.autograd.grad(take(), leaves, cotangent)
            best[name] = min(best[name], time.perf_counter() - start)
    print(f"{'':<20}{'ms':>8}{'x reference':>13}{'x fused':>9}")
    for name, (reference, _, _) in ways.items():
        print(f"{name:<20}{best[name] * 1000:8.1f}{best[reference] / best[name]:13.2f}"
              f"{best['fused, no boost'] / best[name]:9.2f}")


if __name__ == "__main__":
    main()
