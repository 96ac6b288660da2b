"""The one check all measures of rows share."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BenchbaseError


def columns(where: str, **named: ArrayLike) -> list[NDArray[Any]]:
    """The arguments as arrays, all (rows,); any other shape is a BenchbaseError naming each one's."""
    arrays = {name: np.asarray(value) for name, value in named.items()}
    if any(array.ndim != 1 or array.size != max(a.size for a in arrays.values()) for array in arrays.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise BenchbaseError(f"{where}: the shapes are {shapes}. Expected one-dimensional arrays of one length.")
    return list(arrays.values())
