"""Windowings: how often along a user's train events a backbone gets a window to learn from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ..specs import Config


@dataclass(frozen=True)
class Windowing:
    """A way to cut train sequences: its name in a suite, its parameters, and how far apart the windows' ends lie.

    `stride(config, window)` counts events, from the end of the train events back; None is one window a user.
    """

    name: str
    config: type[Config]
    stride: Callable[[Any, int], int | None]


class Last(Config):
    """One window a user, the most recent; older events are history only."""


class Chunks(Config):
    """Windows end to end: in `next` training every event but a user's first is a target exactly once, if all count.

    In masked training every event stands in exactly one window. Where history is compressed, windows meet where the
    events begin that are kept: none is lost because it gives way to a token.
    """


class Slide(Config):
    """A window every `stride` events; all positions of each are supervised, those that windows share again in each.

    Events that give way to tokens of the history are supervised where an older window keeps them, or nowhere.
    """

    stride: int = Field(ge=1, description="Events from the end of one window to the end of the next; at most a window")


WINDOWINGS: Mapping[str, Windowing] = {
    each.name: each
    for each in (
        Windowing("last", Last, lambda config, window: None),
        Windowing("chunks", Chunks, lambda config, window: window),
        Windowing("slide", Slide, lambda config, window: config.stride),
    )
}
