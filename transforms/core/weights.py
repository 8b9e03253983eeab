"""How much memory points take while they are staged and rolled up, in gauges."""

from typing import Final

import numpy as np
import pyarrow as pa

from transforms.core.model import Ints

BUCKETS: Final = 4
"""So many buckets of a histogram weigh as much as a gauge, which has cells in tiles of three granularities."""


def row_weights(points: pa.RecordBatch) -> Ints:
    """What the points in each row of SLICE_SCHEMA weigh: 1 each, and a histogram's buckets more."""
    sizes: Ints = np.diff(points.column("minute").offsets.to_numpy()).astype(np.int64)
    return sizes + _buckets(points.column("histogram")) // BUCKETS


def points_bytes(points: pa.RecordBatch) -> int:
    """The size of what the lists in rows of SLICE_SCHEMA hold: all that grows with the number of points."""
    return sum(column.flatten().nbytes for column in points.columns if pa.types.is_list(column.type))


def _buckets(histograms: pa.ListArray) -> Ints:
    """Buckets of the histograms in every row."""
    if histograms.null_count == len(histograms):
        return np.zeros(len(histograms), np.int64)
    counts: pa.ListArray = histograms.values.field("bucket_counts")
    buckets: Ints = np.diff(counts.offsets.to_numpy()[histograms.offsets.to_numpy()]).astype(np.int64)
    return buckets
