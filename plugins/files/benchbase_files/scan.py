"""Scan: what a table's parser passes over in silence, looked for in the text on its way there, a block at a time."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

LONGEST = 1 << 20
"""Bytes of one line; a longer one is most often a quote that never closes."""

TAB, LF, BLANK, QUOTE, PLUS, MINUS, ZERO = b'\t\n "+-0'


class Irregular(ValueError):
    """Text that the fast check does not vouch for: a slow one must say what is wrong with it, if anything is."""


class Scan:
    """A text stream that looks at what it hands on: `check` raises `Irregular` where that is not all plain.

    Plain: every line has `width` columns (not looked at where the separator is None, for blanks); quotes stand around
    whole values; the ids in the columns `ids`, counted from 0, have one spelling only, neither `007` nor `+7` nor ` 7`.
    """

    def __init__(self, stream: Any, separator: str | None, width: int, ids: list[int]):
        self.stream, self.width, self.ids = stream, width, ids
        self.mark = None if separator is None else ord(separator)
        self.plain, self.rest = self.mark is None or self.mark < 128, b""

    def read(self, size: int = -1) -> str:
        text: str = self.stream.read(size)
        if self.plain:
            self._take(self.rest + text.encode())
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def check(self, ended: bool = False) -> None:
        """Errors: `Irregular` where the text read so far, or all of it, is not plain."""
        if ended and self.plain and self.rest:
            self._take(self.rest + b"\n")
            self.plain &= not self.rest
        if not self.plain:
            raise Irregular("not every line is plain")

    def _take(self, text: bytes) -> None:
        """Look at the whole lines of a text that begins with a line; keep what follows them."""
        stop = text.rfind(b"\n") + 1
        lines, self.rest = text[:stop], text[stop:]
        if b"\r" in lines:
            self.plain = lines.count(b"\r") == lines.count(b"\r\n")
            lines = lines.replace(b"\r\n", b"\n")
        if lines.startswith(b"\n") or b"\n\n" in lines:
            lines = re.sub(rb"\n\n+", b"\n", lines).removeprefix(b"\n")
        if lines and self.plain:
            codes = np.frombuffer(lines, np.uint8)
            self.plain = _plain_tokens(codes, self.ids) if self.mark is None else self._plain_lines(lines, codes)
        self.plain = self.plain and len(self.rest) <= LONGEST

    def _plain_lines(self, lines: bytes, codes: np.ndarray) -> bool:
        mark = (codes == self.mark) | (codes == LF)
        if quoted := b'"' in lines:
            inside = np.bitwise_xor.accumulate((codes == QUOTE).view(np.uint8)).view(bool)
            mark &= ~inside
            feeds = np.flatnonzero(mark & (codes == LF))
            stop = int(feeds[-1]) + 1 if len(feeds) else 0
            self.rest = lines[stop:] + self.rest
            mark, inside, codes = mark[:stop], inside[:stop], codes[:stop]
            if not _quotes_around_values(codes, inside, mark):
                return False
        ends = np.flatnonzero(mark)
        line_feed = codes[ends] == LF
        rows, over = divmod(len(ends), self.width)
        if over or np.count_nonzero(line_feed) != rows or not line_feed[self.width - 1 :: self.width].all():
            return False
        starts = np.concatenate(([0], ends[:-1] + 1)) if rows else ends
        return all(_plain_ids(codes, starts[k :: self.width], ends[k :: self.width] - 1, quoted) for k in self.ids)


def _quotes_around_values(codes: np.ndarray, inside: np.ndarray, mark: np.ndarray) -> bool:
    """Whether each quote opens at the start of a value, closes at its end, or is one of two in it."""
    place = np.flatnonzero(codes == QUOTE)
    opens, closes = place[inside[place]], place[~inside[place]]
    before, after = opens[opens > 0] - 1, closes + 1
    return bool((mark[before] | (codes[before] == QUOTE)).all() and (mark[after] | (codes[after] == QUOTE)).all())


def _plain_ids(codes: np.ndarray, first: np.ndarray, last: np.ndarray, quoted: bool) -> bool:
    """Whether every value, from its first to its last byte, is an integer as Python would write it."""
    if quoted:
        around = codes[first] == QUOTE
        first, last = first + around, last - around
    head = codes[first]
    if not _digit(codes[last]).all():
        return False
    if (head - np.uint8(ZERO + 1) < 9).all():
        return True
    follows = codes[np.minimum(first + 1, len(codes) - 1)]
    good = _digit(head) & ~((head == ZERO) & _digit(follows))
    return bool((good | ((head == MINUS) & _digit(follows) & (follows != ZERO))).all())


def _plain_tokens(codes: np.ndarray, ids: list[int]) -> bool:
    """Whether no value between blanks, in any column, is an integer spelled as Python would not."""
    if not ids:
        return True
    codes = np.concatenate(([LF], codes)).astype(np.uint8)
    starts = (codes[:-2] == BLANK) | (codes[:-2] == TAB) | (codes[:-2] == LF)
    head, follows = codes[1:-1], codes[2:]
    odd = (head == PLUS) | ((head == ZERO) & _digit(follows)) | ((head == MINUS) & (follows == ZERO))
    return not (starts & odd).any()


def _digit(codes: np.ndarray) -> np.ndarray:
    return np.asarray(codes - np.uint8(ZERO) < 10)
