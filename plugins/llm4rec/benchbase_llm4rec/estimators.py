"""Estimates of a mean over everything from what was shown: naive, weighed, and weighed and normalised."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbase.errors import BenchbaseError


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error, and the effective sample size that is left of the examples."""

    value: float
    standard_error: float
    effective: float


def naive(losses: ArrayLike) -> Estimate:
    """The mean of the losses (n,) as they are, which is that over what was shown."""
    values = np.asarray(losses, np.float64)
    return _weighed("naive", values, np.ones_like(values), normalise=True)


def inverse_propensity(losses: ArrayLike, propensity: ArrayLike, clip: float = 0.0, normalise: bool = True) -> Estimate:
    """The mean of losses (n,) each weighed by 1 / max(propensity, clip), or that over the sum of the weights.

    Without `normalise`, propensity is how many times oftener an example was shown than if all were shown alike; with it
    the scale has no say. Standard errors take examples for independent; that of the normalised mean is to first order.
    Errors: `BenchbaseError` for propensities that are not above 0, or of another shape.
    Source: Horvitz and Thompson 1952; Swaminathan and Joachims 2015.
    """
    values, e = np.asarray(losses, np.float64), np.asarray(propensity, np.float64)
    if values.ndim != 1 or values.shape != e.shape:
        raise BenchbaseError(f"inverse_propensity: losses {values.shape} and propensity {e.shape}. Expected two arrays "
                             "of one length.")
    if not (e > 0).all():
        raise BenchbaseError(f"inverse_propensity: {int((~(e > 0)).sum())} propensities are not above 0. Expected that "
                             "whatever counts can be shown. Give the least one, or leave out what never is.")
    return _weighed("inverse_propensity", values, 1 / np.maximum(e, clip), normalise)


def _weighed(where: str, values: np.ndarray, w: np.ndarray, normalise: bool) -> Estimate:
    n = len(values)
    if n < 2:
        raise BenchbaseError(f"{where}: {n} examples. Expected two or more.")
    effective = float(w.sum() ** 2 / (w**2).sum())
    if normalise:
        value = (w * values).sum() / w.sum()
        error = np.sqrt((w**2 * (values - value) ** 2).sum() * n / (n - 1)) / w.sum()
    else:
        value, error = (w * values).mean(), (w * values).std(ddof=1) / np.sqrt(n)
    return Estimate(float(value), float(error), effective)
