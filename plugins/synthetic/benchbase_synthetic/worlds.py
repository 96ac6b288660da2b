"""Worlds: logs drawn from a known law, with all randomness from the data seed."""

from collections.abc import Mapping

import numpy as np

from benchbase.data import ItemTable, Log

from .chain import make_chain
from .config import (
    ActionsConfig,
    CausalConfig,
    DomainsConfig,
    DriftConfig,
    ExposureConfig,
    MarkovConfig,
    NoiseConfig,
    World,
)
from .drift import make_seasons, season_of
from .exposure import make_showing, show
from .graph import Process
from .mixture import labels, make_mixture
from .taste import KINDS, act, make_tastes

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


def actions(config: ActionsConfig, seed: int) -> Log:
    """Uniform, independent items, and what users of two tastes do with them."""
    rng = np.random.default_rng([seed, 0])
    items = rng.integers(0, config.n_items, _shape(config), np.int32)
    kinds: list[tuple[str, ...]] = [(KINDS[kind],) for kind in make_tastes(config, seed).kind]
    table = ItemTable(ids=np.arange(1, config.n_items + 1), categories={"kind": kinds})
    return _log(config, items, rng, act(config, items, seed), table)


def domains(config: DomainsConfig, seed: int) -> Log:
    """Sequences of the mixture that `make_mixture` gives for the same configuration and seed."""
    rng = np.random.default_rng([seed, 0])
    mixture = make_mixture(config, seed)
    names = np.array([f"domain {number + 1}" for number in range(config.domains)], object)
    table = ItemTable(ids=np.arange(1, config.n_items + 1), domain=names[labels(mixture, seed)])
    return _log(config, mixture.sample(*_shape(config), rng), rng, table=table)


def exposure(config: ExposureConfig, seed: int) -> Log:
    """What users of several groups like of the items that are shown to them; the catalogue holds propensities."""
    rng = np.random.default_rng([seed, 0])
    sizes = _sizes(config, rng)
    items, likes = show(config, sizes, seed)
    showing = make_showing(config, seed)
    table = ItemTable(ids=np.arange(1, config.n_items + 1), columns={"propensity": showing.propensity},
                      categories={"kind": [(f"kind {number + 1}",) for number in showing.kind]})
    return _log(config, items, rng, {"like": likes} if config.keep == "shown" else None, table, sizes)


def drift(config: DriftConfig, seed: int) -> Log:
    """Sequences of the seasons that `make_seasons` gives for the same configuration and seed."""
    rng = np.random.default_rng([seed, 0])
    sizes = _sizes(config, rng)
    time = _times(config, sizes, rng)
    items = make_seasons(config, seed).sample(season_of(config, time, START), rng)
    return _log(config, items, rng, sizes=sizes, time=time)


def _shape(config: World) -> tuple[int, int]:
    return config.n_users, config.events + config.events_spread


def _sizes(config: World, rng: np.random.Generator) -> np.ndarray:
    """How many events every user has, (n_users,)."""
    return rng.integers(config.events - config.events_spread, config.events + config.events_spread + 1, config.n_users)


def _log(config: World, items: np.ndarray, rng: np.random.Generator, acts: Mapping[str, np.ndarray] | None = None,
         table: ItemTable | None = None, sizes: np.ndarray | None = None, time: np.ndarray | None = None) -> Log:
    """Events of a table of items (n_users, longest), and what was done; ids count from 1. `sizes` (n_users,): how many
    events each user has, and `time`, as of `_times`, are drawn where they are not given.
    """
    n_users, longest = items.shape
    sizes = _sizes(config, rng) if sizes is None else sizes
    happens = np.arange(longest) < sizes[:, None]
    time = _times(config, sizes, rng) if time is None else time
    user = np.repeat(np.arange(1, n_users + 1, dtype=np.int32), sizes)
    done = {name: each[happens].astype(np.float32) for name, each in (acts or {}).items()}
    return Log(user, items[happens] + np.int32(1), time[happens], done, items=table)


def _times(config: World, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Times (n_users, longest) that strictly ascend within a user; those past a user's events are far off."""
    shape = _shape(config)
    time = rng.integers(START, START + 86_400 * config.days, shape)
    # Sorting before the cut to `sizes` would leave short sequences at the start of the period.
    time[np.arange(shape[1]) >= sizes[:, None]] = np.iinfo(np.int64).max // 2
    time.sort(axis=1)
    time += np.arange(shape[1])
    return time
