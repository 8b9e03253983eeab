"""Numbers by their first appearance."""

import numpy as np
import numpy.typing as npt

from transforms.core.model import Ints


def first_appearances(numbers: Ints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]:
    """Where each distinct number stands first, ascending, and for every row which of these its number is. Quick where equal ones stand together."""
    is_start = np.ones(len(numbers), np.bool_)
    is_start[1:] = numbers[1:] != numbers[:-1]
    starts = np.flatnonzero(is_start)
    _, first, inverse = np.unique(numbers[starts], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return starts[first[order]], rank[inverse][np.cumsum(is_start) - 1]
