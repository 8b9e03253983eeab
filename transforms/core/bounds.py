"""Bounds of very many histograms as Arrow list views: histograms with the same bounds look at the same place, so that these stand there once.

Nothing promises that equal bounds look at the same place; whoever needs to know compares the lists of `distinct`, which are few.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.model import Floats, Ints
from transforms.core.ragged import concatenated_ranges, taken

_SIZE_BITS: Final = 32


def shared(edges: Floats, sizes: Ints, of_row: npt.NDArray[np.integer]) -> pa.ListViewArray:
    """The bounds of every row: list number `of_row` of the lists of these sizes that stand one after another in `edges`."""
    starts = np.cumsum(sizes) - sizes
    return _views(starts.astype(np.int32)[of_row], sizes.astype(np.int32)[of_row], pa.array(edges))


def shared_anew(bounds: pa.ListViewArray, at: Ints) -> pa.ListViewArray:
    """The bounds at these places, which look where they looked."""
    return _views(bounds.offsets.to_numpy()[at], bounds.sizes.to_numpy()[at], bounds.values)


def shared_within(bounds: pa.ListViewArray, group: Ints) -> pa.ListViewArray:
    """The same, shared within groups only, whose numbers never decrease: what is cut between two groups holds the bounds of its own rows and no others."""
    code, offsets, edges = distinct(bounds)
    number = len(offsets) - 1
    used = pa.array(group * number + code).dictionary_encode()
    values, ends = taken(edges, offsets, used.dictionary.to_numpy() % max(number, 1))
    return shared(values, np.diff(ends), used.indices.to_numpy())


def trimmed(bounds: pa.ListViewArray) -> pa.ListViewArray:
    """The same without what lies before and behind all that they look at."""
    starts, sizes = bounds.offsets.to_numpy(), bounds.sizes.to_numpy()
    first, end = (int(starts.min()), int((starts + sizes).max())) if len(starts) else (0, 0)
    return _views(starts - np.int32(first), sizes, bounds.values.slice(first, end - first))


def distinct(bounds: pa.ListViewArray) -> tuple[Ints, Ints, Floats]:
    """The number of each row's list among those that look at different places, and these: list i is `edges[offsets[i] : offsets[i + 1]]`."""
    starts, sizes = (one.to_numpy().astype(np.int64) for one in (bounds.offsets, bounds.sizes))
    spans = starts << _SIZE_BITS | sizes
    if len(spans) and (spans == spans[0]).all():
        code, places = np.zeros(len(spans), np.int64), spans[:1]
    else:
        encoded = pa.array(spans).dictionary_encode()
        code, places = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_numpy()
    lengths = places & ((1 << _SIZE_BITS) - 1)
    edges: Floats = bounds.values.to_numpy()[concatenated_ranges(places >> _SIZE_BITS, lengths)]
    return code, np.append(0, np.cumsum(lengths, dtype=np.int64)), edges


def _views(starts: npt.NDArray[np.int32], sizes: npt.NDArray[np.int32], values: pa.Array) -> pa.ListViewArray:
    return pa.ListViewArray.from_arrays(pa.array(starts), pa.array(sizes), values)
