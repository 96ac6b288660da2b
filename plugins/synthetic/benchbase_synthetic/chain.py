"""The Markov chain behind the world `markov`: a few likely successors for each item, and rare jumps anywhere."""

from dataclasses import dataclass

import numpy as np

from .config import DomainsConfig, DriftConfig, MarkovConfig


@dataclass(frozen=True)
class Chain:
    """Transition probabilities of N items, numbered from 0.

    From item i: with probability `jump` any item, uniformly; else item successors[i, k] with probability
    weights[i, k]. `successors` (N, K), distinct in a row; `weights` (N, K), rows sum to 1. `stationary` (N,) is
    also the law of first items, so every position of a sequence has it.
    """

    successors: np.ndarray
    weights: np.ndarray
    jump: float
    stationary: np.ndarray

    @property
    def n_items(self) -> int:
        return len(self.successors)

    def matrix(self) -> np.ndarray:
        """All transition probabilities, (N, N); row: from, column: to."""
        table = np.full((self.n_items, self.n_items), self.jump / self.n_items)
        table[np.arange(self.n_items)[:, None], self.successors] += (1 - self.jump) * self.weights
        return table

    def sample(self, n_rows: int, n_steps: int, rng: np.random.Generator) -> np.ndarray:
        """Independent sequences, (n_rows, n_steps) int32; one vectorised step for each position."""
        items = np.empty((n_rows, n_steps), np.int32)
        cumulative = np.cumsum(self.weights, axis=1)[:, :-1]
        items[:, 0] = rng.choice(self.n_items, n_rows, p=self.stationary)
        for step in range(1, n_steps):
            last = items[:, step - 1]
            pick = (rng.random(n_rows)[:, None] >= cumulative[last]).sum(axis=1)
            follow = self.successors[last, pick]
            jumps = rng.random(n_rows) < self.jump
            items[:, step] = np.where(jumps, rng.integers(0, self.n_items, n_rows), follow)
        return items


def make_chain(config: MarkovConfig, seed: int) -> Chain:
    """The chain of a configuration: the same for the same sizes and data seed, whatever the number of users."""
    rng = np.random.default_rng([seed, 1])
    n, k = config.n_items, config.successors
    successors = distinct(rng, n, k)
    weights = draw_weights(config, rng)
    return Chain(successors, weights, config.jump, _stationary(successors, weights, config.jump))


def draw_weights(config: MarkovConfig | DomainsConfig | DriftConfig, rng: np.random.Generator) -> np.ndarray:
    """How likely each successor of every item is, (N, K): the first between low and high, the others alike."""
    n, k = config.n_items, config.successors
    first = rng.uniform(config.low, config.high, n) if k > 1 else np.ones(n)
    rest = np.repeat((1 - first)[:, None] / max(k - 1, 1), k - 1, axis=1)
    return np.concatenate((first[:, None], rest), axis=1)


def distinct(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """k distinct items for each of n: draw, and draw rows again that hold one twice."""
    if 2 * k > n:
        return np.argsort(rng.random((n, n)), axis=1)[:, :k]
    items = rng.integers(0, n, (n, k))
    while len(again := np.flatnonzero((np.diff(np.sort(items, axis=1), axis=1) == 0).any(axis=1))):
        items[again] = rng.integers(0, n, (len(again), k))
    return items


def _stationary(successors: np.ndarray, weights: np.ndarray, jump: float) -> np.ndarray:
    """The law that a step leaves unchanged; converges at rate 1 - jump."""
    n = len(successors)
    law = np.full(n, 1 / n)
    while True:
        moved = np.bincount(successors.ravel(), ((1 - jump) * law[:, None] * weights).ravel(), n) + jump / n
        if np.abs(moved - law).sum() < 1e-13:
            return np.asarray(moved / moved.sum())
        law = moved
