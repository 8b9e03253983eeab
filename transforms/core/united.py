"""Series of many slices united into one sorted list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.model import SERIES_COLUMNS, Ints

IDENTITY: Final = tuple(name for name in SERIES_COLUMNS if name != "metric_type")
"""What tells the series of one metric type apart, in the order they are sorted by."""

CUMULATIVE: Final = "cumulative histogram"


@dataclass(frozen=True, slots=True)
class UnitedSeries:
    """The distinct series of some slices, sorted by `IDENTITY` in code point order; a series' number is its place in that order.

    `values[column]` are the column's distinct values, sorted, as an Arrow string array; `codes[column]` has one index into them per series;
    `of_row[k]` has the number of the series of every row of slice k.
    """

    values: dict[str, pa.Array]
    codes: dict[str, npt.NDArray[np.int32]]
    of_row: tuple[Ints, ...]

    def __len__(self) -> int:
        """Count of distinct series."""
        return len(self.codes["org"])


def unite(slices: Sequence[pa.RecordBatch]) -> UnitedSeries:
    """Number the series of slices of one metric type (SLICE_SCHEMA), by the kinds that their rollups have.

    Costs a few sorts of the slices' rows, whatever the number of points.
    """
    ranked = {name: _ranked([_rolled_kind(part) if name == "kind" else part.column(name) for part in slices]) for name in IDENTITY}
    key: Ints = np.zeros(sum(part.num_rows for part in slices), np.int64)
    for values, codes in ranked.values():
        if len(values) > 1:  # the key is a dense rank and at most 2**31, so the product fits
            key = np.unique(key * len(values) + codes, return_inverse=True)[1]
    _, row = np.unique(key, return_index=True)
    ends = np.cumsum([part.num_rows for part in slices], dtype=np.int64)
    return UnitedSeries(
        values={name: values for name, (values, _) in ranked.items()},
        codes={name: codes[row] for name, (_, codes) in ranked.items()},
        of_row=tuple(np.split(key, ends)[:-1]),
    )


def _rolled_kind(part: pa.RecordBatch) -> pa.Array:
    """The kind of the rollups of every row: one for histograms of both temporalities."""
    kind = part.column("kind")
    return pc.if_else(pc.equal(kind, CUMULATIVE), "histogram", kind)


def _ranked(chunks: Sequence[pa.Array]) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Distinct strings of the rows in code point order, and every row's place among them."""
    encoded = pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()
    values, rank = in_order(encoded.dictionary)
    return values, rank[encoded.indices.to_numpy()]


def in_order(values: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Strings in code point order (Arrow compares UTF-8 bytes, which is the same), and the place there of each of the given ones."""
    order = pc.array_sort_indices(values)
    rank = np.empty(len(order), np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    return values.take(order), rank
