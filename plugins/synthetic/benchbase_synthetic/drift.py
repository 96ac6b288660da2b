"""The chains behind the world `drift`: which items are at hand when, and which follow which in that season."""

from dataclasses import dataclass

import numpy as np

from .chain import distinct, draw_weights
from .config import DriftConfig

DAY = 86_400


@dataclass(frozen=True)
class Seasons:
    """Transition probabilities of N items, numbered from 0, in E seasons.

    In season e, from item i: with probability `jump` any item at hand, uniformly; else item successors[e, i, k] with
    probability weights[e, i, k]. `active` (E, N) bool: what is at hand. `successors`, `weights` (E, N, K): those of
    items that are not at hand weigh 0, others' weights sum to 1, or to 0 where none is: then it is a jump. First items
    of users are jumps.
    """

    active: np.ndarray
    successors: np.ndarray
    weights: np.ndarray
    jump: float

    def matrix(self, season: int) -> np.ndarray:
        """All transition probabilities of a season, (N, N); row: from, column: to."""
        n_items = self.active.shape[1]
        stays = (1 - self.jump) * self.weights[season]
        table = np.zeros((n_items, n_items))
        table[np.arange(n_items)[:, None], self.successors[season]] += stays
        return np.asarray(table + (1 - stays.sum(axis=1, keepdims=True)) * self.first(season))

    def first(self, season: int) -> np.ndarray:
        """The law of a jump, (N,)."""
        return np.asarray(self.active[season] / self.active[season].sum())

    def sample(self, season: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Independent sequences of items, (n_rows, n_steps) int32, of events in these seasons."""
        items = self._jumps(season, rng)
        cumulative = np.cumsum(self.weights, axis=2)
        for step in range(1, season.shape[1]):
            now, last = season[:, step], items[:, step - 1]
            reach = cumulative[now, last]
            pick = (rng.random(len(now))[:, None] >= reach[:, :-1] / np.maximum(reach[:, -1:], 1e-300)).sum(axis=1)
            stays = (rng.random(len(now)) >= self.jump) & (reach[:, -1] > 0)
            items[:, step] = np.where(stays, self.successors[now, last, pick], items[:, step])
        return items

    def _jumps(self, season: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An item at hand for each event, drawn uniformly."""
        items = np.empty(season.shape, np.int32)
        for number, at_hand in enumerate(self.active):
            here = season == number
            items[here] = rng.choice(np.flatnonzero(at_hand), int(here.sum()))
        return items


def make_seasons(config: DriftConfig, seed: int) -> Seasons:
    """The seasons of a configuration: the same for the same sizes and data seed, whatever the number of users."""
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(config.n_items)
    size = max(1, round(config.active * config.n_items))
    shift = round(size * (1 - config.overlap))
    active = np.zeros((config.seasons, config.n_items), bool)
    successors = [distinct(rng, config.n_items, config.successors)]
    for season in range(config.seasons):
        active[season, order[(season * shift + np.arange(size)) % config.n_items]] = True
        if season:
            other = rng.random(config.n_items) < config.change
            anew = distinct(rng, config.n_items, config.successors)
            successors.append(np.where(other[:, None], anew, successors[-1]))
    found = np.stack(successors)
    weights = draw_weights(config, rng) * active[np.arange(config.seasons)[:, None, None], found]
    total = weights.sum(axis=2, keepdims=True)
    return Seasons(active, found, np.divide(weights, total, out=np.zeros_like(weights), where=total > 0), config.jump)


def season_of(config: DriftConfig, time: np.ndarray, start: int) -> np.ndarray:
    """The season of every time, from 0; what is after the end is of the last."""
    length = DAY * config.days
    return np.asarray(np.minimum(time - start, length - 1) * config.seasons // length)
