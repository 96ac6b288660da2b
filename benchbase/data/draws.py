"""Random draws as pure functions of what they are for, so that batching, resuming and workers change none.

Every number is a hash of (seed, purpose, epoch, user, event, ...): nothing is drawn in turn from a stream.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..specs import Negatives

_GOLDEN, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


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
    """Numbers in [0, 1) from uint64 keys, float64 with 53 random bits."""
    return np.asarray((key >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def shuffled(n: int, seed: int) -> np.ndarray:
    """A permutation of range(n), (n,) int64."""
    return np.argsort(mix(np.full(n, seed, np.uint64), np.arange(n)), kind="stable")


@dataclass(frozen=True)
class Law:
    """A law over items 1..n_items: `pick` turns uniform numbers into items, `log_p` (n_items + 1,) is its logarithm."""

    pick: Callable[[np.ndarray], np.ndarray]
    log_p: np.ndarray


def uniform_law(n_items: int) -> Law:
    """Every item alike."""
    log_p = np.full(n_items + 1, -np.log(n_items), np.float32)
    return Law(lambda u: (u * n_items).astype(np.int64) + 1, log_p)


def popularity_law(counts: np.ndarray) -> Law:
    """Items by their share of the train part's events; `counts` (n_items + 1,), entry 0 is padding's."""
    total = np.cumsum(counts[1:], dtype=np.float64)
    with np.errstate(divide="ignore"):
        log_p = np.log(counts / total[-1]).astype(np.float32)
    return Law(lambda u: np.searchsorted(total, u * total[-1], side="right") + 1, log_p)


def draw_items(law: Law, key: np.ndarray, count: int, avoid: np.ndarray | None = None) -> np.ndarray:
    """Items (P, count) int64 from keys (P,); `avoid` (P,) is redrawn wherever it comes up.

    Where a law has nothing else to give (one item only), the item to avoid stays after 64 tries.
    """
    each = mix(key[:, None], np.arange(count))
    items = law.pick(uniform(each))
    if avoid is None:
        return items
    for attempt in range(1, 65):
        hit = items == avoid[:, None]
        if not hit.any():
            break
        items[hit] = law.pick(uniform(mix(each[hit], attempt)))
    return items


def hidden_events(key: np.ndarray, lengths: np.ndarray, rate: float) -> np.ndarray:
    """Which events of each row to hide, (B, T) bool: each with probability `rate`, at least one per row.

    `key` (B, T) holds one key per event, `lengths` (B,) the events of a row.
    """
    chance = uniform(key)
    real = np.arange(key.shape[1]) < lengths[:, None]
    hidden = (chance < rate) & real
    none = ~hidden.any(axis=1) & (lengths > 0)
    hidden[none, np.where(real, chance, 2.0)[none].argmin(axis=1)] = True
    return hidden


def negatives_key(seed: int, request: Negatives) -> int:
    """The seed of one request for negatives: requests that ask alike are given alike."""
    return derive_seed(seed, "negatives", request.count, request.law, request.scope)
