"""Time of an HSTU training step, backbone only, attention block by block, against all weights at hand, in one run.

`python benchmarks/pointwise_step.py --rows 128 --events 200 --width 64 --threads 1 [--profile]` prints seconds of
forward and backward of HSTU on both routes and of SASRec of the same sizes, and the ratio (reference / this: above 1
means faster), the reference being the explicit route. Needs the plugins `hstu` and `transformers`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
from benchbase_hstu import benchbase_backbones as hstu
from benchbase_transformers import benchbase_backbones as transformers
from torch.profiler import profile
from transformer_step import N_ITEMS, batch

from benchbase import BackboneSpec, BuildContext
from benchbase.data.batches import Batch
from benchbase.nn import ItemEmbedding, Modifier, Scorer, SequenceModel, Traits
from benchbase.specs import LayoutConfig, ScorerConfig

MONTH = 30 * 86_400


class Watcher(Modifier):
    """Asks for the final weights and leaves them as they are."""

    def weights(self, ctx: Any, layer: int, w: torch.Tensor) -> torch.Tensor:
        return w


def model(spec: BackboneSpec, events: int, explicit: bool = False, **parameters: Any) -> SequenceModel:
    config = spec.config.model_validate(parameters)
    context = BuildContext(n_items=N_ITEMS, n_users=1, window=events, max_tokens=events)
    body, names = spec.build(config, context), ["backbone", "modifier.watcher"]
    embedding = ItemEmbedding(N_ITEMS, body.width, hidden=False)
    traits = Traits(normaliser=float(events) if spec.attention == "pointwise" else None,
                    sites={"watcher": frozenset({"weights"})})
    return SequenceModel(embedding, LayoutConfig(), body, Scorer(ScorerConfig(), embedding), traits,
                         {name: torch.Generator().manual_seed(0) for name in names},
                         modifiers={"watcher": Watcher()} if explicit else {})


def timed(given: Batch) -> Batch:
    """The batch with an event every few days."""
    asked = torch.randint(1, MONTH // 5, given.items.shape).cumsum(dim=1)
    before = torch.cat([torch.zeros_like(asked[:, :1]), asked[:, :-1]], dim=1)
    return replace(given, timestamps=before, query_times=asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"rows": 128, "events": 200, "width": 64, "threads": 1, "repeats": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--profile", action="store_true", help="print what a step of HSTU spends its time on")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    given, (pointwise,), sasrec = timed(batch(args.rows, args.events)), hstu(), transformers()[0]
    models = {
        "hstu, explicit": model(pointwise, args.events, explicit=True, width=args.width),
        "hstu": model(pointwise, args.events, width=args.width),
        "hstu[time_ref=none]": model(pointwise, args.events, width=args.width, time_ref="none"),
        "sasrec": model(sasrec, args.events, width=args.width),
    }

    def stepping(made: SequenceModel) -> Callable[[], None]:
        def step() -> None:
            after = made.encode(given, "train").states.after
            assert after is not None
            torch.autograd.backward(after.square().mean())

        return step

    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.repeats + 1):
        for name, made in models.items():
            start = time.perf_counter()
            stepping(made)()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(spent[1:]) for name, spent in seconds.items()}  # the first is a warm-up
    for name, median in medians.items():
        print(f"{name:<20}{median * 1000:8.1f} ms  ratio {medians['hstu, explicit'] / median:5.2f}")
    if args.profile:
        with profile() as recorded:
            stepping(models["hstu"])()
        print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=45))


if __name__ == "__main__":
    main()
