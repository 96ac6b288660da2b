"""Threads of the linear algebra that numpy and scipy bring; torch counts its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl


@contextmanager
def algebra_threads(count: int) -> Iterator[None]:
    """Let linear algebra run on `count` threads, and on as many as before afterwards.

    `OMP_NUM_THREADS` is read once, when a library is loaded: only a call reaches those that are there.
    """
    with threadpoolctl.threadpool_limits(count, user_api="blas"):
        yield
