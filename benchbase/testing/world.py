"""Small seeded data: a log, the same as interactions and catalogue, and random batches with ragged rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Catalogue, DatasetConfig, Groups, Interactions, ItemTable, Log, UserTable, encode
from ..data.batches import Batch, Targets
from ..data.groups import make_groups
from ..data.sequences import Events, gather
from ..specs import BuildContext, DataContext, DatasetSpec

ACTIONS = ("like", "share")
DAY = 86_400


@dataclass(frozen=True)
class World:
    """Events of a few users, the items they are of, and the users' groups."""

    interactions: Interactions
    catalogue: Catalogue
    groups: Mapping[str, Groups] = field(default_factory=dict)


def tiny_log(n_users: int = 24, n_items: int = 30, seed: int = 0) -> Log:
    """A log in which the next item mostly follows from the last: two domains, three genres, two actions, some ties, two
    genders, of every seventh user unknown.
    """
    random = np.random.default_rng(seed)
    follower = random.permutation(n_items)
    user = np.repeat(np.arange(n_users), random.integers(5, 15, n_users))
    item = np.zeros(len(user), np.int64)
    for at in range(len(user)):
        fresh = at == 0 or user[at] != user[at - 1] or random.random() < 0.2
        item[at] = random.integers(n_items) if fresh else follower[item[at - 1]]
    item[:n_items] = np.arange(n_items)  # every item has an event
    time = 1_600_000_000 + np.cumsum(random.integers(0, 3, len(user)) * DAY // 2)
    actions = (random.random((len(ACTIONS), len(user))) < [[0.5], [0.1]]).astype(np.float32)
    genres = [tuple(sorted({"abc"[i % 3], "abc"[i % 2]})) for i in range(n_items)]
    table = ItemTable(
        ids=np.arange(n_items), categories={"genre": genres}, columns={"year": 1990 + np.arange(n_items) % 30},
        domain=np.where(np.arange(n_items) % 2 == 0, "books", "films"),
    )
    gender = np.array(["F", "M", "M", "F", "M", "F", ""] * n_users, object)[:n_users]
    return Log(user, item, time, dict(zip(ACTIONS, actions, strict=True)), items=table,
               users=UserTable(np.arange(n_users), {"gender": gender}))


@cache
def tiny_world(n_users: int = 24, n_items: int = 30, seed: int = 0) -> World:
    """The tiny log as interactions, catalogue and groups by gender, without filters; made once, and its events can be
    read alone, as those of a prepared data set.
    """
    log = tiny_log(n_users, n_items, seed)
    interactions, catalogue, _ = encode(log, DatasetConfig(), seed)
    assert interactions.user_ids is not None
    for array in (interactions.item, interactions.timestamp, interactions.actions, interactions.features):
        if array is not None:
            array.flags.writeable = False
    return World(interactions, catalogue, make_groups(interactions.user_ids, log.users, ("gender",)))


def _build_log(config: DatasetConfig, context: DataContext) -> Log:
    return tiny_log(seed=context.seed)


tiny_data = DatasetSpec(
    name="tiny_data", config=DatasetConfig, build=_build_log, source="benchbase.testing",
    licence="CC0-1.0", redistributable=True,
)


def tiny_context(n_items: int = 30, window: int = 12, **changes: Any) -> BuildContext:
    """What a part is built with, for the tiny world; `changes` replace fields."""
    world = tiny_world(n_items=n_items)
    counts = np.bincount(world.interactions.item, minlength=n_items + 1)
    facts: dict[str, Any] = {
        "n_items": n_items, "n_users": world.interactions.n_users, "window": window, "max_tokens": 2 * window,
        "catalogue": world.catalogue, "item_counts": counts, "train": partial(_all_events, world),
        "action_names": ACTIONS, "predicted": ACTIONS, "n_features": 1, "n_domains": 2, "has_time": True,
        "user_groups": world.groups,
    }
    return BuildContext(**(facts | changes))


def _all_events(world: World) -> Events:
    return gather(world.interactions, world.interactions.offsets[:-1], world.interactions.offsets[1:])


def tiny_batch(
    n_rows: int = 4, length: int = 7, *, n_items: int = 30, n_users: int = 24, masked: bool = False,
    task: str = "next_item", candidates: int = 0, negatives: int = 3, seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Batch, Targets]:
    """A random batch, the first row full and the second of one event (two if masked), and what to predict.

    `next_item`: every event but the first, and the one after the last; `masked` hides some events of every
    row and asks for those. `action`: all events, or the last `candidates` of each row, their actions hidden.
    """
    random = np.random.default_rng([seed, n_rows, length])
    lengths = random.integers(1, length + 1, n_rows)
    lengths[0] = length
    if n_rows > 1:
        lengths[1] = min(length, 2 if masked or candidates else 1)
    place = np.arange(length + 1)
    items = random.integers(1, n_items + 1, (n_rows, length + 1))
    times = 1_600_000_000 + np.cumsum(random.integers(1, 5 * DAY, (n_rows, length + 1)), axis=1)
    actions = (random.random((n_rows, length + 1, len(ACTIONS))) < 0.5).astype(np.float64)
    real = place[:length] < lengths[:, None]
    hidden = _hidden(random, lengths, length) if masked else np.zeros_like(real)
    candidate = real & (place[:length] >= (lengths - candidates)[:, None]) & (candidates > 0)
    seen, acted = real & ~hidden, real & ~hidden & ~candidate
    batch = Batch(
        users=_long(random.integers(0, n_users, n_rows)),
        items=_long(np.where(seen, items[:, :-1], 0)),
        timestamps=_long(np.where(real, times[:, :-1], 0)),
        query_times=_long(np.where(real, times[:, 1:], 0)),
        domains=_long(np.where(seen, (items[:, :-1] - 1) % 2, -1)),
        actions=torch.from_numpy(actions[:, :-1] * acted[..., None]).to(dtype),
        lengths=_long(lengths),
        features=torch.from_numpy(random.random((n_rows, length, 1)) * real[..., None]).to(dtype),
        hide_item=torch.from_numpy(hidden), hide_action=torch.from_numpy(hidden | candidate),
        candidate=torch.from_numpy(candidate),
    )
    row, event = _asked(task, real, hidden, candidate, masked)
    return batch, Targets(
        task=task, row=_long(row), event=_long(event), item=_long(items[row, event]),
        actions=torch.from_numpy(actions[row, event]).to(dtype),
        weights=torch.ones(len(row), dtype=dtype),
        negatives=_long(random.integers(1, n_items + 1, (len(row), negatives))) if negatives else None,
        log_q=torch.full((len(row),), -float(np.log(n_items)), dtype=dtype),
        log_q_negatives=torch.full((len(row), negatives), -float(np.log(n_items)), dtype=dtype),
    )


def _hidden(random: np.random.Generator, lengths: np.ndarray, length: int) -> np.ndarray:
    """A third of the events, at least one of every row; the last of the first row is among them."""
    hidden = random.random((len(lengths), length)) < 0.3
    hidden[np.arange(len(lengths)), lengths - 1] |= ~(hidden & (np.arange(length) < lengths[:, None])).any(1)
    hidden[0, lengths[0] - 1] = True
    return np.asarray(hidden & (np.arange(length) < lengths[:, None]))


def _asked(task: str, real: np.ndarray, hidden: np.ndarray, candidate: np.ndarray,
           masked: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row and event of what must be predicted."""
    if task == "action":
        return np.nonzero(candidate if candidate.any() else real)  # type: ignore[return-value]
    if masked:
        return np.nonzero(hidden)  # type: ignore[return-value]
    row, event = np.nonzero(real)
    return row, event + 1


def _long(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.int64))
