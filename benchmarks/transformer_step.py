"""Time of a SASRec training step, backbone only, against torch's own padded TransformerEncoder, in one run.

`python benchmarks/transformer_step.py --rows 128 --events 200 --width 64 --threads 1 [--profile]` prints seconds of
forward and backward for both and their ratio (reference / ours: above 1 means faster). Needs the plugin `transformers`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
from benchbase_transformers import benchbase_backbones
from torch import Tensor, nn
from torch.profiler import profile

from benchbase import BuildContext
from benchbase.data.batches import Batch
from benchbase.nn import ItemEmbedding, Scorer, SequenceModel, Traits
from benchbase.specs import LayoutConfig, ScorerConfig

N_ITEMS = 3_416


def ours(width: int, events: int) -> SequenceModel:
    spec = {spec.name: spec for spec in benchbase_backbones()}["sasrec"]
    context = BuildContext(n_items=N_ITEMS, n_users=1, window=events, max_tokens=events)
    embedding, config = ItemEmbedding(N_ITEMS, width, hidden=False), spec.config.model_validate({"width": width})
    return SequenceModel(embedding, LayoutConfig(), spec.build(config, context),
                         Scorer(ScorerConfig(), embedding), Traits(), {"backbone": torch.Generator().manual_seed(0)})


class Reference(nn.Module):
    """The same sizes from torch's own layers, every row padded to the longest."""

    def __init__(self, width: int, events: int):
        super().__init__()
        self.items, self.positions = nn.Embedding(N_ITEMS + 1, width), nn.Embedding(events, width)
        layer = nn.TransformerEncoderLayer(width, 2, width, 0.2, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(0.2)
        self.mask = nn.Transformer.generate_square_subsequent_mask(events)

    def forward(self, items: Tensor) -> Tensor:
        x = self.items(items) + self.positions.weight[: items.shape[1]]
        return self.encoder(self.dropout(x), mask=self.mask, is_causal=True)  # type: ignore[no-any-return]


def batch(rows: int, events: int) -> Batch:
    items = torch.randint(1, N_ITEMS + 1, (rows, events))
    zeros, no = torch.zeros_like(items), torch.zeros(rows, events, dtype=torch.bool)
    return Batch(users=torch.arange(rows), items=items, timestamps=zeros, query_times=zeros, domains=zeros - 1,
                 actions=torch.zeros(rows, events, 0), lengths=torch.full((rows,), events),
                 features=torch.zeros(rows, events, 0), hide_item=no, hide_action=no, candidate=no)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"rows": 128, "events": 200, "width": 64, "threads": 1, "repeats": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--profile", action="store_true", help="print what a step of ours spends its time on")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model, reference = ours(args.width, args.events), Reference(args.width, args.events)
    given = batch(args.rows, args.events)

    def step_ours() -> None:
        after = model.encode(given, "train").states.after
        assert after is not None
        torch.autograd.backward(after.square().mean())

    def step_reference() -> None:
        torch.autograd.backward(reference(given.items).square().mean())

    steps: dict[str, Callable[[], None]] = {"TransformerEncoder": step_reference, "sasrec": step_ours}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(spent[1:]) for name, spent in seconds.items()}  # the first is a warm-up
    for name, median in medians.items():
        print(f"{name:<20}{median * 1000:8.1f} ms  ratio {medians['TransformerEncoder'] / median:5.2f}")
    if args.profile:
        with profile() as recorded:
            step_ours()
        print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=45))


if __name__ == "__main__":
    main()
