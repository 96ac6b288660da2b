"""The graph behind the world `causal`: which items cause which, and which merely occur together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .config import CausalConfig

NOISE = np.pi / np.sqrt(6)
"""The standard deviation of standard Gumbel noise."""

CELLS = 2**22
"""Utilities held at a time, at most."""

PILOT = 4_000
"""Events that the moments of utilities are taken from, for each item."""


@dataclass(frozen=True)
class Graph:
    """Strengths of causes and the themes of N items, numbered from 0.

    `strength` (N, N): row: effect, column: cause, 0 where there is none; its graph has no cycle. `theme` (N,): the
    theme of an item, -1 without one; items of one theme are companions, and no edge joins two of them.
    """

    strength: np.ndarray
    theme: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """Who causes whom, (N, N) bool."""
        return np.asarray(self.strength > 0)

    @property
    def companions(self) -> np.ndarray:
        """Who shares a theme with whom, (N, N) bool, nobody with itself."""
        same = (self.theme[:, None] == self.theme) & (self.theme >= 0)
        return np.asarray(same & ~np.eye(len(same), dtype=bool))


def make_graph(config: CausalConfig, seed: int) -> Graph:
    """The graph of a configuration: the same for the same sizes and data seed, whatever the number of users."""
    rng = np.random.default_rng([seed, 1])
    n = config.n_items
    theme = np.full(n, -1)
    theme[rng.permutation(n)[: config.themes * config.companions]] = np.repeat(
        np.arange(config.themes), config.companions)
    place = rng.permutation(n)  # causes have lower places
    may = (place[:, None] > place) & ~((theme[:, None] == theme) & (theme >= 0)[:, None])
    pairs = np.argwhere(may)
    chosen = pairs[rng.permutation(len(pairs))[: round(config.causes * n)]]
    strength = np.zeros((n, n))
    strength[chosen[:, 0], chosen[:, 1]] = rng.uniform(config.low, config.high, len(chosen))
    return Graph(strength, theme)


class Process:
    """Draws sequences: the item with the highest utility happens, and its effects become likelier."""

    def __init__(self, config: CausalConfig, seed: int):
        self.config, self.graph = config, make_graph(config, seed)
        self.mean, self.deviation = np.zeros(config.n_items), np.full(config.n_items, NOISE)
        if config.scale == "standardised":
            self.mean, self.deviation = self._moments(np.random.default_rng([seed, 2]))

    def sample(self, n_rows: int, n_steps: int, rng: np.random.Generator) -> np.ndarray:
        """Independent sequences, (n_rows, n_steps) int32."""
        items = np.empty((n_rows, n_steps), np.int32)
        step = max(1, CELLS // self.config.n_items)
        for first in range(0, n_rows, step):
            rows = slice(first, min(first + step, n_rows))
            for at, (_, chosen) in enumerate(self._steps(rows.stop - first, n_steps, rng)):
                items[rows, at] = chosen
        return items

    def response(self, drive: np.ndarray) -> np.ndarray:
        """What causes add to a utility, of their strengths' sum: the same, or a step around the least strength."""
        if self.config.response == "linear":
            return drive
        return self.config.high / (1 + np.exp(-4 * (drive / self.config.low - 1))) * (drive > 0)

    def law(self, items: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The law of the item after each sequence, (n_rows, N): exact, and known for the raw scale alone.

        items (n_rows, n_steps), of which the first `lengths` (n_rows,) happened. The theme is not seen; what a sequence
        says of it is the forward recursion of a hidden Markov model.
        """
        assert self.config.scale == "raw", "the highest of utilities with unlike noise has no closed law"
        drive = np.zeros((len(items), self.config.n_items))
        belief = np.full((len(items), max(self.config.themes, 1)), 1 / max(self.config.themes, 1))
        for step in range(items.shape[1]):
            on = np.flatnonzero(step < lengths)
            chosen = items[on, step]
            seen = belief[on] * self._by_theme(drive[on])[np.arange(len(on)), :, chosen]
            seen /= seen.sum(axis=1, keepdims=True)
            belief[on] = self.config.stay * seen + (1 - self.config.stay) / belief.shape[1]
            drive[on] = drive[on] * self.config.memory + self.graph.strength[:, chosen].T
        return np.asarray((belief[:, :, None] * self._by_theme(drive)).sum(axis=1))

    def _by_theme(self, drive: np.ndarray) -> np.ndarray:
        """The law of the next item (rows, themes, N) under each theme: with Gumbel's noise a softmax of utilities."""
        utility = np.repeat(self.response(drive)[:, None], max(self.config.themes, 1), axis=1)
        if self.config.themes:
            utility = utility + self.config.spurious * (self.graph.theme == np.arange(self.config.themes)[:, None])
        odds = np.exp(utility - utility.max(axis=2, keepdims=True))
        return np.asarray(odds / odds.sum(axis=2, keepdims=True))

    def _steps(self, rows: int, n_steps: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Utilities (rows, N) and the items (rows,) that happen, event by event."""
        config, graph = self.config, self.graph
        drive, theme = np.zeros((rows, config.n_items)), self._themes(rows, rng)
        for _ in range(n_steps):
            utility = self.response(drive) + rng.gumbel(size=drive.shape)
            if config.themes:
                utility += config.spurious * (graph.theme == theme[:, None])
            standard = (utility - self.mean) * (NOISE / self.deviation)
            chosen = standard.argmax(axis=1)
            yield utility, chosen
            drive = drive * config.memory + graph.strength[:, chosen].T
            theme = np.where(rng.random(rows) < config.stay, theme, self._themes(rows, rng))

    def _themes(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, max(self.config.themes, 1), rows)

    def _moments(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each item's utility, of events that are raw."""
        steps = min(50, self.config.events + self.config.events_spread)
        found = np.concatenate([utility for utility, _ in self._steps(-(-PILOT // steps), steps, rng)])
        return found.mean(axis=0), found.std(axis=0)
