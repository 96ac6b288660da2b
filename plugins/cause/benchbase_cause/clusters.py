"""Categories for items that have none: clusters of those that the same users meet."""

import numpy as np
from scipy.sparse import csr_array

from benchbase.data import Categories
from benchbase.data.sequences import Events
from benchbase.errors import BenchbaseError

COMPONENTS = 64
"""Dimensions in which items are compared."""
SEED = 42


def cluster(events: Events, n_items: int, count: int) -> Categories:
    """K-Means clusters of the items of these events, as a column of categories; other items have none.

    An item is its row of the truncated SVD of the matrix of items and users, of length 1: what it occurs with is all
    that counts. Errors: `BenchbaseError` without scikit-learn.
    Source: CAUSE, K-Means categories, there on the item table of a trained model.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import TruncatedSVD
        from sklearn.preprocessing import normalize
    except ImportError as error:
        raise BenchbaseError(f"cause: clusters need a library that is not installed ({error}). Expected scikit-learn. "
                             "Install benchbase-cause[kmeans].") from None
    known, index = np.unique(events.item, return_inverse=True)
    met = csr_array((np.ones(len(index)), (index, events.row)), shape=(len(known), events.n_rows))
    met.data[:] = 1  # met, however often
    size = min(COMPONENTS, min(met.shape) - 1)
    if size < 1 or len(known) < count:
        raise BenchbaseError(f"cause: {count} clusters of {len(known)} items that {events.n_rows} users met. Expected "
                             "fewer clusters than items, and two users or more.")
    vectors = normalize(TruncatedSVD(size, random_state=SEED).fit_transform(met))
    labels = KMeans(count, n_init=4, random_state=SEED).fit_predict(vectors)
    offsets = np.zeros(n_items + 2, np.int64)
    offsets[known.astype(np.int64) + 1] = 1
    return Categories(np.cumsum(offsets), labels.astype(np.int32), tuple(f"cluster {n}" for n in range(count)))
