"""Several Markov chains in one sequence, each of a domain's items, and how one decides what happens in another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .chain import distinct, draw_weights
from .config import DomainsConfig


@dataclass(frozen=True)
class Mixture:
    """The law of N items in D domains, numbered from 0.

    An event stays in the domain of the last one with probability `stay`, and goes to any other alike. There it is, with
    probability `noise`, any item of the domain; else successors[item, k] of the last item of its own domain. Which k:
    with probability `transfer`, decides[item] of the last item of another domain, else k with probability weights[item,
    k]. Where there is no item of its own domain before, any item of the domain; where none of another, by the weights.

    `domain` (N,); `successors`, `weights` (N, K), inside the domain; `decides` (N,), from 0 to K - 1.
    """

    config: DomainsConfig
    domain: np.ndarray
    successors: np.ndarray
    weights: np.ndarray
    decides: np.ndarray

    @property
    def n_domains(self) -> int:
        return self.config.domains

    def moves(self, last: np.ndarray) -> np.ndarray:
        """The law of the next domain (n, D) after items (n,), -1 for none."""
        config = self.config
        law = np.full((len(last), self.n_domains), (1 - config.stay) / (self.n_domains - 1))
        known = last >= 0
        law[known, self.domain[last[known]]] = config.stay
        law[~known] = 1 / self.n_domains
        return law

    def sample(self, n_rows: int, n_steps: int, rng: np.random.Generator) -> np.ndarray:
        """Independent sequences, (n_rows, n_steps) int32; one vectorised step for each position."""
        items = np.full((n_rows, n_steps), -1, np.int32)
        first = np.searchsorted(self.domain, np.arange(self.n_domains + 1))
        cumulative = np.cumsum(self.weights, axis=1)[:, :-1]
        for step, (last, own, foreign) in enumerate(self.walk(items)):
            goes = (rng.random(n_rows)[:, None] >= np.cumsum(self.moves(last), axis=1)[:, :-1]).sum(axis=1)
            rows = np.arange(n_rows)
            any_item = rng.integers(first[goes], first[goes + 1])
            before, elsewhere = own[rows, goes], foreign[rows, goes]
            pick = (rng.random(n_rows)[:, None] >= cumulative[before]).sum(axis=1)
            crosses = (rng.random(n_rows) < self.config.transfer) & (elsewhere >= 0)
            item = self.successors[before, np.where(crosses, self.decides[elsewhere], pick)]
            anything = (rng.random(n_rows) < self.config.noise) | (before < 0)
            items[:, step] = np.where(anything, any_item, item)
        return items

    def walk(self, items: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Before each position of sequences (n, T): the last items (n,), and for each domain the last of its own (n, D)
        and the last of another (n, D); -1 for none. Positions may be filled in while it walks.
        """
        n = len(items)
        last, other = np.full(n, -1), np.full(n, -1)  # `other`: the last item of another domain than the last one's
        own, rows = np.full((n, self.n_domains), -1), np.arange(n)
        for step in range(items.shape[1]):
            foreign = np.repeat(last[:, None], self.n_domains, axis=1)
            known = np.flatnonzero(last >= 0)
            foreign[known, self.domain[last[known]]] = other[known]
            yield last, own, foreign
            now = items[:, step].astype(np.int64)
            moved = (last >= 0) & (self.domain[now] != self.domain[last])
            other = np.where(moved, last, other)
            own = own.copy()
            own[rows, self.domain[now]] = now
            last = now

    def law(self, items: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The law of the item at position at[b] of sequence b (n, T), given those before, (n, N)."""
        n, config = len(items), self.config
        found = np.zeros((n, len(self.domain)))
        size = np.bincount(self.domain)
        for step, (last, own, foreign) in enumerate(self.walk(np.maximum(items, 0))):
            some = np.flatnonzero(at == step)
            if not len(some):
                continue
            moves = self.moves(last[some])
            for domain in range(self.n_domains):
                any_item = np.where(self.domain == domain, 1 / size[domain], 0.0)
                before, elsewhere = own[some, domain], foreign[some, domain]
                known = np.tile(any_item, (len(some), 1))
                has = np.flatnonzero(before >= 0)
                known[has] = 0
                np.add.at(known, (has[:, None], self.successors[before[has]]), self._picks(before, elsewhere)[has])
                found[some] += moves[:, [domain]] * (config.noise * any_item + (1 - config.noise) * known)
        return found

    def _picks(self, own: np.ndarray, foreign: np.ndarray) -> np.ndarray:
        """How likely each successor of the own items (n,) is, given those of other domains (n,), (n, K)."""
        share = np.where(foreign >= 0, self.config.transfer, 0.0)[:, None]
        decided = np.eye(self.weights.shape[1])[self.decides[foreign]]
        return np.asarray(share * decided + (1 - share) * self.weights[own])


def make_mixture(config: DomainsConfig, seed: int) -> Mixture:
    """The law of a configuration: the same for the same sizes and data seed, whatever the number of users."""
    rng = np.random.default_rng([seed, 1])
    n, k, n_domains = config.n_items, config.successors, config.domains
    domain = np.arange(n) * n_domains // n
    first, size = np.searchsorted(domain, np.arange(n_domains)), np.bincount(domain)
    successors = np.concatenate([first[place] + distinct(rng, size[place], k) for place in range(n_domains)])
    weights = draw_weights(config, rng)
    return Mixture(config, domain, successors, weights, rng.integers(0, k, n))


def labels(mixture: Mixture, seed: int) -> np.ndarray:
    """What the catalogue calls each item's domain, (N,): a share `corrupt` of the items has the name of another."""
    rng = np.random.default_rng([seed, 3])
    n, n_domains = len(mixture.domain), mixture.n_domains
    wrong = rng.permutation(n) < round(mixture.config.corrupt * n)
    other = (mixture.domain + rng.integers(1, n_domains, n)) % n_domains
    return np.where(wrong, other, mixture.domain)
