"""What every compressor here asks of its rows: the newest events, and how many window events give way."""

import numpy as np

from benchbase.data.sequences import Events


def newest(history: Events, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Items (B, M) int32 of each row's newest events, newest first, 0 beyond, and the newest time (B,), 0 where none;
    M is `most`, or the longest row.
    """
    back = np.arange(min(most, int(history.lengths.max(initial=0))))
    at = np.where(back < history.lengths[:, None], history.offsets[1:, None] - 1 - back, len(history.item))
    last = np.where(history.lengths > 0, history.offsets[1:] - 1, len(history.item))
    return np.append(history.item, 0)[at].astype(np.int32), np.append(history.timestamp, 0)[last]


def give_way(tokens: np.ndarray, window: Events, budget: int, how: str) -> np.ndarray:
    """Window events (B,) that give way to so many tokens (B,): what is over the budget, but for one event."""
    if how == "extra":
        return np.zeros_like(tokens)
    return np.asarray(np.clip(tokens + window.lengths - budget, 0, np.maximum(window.lengths - 1, 0)))


def longer(history: Events, window: Events, more: np.ndarray) -> Events:
    """The history with the oldest `more` (B,) window events behind it."""
    lengths = history.lengths + more
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    old = np.repeat(history.lengths, lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    from_window = place >= old
    at = np.where(from_window, len(history.item) + window.offsets[row] + place - old, history.offsets[row] + place)
    joined = (np.concatenate([getattr(history, name), getattr(window, name)])[at]
              for name in ("item", "timestamp", "actions"))
    return Events(offsets, *joined)


def only(history: Events, action: int) -> Events:
    """The history's events that have the action."""
    there = history.actions[:, action] > 0
    lengths = np.bincount(history.row[there], minlength=history.n_rows)
    return Events(np.concatenate([[0], np.cumsum(lengths)]), history.item[there], history.timestamp[there],
                  history.actions[there])
