"""What users and items have in common, and what follows what: the counts that the recommenders stand on."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from benchbase.data.sequences import Events

BLOCK_BYTES = 128 * 2**20
"""Memory for one block of co-occurrences, should all of its pairs occur."""


def user_items(events: Events, n_items: int) -> sparse.csr_array:
    """Which row has which item (n_rows, n_items), 1.0 or absent; column j is item j + 1."""
    ones = np.ones(len(events.item))
    offsets = events.offsets.copy()  # the next line but one works in place
    matrix = sparse.csr_array((ones, events.item - 1, offsets), shape=(events.n_rows, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def transitions(events: Events, n_items: int) -> sparse.csr_array:
    """How often an item came right after another (n_items + 1, n_items): row i is item i, column j is item j + 1."""
    follows = np.ones(len(events.item), bool)
    follows[events.offsets[:-1][events.lengths > 0]] = False  # a row's first event follows nothing
    after = np.flatnonzero(follows)
    pairs = (np.ones(len(after)), (events.item[after - 1], events.item[after] - 1))
    return sparse.coo_array(pairs, shape=(n_items + 1, n_items)).tocsr()


def cooccurrences(matrix: sparse.csr_array, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, sparse.csr_array]]:
    """Rows of matrix' matrix, block by block: the first item's column, and users shared (block, n_items)."""
    columns = matrix.tocsc()
    n_items = matrix.shape[1]
    step = max(1, block_bytes // (16 * max(n_items, 1)))  # a value and an index for each pair
    for start in range(0, n_items, step):
        block = (columns[:, start : start + step].T @ matrix).tocsr()
        block.sort_indices()
        yield start, block
