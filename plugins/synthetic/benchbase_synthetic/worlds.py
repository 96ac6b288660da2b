"""Worlds: logs drawn from a known law, with all randomness from the data seed."""

import numpy as np

from benchbase.data import Log

from .chain import make_chain
from .config import CausalConfig, MarkovConfig, NoiseConfig, World
from .graph import Process

START = 1_577_836_800
"""2020-01-01, in Unix seconds."""


def noise(config: NoiseConfig, seed: int) -> Log:
    """Uniform, independent items."""
    rng = np.random.default_rng([seed, 0])
    return _log(config, rng.integers(0, config.n_items, _shape(config), np.int32), rng)


def markov(config: MarkovConfig, seed: int) -> Log:
    """Sequences of the chain that `make_chain` gives for the same configuration and seed."""
    rng = np.random.default_rng([seed, 0])
    return _log(config, make_chain(config, seed).sample(*_shape(config), rng), rng)


def causal(config: CausalConfig, seed: int) -> Log:
    """Sequences of the process along the graph that `make_graph` gives for the same configuration and seed."""
    rng = np.random.default_rng([seed, 0])
    return _log(config, Process(config, seed).sample(*_shape(config), rng), rng)


def _shape(config: World) -> tuple[int, int]:
    return config.n_users, config.events + config.events_spread


def _log(config: World, items: np.ndarray, rng: np.random.Generator) -> Log:
    """Events of a table of items (n_users, longest); ids count from 1, times of a user strictly ascend."""
    n_users, longest = items.shape
    sizes = rng.integers(config.events - config.events_spread, longest + 1, n_users)
    happens = np.arange(longest) < sizes[:, None]
    time = rng.integers(START, START + 86_400 * config.days, items.shape)
    # Sorting before the cut to `sizes` would leave short sequences at the start of the period.
    time[~happens] = np.iinfo(np.int64).max // 2
    time.sort(axis=1)
    time += np.arange(longest)
    return Log(np.repeat(np.arange(1, n_users + 1, dtype=np.int32), sizes), items[happens] + np.int32(1), time[happens])
