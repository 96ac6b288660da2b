"""How good predicted probabilities of an action are: log loss, normalised entropy, area under the curve.

label: (rows,) of 0 and 1; probability: (rows,). A measure without rows is nan, and so is one that needs both
kinds of label where one is missing.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError
from .columns import columns
from .ranking import Floats, Ints

EDGE = float(np.finfo(np.float32).eps)  # records hold float32, in which a confident sigmoid is exactly 0 or 1


def log_loss(label: ArrayLike, probability: ArrayLike) -> float:
    """The mean -log of the probability of what happened, in nats; each is kept EDGE away from 0 and 1."""
    happened, p = read_rows("log_loss", label, probability)
    return float(losses(happened, p).mean()) if happened.size else float("nan")


def losses(happened: NDArray[np.bool_], p: Floats) -> Floats:
    """The -log of the probability of what happened, of each row."""
    p = np.clip(p, EDGE, 1 - EDGE)
    return np.asarray(-np.log(np.where(happened, p, 1 - p)))


def base_rate_loss(happened: NDArray[np.bool_]) -> float:
    """The log loss of always predicting the base rate of these rows; nan where there is one kind of label alone."""
    if not happened.size or happened.all() or not happened.any():
        return float("nan")
    return float(losses(happened, np.full(happened.shape, happened.mean())).mean())


def normalised_entropy(label: ArrayLike, probability: ArrayLike) -> float:
    """The log loss over that of always predicting these rows' base rate, which has 1; 0 is perfect.

    Source: He et al. 2014, Practical lessons from predicting clicks on ads at Facebook, eq. (1).
    """
    happened, p = read_rows("normalised_entropy", label, probability)
    return float(losses(happened, p).mean()) / base_rate_loss(happened) if happened.size else float("nan")


def auc(label: ArrayLike, probability: ArrayLike) -> float:
    """The chance that a random positive row is scored above a random negative one, a tie counting half."""
    happened, p = read_rows("auc", label, probability)
    areas = _areas(np.zeros(p.size, dtype=np.int64), happened, p)[1]
    return float(areas[0]) if areas.size else float("nan")


def user_auc(user: ArrayLike, label: ArrayLike, probability: ArrayLike) -> tuple[Ints, Floats]:
    """The users who have both kinds of label, ascending, and the auc within each one's rows."""
    happened, p = read_rows("user_auc", label, probability)
    owner, _ = columns("metrics.user_auc", user=user, probability=p)
    return _areas(owner, happened, p)


def _areas(owner: NDArray[np.generic], happened: NDArray[np.bool_], p: Floats) -> tuple[Ints, Floats]:
    """Mann-Whitney's statistic within each owner, from mid-ranks."""
    order = np.lexsort((p, owner))
    users, index = np.unique(owner[order], return_inverse=True)
    positive = np.bincount(index[happened[order]], minlength=len(users))
    rows = np.bincount(index, minlength=len(users))
    rank = midranks(index, p[order]) - (np.cumsum(rows) - rows)[index]
    rank_sum = np.bincount(index, np.where(happened[order], rank, 0), len(users))
    both = (positive > 0) & (positive < rows)
    above = rank_sum - positive * (positive + 1) / 2
    return users[both].astype(np.int64), above[both] / (positive * (rows - positive))[both]


def midranks(owner: Ints, p: Floats) -> Floats:
    """Rank from 1 over rows sorted by owner, then p; equal p of one owner share the mean rank."""
    first = np.flatnonzero(np.diff(owner, prepend=-1).astype(bool) | np.diff(p, prepend=np.nan).astype(bool))
    size = np.diff(np.append(first, p.size))
    return np.repeat(first + (size + 1) / 2, size)


def read_rows(where: str, label: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """The labels as booleans and the probabilities, (rows,) each; else a BenchbaseError naming `where`."""
    labels, p = columns(f"metrics.{where}", label=label, probability=probability)
    if not np.isin(labels, (0, 1)).all():
        raise BenchbaseError(f"metrics.{where}: a label is neither 0 nor 1. Expected 1 where the action happened.")
    if not ((p >= 0) & (p <= 1)).all():
        raise BenchbaseError(
            f"metrics.{where}: a probability is nan or outside 0 to 1. Expected sigmoid outputs, not logits."
        )
    return labels.astype(bool), p.astype(np.float64)
