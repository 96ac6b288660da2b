"""How much of a model's attention crosses the domains of the world `domains`, as they are and not as they are named."""

from collections.abc import Mapping

import numpy as np

from benchbase.data import Catalogue

from .config import DomainsConfig
from .mixture import make_mixture


class DomainTruth:
    """`across`: the weight that events have for those of other domains, the mean over layers and events; `across_last`:
    that of each sequence's last event alone, which is asked for what comes next.
    """

    traces: frozenset[str] = frozenset()

    def __init__(self, config: DomainsConfig, catalogue: Catalogue, seed: int):
        domain = make_mixture(config, seed).domain[catalogue.item_ids[1:] - 1]
        self.domain = np.concatenate([[-1], domain])
        self.sums = {"across": np.zeros(3), "across_last": np.zeros(3)}  # weight, even weight, events

    def observe(self, items: np.ndarray, traces: Mapping[str, np.ndarray], attention: np.ndarray | None) -> None:
        if attention is None:
            return
        domain, real = self.domain[items], items > 0
        other = (domain[:, :, None] != domain[:, None, :]) & real[:, None, :]
        weight = attention.mean(axis=0)
        sight = (weight > 0) & real[:, None, :]
        crosses = (weight * other).sum(axis=-1)
        even = (sight & other).sum(axis=-1) / np.maximum(sight.sum(axis=-1), 1)
        last = real & ~np.pad(real, ((0, 0), (0, 1)))[:, 1:]
        for name, some in (("across", real), ("across_last", last)):
            self.sums[name] += (crosses[some].sum(), even[some].sum(), some.sum())

    def metrics(self) -> dict[str, float]:
        return {name: float(weight / events) for name, (weight, _, events) in self.sums.items() if events}

    def chance(self) -> dict[str, float]:
        """Weight spread evenly over the events in sight."""
        return {name: float(even / events) if events else float("nan") for name, (_, even, events) in self.sums.items()}
