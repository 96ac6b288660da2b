"""Facts that parts are built with."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BuildContext:
    """Facts given to every `build`: sizes, catalogue features, and of the events the train part only.

    `item_counts` (n_items + 1,) counts train-part events per item, entry 0 is padding; `train()` gives these events by
    user (`benchbase.data.sequences.Events`), made when asked for. Positions are below
    `window`; `max_tokens` are those of the events of a full window. `width`, `n_heads` and `n_layers` are the
    backbone's, 0 while the backbone itself is built; `state_width` is the width that a modifier's `readout`
    meets, and that the states for predicting actions have. `predicted` names the actions that the action task asks for,
    `rates` (K,) their shares of the train part. `user_groups` by name (`benchbase.data.Groups`). `seed` is for
    recommenders, from the run's seed and their name; parts of a model are built under torch's own generator.
    """

    n_items: int
    n_users: int
    window: int
    max_tokens: int
    catalogue: Any = None
    user_groups: Any = None
    mark_names: tuple[str, ...] = ()
    item_counts: Any = None
    train: Any = None
    action_names: tuple[str, ...] = ()
    predicted: tuple[str, ...] = ()
    rates: Any = None
    n_features: int = 0
    n_domains: int = 0
    has_time: bool = False
    tasks: tuple[str, ...] = ("next_item",)
    layout: str = "items"
    width: int = 0
    n_heads: int = 0
    n_layers: int = 0
    state_width: int = 0
    seed: int = 0


@dataclass(frozen=True)
class DataContext:
    """Where a data set may look for files and keep what it fetches.

    `folders` are searched in order for relative paths (the suite's folder, then `BENCHBASE_DATA`).
    """

    folders: tuple[Any, ...] = ()
    cache: Any = None
    seed: int = 0
