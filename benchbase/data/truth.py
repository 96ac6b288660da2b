"""Truth: what a generated data set knows of the law behind its events, and says of a model trained on them."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Truth(Protocol):
    """A judge of what a trained model reveals; it sees the sequences of the evaluated events, never what is asked for.

    `traces` names those that it reads of what modifiers publish in scoring; a model need not have them.
    """

    traces: frozenset[str]

    def observe(self, items: np.ndarray, traces: Mapping[str, np.ndarray], attention: np.ndarray | None) -> None:
        """Take in some rows: items (B, T) int64, 0 where there is no event or it is hidden; traces by name, B first;
        attention (layers, B, T, T) float32, the mean over heads of the weight that an event (row) has for another, or
        None for a backbone whose weights are no shares.
        """

    def metrics(self) -> dict[str, float]:
        """The figures over all rows so far by name, without those that need what was not seen."""

    def chance(self) -> dict[str, float]:
        """What some of these figures would be by chance, on the same rows."""
