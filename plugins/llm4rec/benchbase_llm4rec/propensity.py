"""Propensities: how likely each item was to be shown, guessed or known."""

import numpy as np

from benchbase import BuildContext

from .config import IPSConfig


def propensities(config: IPSConfig, context: BuildContext) -> np.ndarray:
    """e(i) of every item, at least `clip`, (n_items + 1,) float64; padding has 1.

    By popularity: (n_i / max n)^power, of training events. Source: Ma et al. 2025, inverse propensity scores; the power
    is ours, after Yang et al. 2018, Unbiased offline recommender evaluation for missing-not-at-random feedback.
    """
    if config.propensity == "column":
        e = np.array(context.catalogue.columns[config.column], np.float64)
    else:
        counts = np.asarray(context.item_counts, np.float64)
        e = (counts / max(counts[1:].max(initial=0), 1)) ** config.power
    e[0] = 1
    return np.maximum(e, config.clip)


def why_not(config: IPSConfig, context: BuildContext) -> str | None:
    """Why a column of the catalogue holds no propensities, or None."""
    if config.propensity != "column":
        return None
    e = np.asarray(context.catalogue.columns[config.column])[1:]
    if e.dtype.kind not in "fiu":
        return f"the column {config.column} holds no numbers. Expected shares above 0 and up to 1."
    wrong = np.flatnonzero(~((e > 0) & (e <= 1)))
    if len(wrong):
        item = context.catalogue.item_ids[wrong[0] + 1]
        return (f"the column {config.column} holds {e[wrong[0]]:g} for the item {item}, and {len(wrong)} of {len(e)} "
                "items have no propensity. Expected shares above 0 and up to 1.")
    return None
