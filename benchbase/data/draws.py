"""Random draws as pure functions of what they are for, so that batching, resuming and workers change none.

Every number is a hash of (seed, purpose, epoch, user, event, ...): nothing is drawn in turn from a stream.
"""

import hashlib
from typing import Protocol

import numpy as np

from ..specs import Negatives

_GOLDEN, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

DRAWS = 2**14
"""Items drawn at a time, so that a dozen passes over their numbers find them in cache: several times faster."""


def derive_seed(seed: int, *words: str | int) -> int:
    """A seed of 63 bits for one purpose, from a run's seed and words that name the purpose."""
    text = "\x1f".join([str(seed), *map(str, words)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def mix(key: np.ndarray, value: np.ndarray | int) -> np.ndarray:
    """Fold integers into uint64 keys, elementwise (splitmix64)."""
    with np.errstate(over="ignore"):
        z = np.asarray(key, np.uint64) * _MIX2 + np.asarray(value).astype(np.uint64) + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        return np.asarray(z ^ (z >> np.uint64(31)))


def uniform(key: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) from uint64 keys, float64 with 53 random bits: times n, rounded down, they stay below n."""
    return np.asarray((key >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def shuffled(n: int, seed: int) -> np.ndarray:
    """A permutation of range(n), (n,) int64."""
    return np.argsort(mix(np.full(n, seed, np.uint64), np.arange(n)), kind="stable")


class Law(Protocol):
    """A law over items 1..n_items; `log_p` (n_items + 1,) is its logarithm."""

    log_p: np.ndarray

    def pick(self, u: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
        """Items out of uniform numbers u (P, k), by the law given that it is not `avoid` (P, 1)."""


class UniformLaw:
    """Every item alike."""

    def __init__(self, n_items: int):
        self.n_items = n_items
        self.log_p = np.full(n_items + 1, -np.log(n_items), np.float32)

    def pick(self, u: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
        if avoid is None or self.n_items == 1:
            return (u * self.n_items).astype(np.int64) + 1
        items = (u * (self.n_items - 1)).astype(np.int64) + 1
        return np.asarray(items + (items >= avoid))


class PopularityLaw:
    """Items by their share of the train part's events; `counts` (n_items + 1,), entry 0 is padding's."""

    def __init__(self, counts: np.ndarray):
        self.counts = np.asarray(counts, np.int64)
        self.up_to = np.cumsum(self.counts)
        with np.errstate(divide="ignore"):
            self.log_p = np.log(self.counts / self.up_to[-1]).astype(np.float32)

    def pick(self, u: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
        total, skip = self.up_to[-1], np.zeros((1, 1), np.int64)
        if avoid is not None:  # one item may be all there is: then it cannot be avoided
            skip = np.where(self.counts[avoid] < total, self.counts[avoid], 0)
        event = (u * (total - skip)).astype(np.int64)  # one of the events that are left
        if avoid is not None:
            event += np.where(event >= self.up_to[avoid - 1], skip, 0)
        return np.asarray(np.searchsorted(self.up_to, event, side="right"))


class MixedLaw:
    """Popularity for a share `mix` of the draws, and every item alike for the rest."""

    def __init__(self, counts: np.ndarray, mix: float):
        self.popular, self.alike, self.mix = PopularityLaw(counts), UniformLaw(len(counts) - 1), mix
        self.share = self.popular.counts / self.popular.up_to[-1]
        with np.errstate(divide="ignore"):
            self.log_p = np.log(mix * self.share + (1 - mix) / self.alike.n_items).astype(np.float32)
        self.log_p[0] = -np.inf  # padding

    def pick(self, u: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
        split = np.full((1, 1), self.mix)  # below it u picks by popularity, above it any item
        if avoid is not None:  # each of the two laws counts by what it has left
            popular = self.mix * (1 - self.share[avoid])
            rest = popular + (1 - self.mix) * (1 - 1 / self.alike.n_items)
            split = np.where(rest > 0, popular / np.where(rest > 0, rest, 1), self.mix)
        below = u < split
        again = np.where(below, u / np.where(split > 0, split, 1), (u - split) / np.where(split < 1, 1 - split, 1))
        again = np.clip(again, 0, 1 - 2.0**-53)  # uniform once more, given the side
        return np.where(below, self.popular.pick(again, avoid), self.alike.pick(again, avoid))


def make_law(request: Negatives, counts: np.ndarray) -> Law:
    """The law of a request, from train-part events per item (n_items + 1,), entry 0 padding's.

    For `in_batch` it says how probable a target is: popularity, as if every event of the train part were one.
    """
    if request.law == "uniform":
        return UniformLaw(len(counts) - 1)
    return MixedLaw(counts, request.mix) if request.law == "mixed" else PopularityLaw(counts)


def draw_items(law: Law, key: np.ndarray, count: int, avoid: np.ndarray | None = None) -> np.ndarray:
    """Items (P, count) int64 from keys (P,), none of them `avoid` (P,) unless the law has nothing else to give."""
    items = np.empty((len(key), count), np.int64)
    step = max(1, DRAWS // max(1, count))
    for start in range(0, len(key), step):
        rows = slice(start, start + step)
        u = uniform(mix(key[rows, None], np.arange(count)))
        items[rows] = law.pick(u, None if avoid is None else avoid[rows, None])
    return items


def event_keys(seed: int, user: np.ndarray, event: np.ndarray) -> np.ndarray:
    """One key per event of a user, whatever batch or window it stands in."""
    keys: np.ndarray = mix(mix(np.uint64(seed) * np.ones_like(event, dtype=np.uint64), user), event)
    return keys


def hidden_events(key: np.ndarray, able: np.ndarray, rate: float) -> np.ndarray:
    """Which events of each row to hide, (B, T) bool: each with probability `rate`, at least one per row.

    `key` (B, T) holds one key per event, `able` (B, T) bool says which may be hidden.
    """
    chance = uniform(key)
    hidden: np.ndarray = (chance < rate) & able
    none = ~hidden.any(axis=1) & able.any(axis=1)
    hidden[none, np.where(able, chance, 2.0)[none].argmin(axis=1)] = True
    return hidden


def negatives_key(seed: int, request: Negatives) -> int:
    """The seed of one request for negatives: requests that ask alike are given alike."""
    mix = [f"{request.mix:.17g}"] if request.law == "mixed" else []
    return derive_seed(seed, "negatives", request.count, request.law, request.scope, *mix)
