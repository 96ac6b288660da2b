"""Explanations: why an item was recommended, as events of the user's past that can be taken away, and a sentence.

Names of items and of their categories stand in a sentence between these quotes: “ and ”.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from .catalogue import Catalogue

NAMES = ("title", "name")
"""Columns that hold what an item is called, the first that there is."""

OPEN, CLOSE = "“", "”"
QUOTED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}")
GAP = " . "
"""What takes the place of a name that may stand where it does."""

WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class Recommendation:
    """The item (an id) that a model ranks first for one user, and what an explainer may know of how.

    `past` (T,) int32: the items that the model read, oldest first, at least two; `times` (T,) int64 seconds, 0 where
    unknown. `similarity` (T,) float32: cosines of their vectors in the model with the item's. `attention` (T,) float32:
    the shares that the state that asked for the item gives to the events read, the mean over layers and heads, or None
    for a backbone whose weights are no shares. Arrays are read-only.
    """

    item: int
    past: np.ndarray
    times: np.ndarray
    similarity: np.ndarray
    attention: np.ndarray | None


@dataclass(frozen=True)
class Explanation:
    """Evidence and a sentence.

    `events`: places in `past`, those that count most first; some, each once, and not all. `features`: categories of the
    item that the sentence names, as (column, label). `text`: one line of plain text, in which names of items and
    categories stand between “ and ”; it names the item, events of the evidence and features, and nothing else.
    """

    events: tuple[int, ...]
    text: str
    features: tuple[tuple[str, str], ...] = ()

    longest: ClassVar[int] = 1000
    """Characters of a text, at most."""


class Explainer:
    """Says why an item was recommended; derive from it and define `explain`."""

    def explain(self, recommendation: Recommendation) -> Explanation:
        """The same for the same recommendation, whatever was explained before."""
        raise NotImplementedError


class Names:
    """What the items of a catalogue and their categories are called in sentences."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self.column = next((name for name in NAMES if name in catalogue.columns), None)

    def item(self, item: int) -> str:
        """An item's title where it has one, else its original id, else its number here; on one line of printable text,
        quotes in it made plain.
        """
        title = "" if self.column is None else str(self.catalogue.columns[self.column][item])
        return _plain(title) or _plain(str(self.catalogue.item_ids[item])) or str(item)

    def labels(self, item: int) -> list[tuple[str, str]]:
        """The categories of an item as (column, label), in the order of the columns' names."""
        return [(column, categories.labels[place]) for column, categories in sorted(self.catalogue.categories.items())
                for place in categories.of(item)]

    @cached_property
    def known(self) -> frozenset[str]:
        """What all items and categories are called."""
        items = {self.item(item) for item in range(1, self.catalogue.n_items + 1)}
        labels = {_plain(label) for categories in self.catalogue.categories.values() for label in categories.labels}
        return frozenset(items | labels)

    @cached_property
    def most_words(self) -> int:
        """Of a name, at most."""
        return max((len(WORD.findall(name)) for name in self.known), default=0)

    def strangers(self, text: str, allowed: Iterable[str]) -> list[str]:
        """What a sentence names that it may not: whatever stands in quotes and is not `allowed`, and of the names known
        those of two words or more that stand outside of quotes and in no allowed name.

        A name of one word outside of quotes may be a word of the sentence, and counts as one.
        """
        own = {_plain(name) for name in allowed}
        found = [name for name in QUOTED.findall(text) if name not in own]
        rest = QUOTED.sub(GAP, text)
        if OPEN in rest or CLOSE in rest:
            found.append(" ".join(rest.split()))
        for name in sorted(own, key=len, reverse=True):
            rest = rest.replace(name, GAP) if len(WORD.findall(name)) > 1 else rest
        return found + [name for name in self._phrases(rest) if name not in own]

    def _phrases(self, text: str) -> list[str]:
        """The names of two words or more that a text holds, word for word; some end with a bracket."""
        words, found = list(WORD.finditer(text)), []
        for place, first in enumerate(words):
            for last in words[place + 1 : place + self.most_words]:
                found += [name for end in (last.end(), last.end() + 1)
                          if (name := text[first.start() : end]) in self.known and not name.endswith(" ")]
        return found


def is_sentence(text: object) -> bool:
    """Whether it is one line of printable text, and not too long."""
    return isinstance(text, str) and 0 < len(text.strip()) <= len(text) <= Explanation.longest and text.isprintable()


def quoted(name: str) -> str:
    """A name as it stands in a sentence."""
    return f"{OPEN}{_plain(name)}{CLOSE}"


def _plain(name: str) -> str:
    """A name on one line, without what cannot be printed and the quotes that enclose names."""
    shown = "".join(each for each in name if each.isprintable() or each.isspace())
    return " ".join(shown.replace(OPEN, '"').replace(CLOSE, '"').split())
