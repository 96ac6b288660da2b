"""Time of a training epoch with the full softmax, against the loop one writes first, in one run.

`python benchmarks/epoch.py [--data FILE] [--threads 2] [--epochs 2]` trains a causal transformer on 6,040 users and
3,416 items (FILE has lines `user item`; without it data of that shape is generated), then ranks all users. The
reference pads every row to the window, runs torch's own encoder with dropout on attention too, and materialises the
logits; some of its batches are timed before and after ours, and an epoch of it is their median times their number.
The ratio is reference / ours: above 1 means faster. `--small` is a quick look. Needs the plugins `transformers` and
`losses`.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
import torch.nn.functional as F
from benchbase_losses import benchbase_objectives
from benchbase_transformers import benchbase_backbones
from shapes import experiment, ml_1m
from torch import Tensor, nn

from benchbase.assemble import Experiment
from benchbase.evaluate import rank
from benchbase.train import fit


class Reference(nn.Module):
    """The same sizes from torch's own layers, every row padded to the window."""

    def __init__(self, n_items: int, width: int, window: int):
        super().__init__()
        self.items, self.positions = nn.Embedding(n_items + 1, width, padding_idx=0), nn.Embedding(window, width)
        layer = nn.TransformerEncoderLayer(width, 2, width, 0.2, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(0.2)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(window))

    def forward(self, items: Tensor) -> Tensor:
        """Logits (B, T, n_items + 1)."""
        h = self.dropout(self.items(items) + self.positions.weight)
        h = self.encoder(h, mask=self.mask, is_causal=True)
        return h @ self.items.weight.T  # type: ignore[no-any-return]


class ReferenceLoop:
    """Batches of padded rows through the reference, one step at a time."""

    def __init__(self, made: Experiment, width: int, batch: int):
        window = made.suite.protocol.window
        self.model = Reference(made.context.n_items, width, window)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.items, self.targets = padded(made, window)
        self.batch, self.order = batch, torch.randperm(len(self.items))
        self.n_batches, self.at, self.spent = -(-len(self.items) // batch), 0, list[float]()

    def run(self, batches: int) -> None:
        for _ in range(batches):
            rows = self.order[self.at : self.at + self.batch]
            self.at = (self.at + self.batch) % len(self.order)
            start = time.perf_counter()
            logits = self.model(self.items[rows])
            loss = F.cross_entropy(logits.flatten(0, 1), self.targets[rows].flatten(), ignore_index=0)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.spent.append(time.perf_counter() - start)


def padded(made: Experiment, window: int) -> tuple[Tensor, Tensor]:
    """Items and next items (rows, window) of the train part, padded on the right."""
    assert made.feed is not None
    rows, item = made.feed.rows, made.data.prepared.interactions.item
    items, targets = torch.zeros(2, len(rows), window, dtype=torch.int64)
    for row, (start, stop) in enumerate(zip(rows.start, rows.stop, strict=True)):
        own = torch.from_numpy(item[start:stop].astype("int64"))
        items[row, : len(own) - 1], targets[row, : len(own) - 1] = own[:-1], own[1:]
    return items, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    for name, default in {"epochs": 2, "threads": 2, "width": 64, "window": 200, "reference-batches": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="200 users, 300 items")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    specs = {spec.name: spec for spec in (*benchbase_backbones(), *benchbase_objectives())}
    made = experiment(ml_1m(args.data, args.small), (specs["sasrec"], {"width": args.width}), specs["softmax"],
                      args.window, epochs=args.epochs, eval_every=args.epochs, threads=args.threads)
    assert made.feed is not None
    positions = int((made.feed.rows.stop - made.feed.rows.start - 1).sum())
    reference = ReferenceLoop(made, args.width, 128)
    reference.run(args.reference_batches)
    fitted = fit(made)
    valid, test = (rank(made, part).seconds for part in ("valid", "test"))
    reference.run(args.reference_batches)
    ours = (fitted.seconds - valid) / args.epochs
    theirs = statistics.median(reference.spent[1:]) * reference.n_batches  # the first is a warm-up
    print(f"ours       {ours:8.2f} s/epoch  {positions / ours:10,.0f} positions/s  "
          f"peak {fitted.peak_memory / 2**20:.0f} MiB")
    print(f"reference  {theirs:8.2f} s/epoch  {positions / theirs:10,.0f} positions/s")
    print(f"ratio      {theirs / ours:8.2f}")
    print(f"ranking    {test:8.2f} s for {len(made.data.split.test_events):,} users x {made.context.n_items:,} items")


if __name__ == "__main__":
    main()
