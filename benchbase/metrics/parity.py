"""Demographic parity: how far apart what groups of users are shown and told is.

group: (rows,) whole numbers from 0, -1 for rows of nobody's group. Of more than two groups a gap is that of the two
farthest apart.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .beyond import top
from .columns import columns
from .ranking import Floats


def exposure_gap(lists: ArrayLike, group: ArrayLike, n_items: int, k: int, user: ArrayLike | None = None) -> float:
    """How far apart what two groups are shown is: the total variation distance of the items in their lists' first k.

    lists: (rows, K) item ids from 1, padded with 0; user: (rows,) whose rows count as one together, None for each by
    itself. 0 is the same, 1 has nothing in common; nan where fewer than two groups have lists. Groups drawn at random
    are apart as well, the more the fewer users they have: see `exposure_gap_by_chance`.
    """
    rows = _Rows("exposure_gap", lists, group, n_items, k, user)
    return _farthest(rows.shares(rows.code))


def exposure_gap_by_chance(lists: ArrayLike, group: ArrayLike, n_items: int, k: int, user: ArrayLike | None = None,
                           draws: int = 20, seed: int = 0) -> float:
    """The mean gap where the users that have a group are put into groups of the same sizes at random."""
    rows, random = _Rows("exposure_gap_by_chance", lists, group, n_items, k, user), np.random.default_rng(seed)
    known, found = np.flatnonzero(rows.code >= 0), []
    for _ in range(draws):
        drawn = rows.code.copy()
        drawn[known] = random.permutation(rows.code[known])
        found.append(_farthest(rows.shares(drawn)))
    return float(np.mean(found))


def threshold_gap(scores: ArrayLike, group: ArrayLike, threshold: float | None = None) -> float:
    """How far apart two groups' shares of scores above a threshold are, of all scores their median by default.

    scores: (rows, any). nan where fewer than two groups have rows.
    Source: |P(r > t | s1) - P(r > t | s2)|, as demographic parity has it.
    """
    values = np.asarray(scores)
    (codes,) = columns("metrics.threshold_gap", group=group)
    some = codes >= 0
    if not some.any():
        return float("nan")
    bound = np.median(values[some]) if threshold is None else threshold
    above = (values > bound).mean(axis=1)
    rates = [float(above[codes == code].mean()) for code in np.unique(codes[some])]
    return max(rates) - min(rates) if len(rates) > 1 else float("nan")


class _Rows:
    """Lists and whose they are: `owner` (rows,) into users, `code` (users,) their groups."""

    def __init__(self, where: str, lists: ArrayLike, group: ArrayLike, n_items: int, k: int, user: ArrayLike | None):
        self.items, self.n_items = top(where, lists, n_items, k), n_items
        owner = np.arange(len(self.items)) if user is None else user
        codes, owner, _ = columns(f"metrics.{where}", group=group, user=owner, lists=self.items[:, 0])
        _, first, self.owner = np.unique(owner, return_index=True, return_inverse=True)
        self.code = codes[first]
        self.weight = 1 / np.bincount(self.owner)[self.owner]

    def shares(self, code: NDArray[np.int64]) -> Floats:
        """What each group that has lists is shown, as shares of its lists' places, (groups, n_items)."""
        of_row, found = code[self.owner], []
        for one in np.unique(code[code >= 0]):
            rows = of_row == one
            weight = np.repeat(self.weight[rows], self.items.shape[1])
            count = np.bincount(self.items[rows].ravel(), weight, self.n_items + 1)[1:]
            if count.any():
                found.append(count / count.sum())
        return np.array(found).reshape(-1, self.n_items)


def _farthest(shares: Floats) -> float:
    gaps = [np.abs(one - other).sum() / 2 for place, one in enumerate(shares) for other in shares[:place]]
    return float(max(gaps)) if gaps else float("nan")
