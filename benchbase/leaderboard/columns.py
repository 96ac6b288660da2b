"""Columns of a terminal table that fit a width: names wrap and some columns go, but nothing is cut off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

GAP = 3
"""Characters between two columns."""

WORD = 16
"""Letters of a name that stay on one line, at least."""


@dataclass(frozen=True)
class Column:
    """A heading and its cells; `spare`: it goes where there is no room, the highest number first."""

    name: str
    cells: "Sequence[Text]"
    left: bool = False
    spare: int = 0

    @property
    def natural(self) -> int:
        """The width of its longest line."""
        return max(len(line) for text in self._texts() for line in text.split("\n"))

    @property
    def least(self) -> int:
        """The width of its longest word; long words of names may break."""
        words = [len(word) for text in self._texts() for word in text.split()]
        return min(max(words, default=0), WORD) if self.left else max(words, default=0)

    def _texts(self) -> list[str]:
        return [self.name, *(cell.plain for cell in self.cells)]


def fitted(columns: Sequence[Column], room: int) -> dict[str, int]:
    """The columns that have room, by name, each with its width; those without `spare` stay, however little there is."""
    kept = list(columns)
    while _total([each.least for each in kept]) > room and any(each.spare for each in kept):
        kept.remove(max(kept, key=lambda each: each.spare))
    widths = {each.name: each.natural for each in kept}
    for each in sorted(kept, key=lambda each: not each.left):  # names give way first
        over = _total(list(widths.values())) - room
        widths[each.name] -= max(0, min(over, each.natural - each.least))
    return widths


def grid(columns: Sequence[Column], room: int, title: str = "") -> "Table":
    """A table of the columns that have room."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="italic", pad_edge=False)
    widths = fitted(columns, room)
    kept = [each for each in columns if each.name in widths]
    for each in kept:
        table.add_column(each.name, justify="left" if each.left else "right", width=widths[each.name], overflow="fold")
    for cells in zip(*(each.cells for each in kept), strict=True):
        table.add_row(*cells)
    return table


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * len(widths)
