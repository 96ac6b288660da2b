"""Learning curves in a line each: the suite's first metric on the valid part after some epochs, and at its best."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..metrics import higher_is_better
from .load import Entry

EPOCHS = (1, 5, 10, 20, 30, 40, 50, 100, 200, 500)
"""After which epochs a curve is shown, as far as some entry was trained."""


@dataclass(frozen=True)
class Curve:
    """The mean over seeds by epoch, where every seed has a value there, and the means of each seed's last and best."""

    label: str
    values: dict[int, float]
    last: float
    best: float


def curves_of(entries: Sequence[Entry], metric: str) -> list[Curve]:
    """The curves of the entries that have one, in their order."""
    found = []
    for entry in entries:
        seeds = _seeds(entry, f"valid.{metric}")
        if seeds and all(seeds):
            common = [epoch for epoch in EPOCHS if all(epoch in seed for seed in seeds)]
            values = {epoch: fmean(seed[epoch] for seed in seeds) for epoch in common}
            top = max if higher_is_better(metric) else min
            last, best = (fmean(each) for each in zip(*((seed[max(seed)], top(seed.values())) for seed in seeds),
                                                      strict=True))
            found.append(Curve(entry.label, values, last, best))
    return found


def _seeds(entry: Entry, name: str) -> list[dict[int, float]]:
    """Epoch -> finite value, for each seed."""
    found = []
    for record in entry.good:
        if "curve.parquet" in record.facts["files"]:
            curve = record.table("curve.parquet")
            kept = (curve["name"] == name) & np.isfinite(curve["value"])
            found.append(dict(zip(curve["epoch"][kept].tolist(), curve["value"][kept].tolist(), strict=True)))
    return found
