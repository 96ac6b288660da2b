"""Corrections for many tests at once."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BenchbaseError
from .nested import Floats


def holm(p: ArrayLike) -> Floats:
    """Holm's adjusted p-values of a family (tests,), each in its place; the order of the tests moves none.

    Rejecting those at most alpha keeps the chance of any false rejection in the family at most alpha.
    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    raw = np.asarray(p, dtype=np.float64)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise BenchbaseError(f"stats.holm: p-values {raw.tolist()}. Expected a flat list of numbers from 0 to 1.")
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1)), 1)
    return adjusted
