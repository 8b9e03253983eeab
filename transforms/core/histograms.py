"""Many histograms as columns, and their exact merge.

The rule: histograms with the same bounds are added bucket by bucket. Otherwise the non-empty buckets of all are intervals (lo, hi] with counts; equal ones are
added, and what overlaps becomes the hull of what overlaps (for exponential histograms this is the downscaling that OpenTelemetry's data model prescribes:
a coarser scale's buckets are unions of a finer one's). No count is divided, so all counts stay exact. The edges of the disjoint intervals are the new bounds,
gaps between them are empty buckets. A bucket that became wider than one of its parts was rebinned.

A count, of a bucket or of all, that would be larger than 2^63 - 1 stays at it, as an overflowing sum stays at infinity; the rollup is counted as overflowing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.core.bounds import distinct, shared_anew, shared_within
from transforms.core.errors import RollupsError
from transforms.core.intervals import Buckets as UnitedBuckets, Intervals, aligned, united
from transforms.core.model import HISTOGRAM, Bools, Floats, Ints
from transforms.core.ragged import concatenated_ranges, is_all, saturated_sums, sizes_of, taken

_CACHED_BUCKETS: Final = 1 << 15
"""Buckets of different bounds that are merged at once."""

_FEW_BUCKETS: Final = 1 << 12
"""Fewer are not looked at in parts."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Distinct bounds of histograms: shape i has `edges[offsets[i] : offsets[i + 1]]`, increasing. Equal bounds have one number."""

    offsets: Ints
    edges: Floats

    @property
    def sizes(self) -> Ints:
        """Number of bounds of each shape."""
        sizes: Ints = np.diff(self.offsets)
        return sizes

    def at(self, shape: Ints) -> tuple[Ints, Floats]:
        """The bounds of these shapes one after another, with offsets."""
        edges, offsets = taken(self.edges, self.offsets, shape)
        return offsets, edges


@dataclass(frozen=True, slots=True)
class Histograms:
    """Parallel columns of histograms; NaN stands for unknown.

    `low` and `high` are the least and the largest observation, unknown where `count` is 0. Bucket counts of histogram i are
    `counts[offsets[i] : offsets[i + 1]]`, one more than its shape has bounds.
    """

    count: Ints
    total: Floats
    low: Floats
    high: Floats
    shape: Ints
    offsets: Ints
    counts: Ints
    shapes: Shapes

    def __len__(self) -> int:
        """How many."""
        return len(self.count)

    def take(self, at: Ints) -> "Histograms":
        """These rows."""
        if is_all(at, len(self)):
            return self
        counts, offsets = taken(self.counts, self.offsets, at)
        numbers = self.count[at], self.total[at], self.low[at], self.high[at]
        return Histograms(*numbers, self.shape[at], offsets, counts, self.shapes)

    def portions(self, buckets: int) -> "Iterator[Histograms]":
        """Consecutive rows, of about so many buckets each; all rows, if they are none."""
        cuts = np.searchsorted(self.offsets[:-1], np.arange(buckets, self.offsets[-1], buckets))
        edges = np.unique(np.concatenate([[0], cuts, [len(self)]])).tolist()
        yield from (self._between(first, end) for first, end in pairwise(edges if len(self) else [0, 0]))

    def _between(self, first: int, end: int) -> "Histograms":
        rows, offsets = slice(first, end), self.offsets[first : end + 1]
        numbers = self.count[rows], self.total[rows], self.low[rows], self.high[rows]
        return Histograms(*numbers, self.shape[rows], offsets - offsets[0], self.counts[offsets[0] : offsets[-1]], self.shapes)

    @property
    def width(self) -> int:
        """How many buckets every row has; 0 if that differs, or there is no row."""
        sizes = np.diff(self.offsets)
        return int(sizes[0]) if len(sizes) and (sizes == sizes[0]).all() else 0

    def bounds_lists(self) -> pa.ListArray:
        """The bounds of every row."""
        if len(self) and (self.shape == self.shape[0]).all():
            _, one = self.shapes.at(self.shape[:1])
            offsets, edges = np.arange(len(self) + 1) * len(one), np.tile(one, len(self))
        else:
            offsets, edges = self.shapes.at(self.shape)
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(edges))

    def counts_lists(self) -> pa.ListArray:
        """The bucket counts of every row."""
        return pa.ListArray.from_arrays(pa.array(self.offsets.astype(np.int32)), pa.array(self.counts))


def offsets_of(sizes: Ints) -> Ints:
    """Where lists of these sizes begin, and where the last one ends."""
    offsets: Ints = np.append(0, np.cumsum(sizes, dtype=np.int64))
    return offsets


def histograms_of(points: pa.StructArray) -> Histograms:
    """Histograms of an array of HISTOGRAM without nulls, whose bounds may be lists. Raises RollupsError if one has not one bucket more than bounds."""
    bounds, buckets = points.field("bounds"), points.field("bucket_counts")
    shape, shapes = _viewed(bounds) if pa.types.is_list_view(bounds.type) else encoded(_offsets(bounds), bounds.flatten().to_numpy() + 0.0)
    offsets = _offsets(buckets)
    if (wrong := np.flatnonzero(np.diff(offsets) != shapes.sizes[shape] + 1)).size:
        raise RollupsError(f"rolling up a histogram: {points[int(wrong[0])].as_py()} has not one bucket more than bounds")
    count = points.field("count").to_numpy()
    total, low, high = (_floats(points.field(name)) for name in ("sum", "min", "max"))
    low, high = (np.where(count == 0, np.nan, column) for column in (low, high))
    return Histograms(count, total, low, high, shape, offsets, buckets.flatten().to_numpy(), shapes)


def take_points(points: pa.StructArray, at: Ints) -> pa.StructArray:
    """HISTOGRAMs at these places; `take` of Arrow copies lists in several times the time."""
    *numbers, bounds, buckets = map(points.field, range(len(HISTOGRAM)))
    columns = [*(column.take(pa.array(at)) for column in numbers), shared_anew(bounds, at), _taken_lists(buckets, at)]
    return pa.StructArray.from_arrays(columns, fields=list(HISTOGRAM))


def with_bounds_within(points: pa.StructArray, group: Ints) -> pa.StructArray:
    """The HISTOGRAMs with bounds that are shared as `shared_within` says."""
    *numbers, bounds, buckets = map(points.field, range(len(HISTOGRAM)))
    return pa.StructArray.from_arrays([*numbers, shared_within(bounds, group), buckets], fields=list(HISTOGRAM))


def _viewed(bounds: pa.ListViewArray) -> tuple[Ints, Shapes]:
    """A shape number for each of these bounds."""
    code, offsets, edges = distinct(bounds)
    number, shapes = encoded(offsets, edges + 0.0)
    return number[code], shapes


def _taken_lists(lists: pa.ListArray, at: Ints) -> pa.ListArray:
    values, offsets = taken(lists.flatten().to_numpy(), _offsets(lists), at)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def _offsets(lists: pa.ListArray) -> Ints:
    offsets: Ints = lists.offsets.to_numpy().astype(np.int64)
    offsets -= offsets[0]
    return offsets


def _floats(column: pa.Array) -> Floats:
    """The values, NaN for null, 0.0 for -0.0."""
    values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values + 0.0


def encoded(offsets: Ints, edges: Floats) -> tuple[Ints, Shapes]:
    """A shape number for each of these lists of bounds. Arrow compares their bytes, so that they may hold no -0.0."""
    buffers = [None, pa.py_buffer(offsets * 8), pa.py_buffer(np.ascontiguousarray(edges))]
    lists = pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers).dictionary_encode()
    _, ends, data = lists.dictionary.buffers()
    starts = np.frombuffer(ends, np.int64)[: len(lists.dictionary) + 1] // 8
    distinct = np.frombuffer(data, np.float64)[: starts[-1]] if data is not None else np.zeros(0)
    return lists.indices.to_numpy().astype(np.int64), Shapes(starts, distinct)


def joined(parts: Sequence[Histograms]) -> Histograms:
    """The rows of all parts, at least one, one after another."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    shape, shapes = _common_shapes(parts)
    count = np.concatenate([part.count for part in parts])
    total, low, high = (np.concatenate([getattr(part, name) for part in parts]) for name in ("total", "low", "high"))
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    return Histograms(count, total, low, high, shape, offsets_of(sizes), np.concatenate([part.counts for part in parts]), shapes)


def taken_from(parts: Sequence[Histograms], at: Ints) -> Histograms:
    """`joined(parts).take(at)` for places none of which occurs twice; where all have as many buckets, these are copied once."""
    width = parts[0].width
    if not width or len(parts) == 1 or any(part.width != width for part in parts[1:]):
        return joined(parts).take(at)
    shape, shapes = _common_shapes(parts)
    count = np.concatenate([part.count for part in parts])[at]
    total, low, high = (np.concatenate([getattr(part, name) for part in parts])[at] for name in ("total", "low", "high"))
    target = np.full(len(shape), -1)
    target[at] = np.arange(len(at))
    counts = np.empty((len(at), width), np.int64)
    for part, places in zip(parts, np.split(target, np.cumsum([len(part) for part in parts])[:-1]), strict=True):
        rows = part.counts.reshape(-1, width)
        is_taken = places >= 0
        if is_taken.all():
            counts[places] = rows
        else:
            counts[places[is_taken]] = rows[is_taken]
    return Histograms(count, total, low, high, shape[at], np.arange(len(at) + 1) * width, counts.reshape(-1), shapes)


def replaced(given: Histograms, at: Ints, by: Histograms) -> Histograms:
    """The rows, of which those at these places are others."""
    if not len(at):
        return given
    order = np.arange(len(given))
    order[at] = len(given) + np.arange(len(at))
    return joined([given, by]).take(order)


def _common_shapes(parts: Sequence[Histograms]) -> tuple[Ints, Shapes]:
    first = parts[0].shapes
    if all(part.shapes is first for part in parts):
        return np.concatenate([part.shape for part in parts]), first
    tables = [part.shapes for part in parts]
    sizes = np.concatenate([one.sizes for one in tables])
    number, shapes = encoded(offsets_of(sizes), np.concatenate([one.edges for one in tables]))
    firsts = offsets_of(np.array([len(one.sizes) for one in tables]))
    return np.concatenate([number[part.shape + place] for part, place in zip(parts, firsts[:-1], strict=True)]), shapes


def merge(given: Histograms, starts: Ints) -> tuple[Histograms, Bools]:
    """Each group of consecutive rows as one histogram, and whether a bucket of it was rebinned. No group is empty; `total` is left unknown.

    Counts may be negative, for a difference. `low` and `high` are those of the rows with observations, unknown if one of these is.
    """
    if len(starts) == len(given):
        return given, np.zeros(len(starts), bool)
    sizes = sizes_of(starts, len(given))
    is_alike = np.minimum.reduceat(given.shape, starts) == np.maximum.reduceat(given.shape, starts)
    alike, mixed = np.flatnonzero(is_alike), np.flatnonzero(~is_alike)
    parts = [_added(given, starts[alike], sizes[alike])]
    rebinned = np.zeros(len(starts), bool)
    if len(mixed):
        part, rebinned[mixed] = _united(given, starts[mixed], sizes[mixed])
        parts.append(part)
    merged = joined(parts)
    if len(mixed) and len(alike):
        back = np.empty(len(starts), np.int64)
        back[np.concatenate([alike, mixed])] = np.arange(len(starts))
        merged = merged.take(back)
    low, high = _extremes(given, starts)
    return replace(merged, count=saturated_sums(given.count, starts), low=low, high=high), rebinned


def _extremes(given: Histograms, starts: Ints) -> tuple[Floats, Floats]:
    empty = given.count == 0
    with np.errstate(invalid="ignore"):
        low = np.minimum.reduceat(np.where(empty, np.inf, given.low), starts)
        high = np.maximum.reduceat(np.where(empty, -np.inf, given.high), starts)
    return np.where(np.isinf(low), np.nan, low), np.where(np.isinf(high), np.nan, high)


def _bare(shape: Ints, sizes: Ints, counts: Ints, shapes: Shapes) -> Histograms:
    """Histograms of which only the buckets are known as yet."""
    unknown = np.full(len(shape), np.nan)
    return Histograms(np.zeros(len(shape), np.int64), unknown, unknown, unknown, shape, offsets_of(sizes), counts, shapes)


def _added(given: Histograms, starts: Ints, sizes: Ints) -> Histograms:
    """Groups whose rows have the same bounds. One array operation for each number of buckets that occurs."""
    shape = given.shape[starts]
    buckets = given.shapes.sizes[shape] + 1
    offsets = offsets_of(buckets)
    counts = np.zeros(offsets[-1], np.int64)
    widths = np.flatnonzero(np.bincount(buckets)).tolist()
    if len(widths) == 1 and int(sizes.sum()) == len(given):
        sums = saturated_sums(given.counts.reshape(-1, widths[0]), starts)
        return _bare(shape, buckets, sums.reshape(-1), given.shapes)
    for width in widths:
        groups = np.flatnonzero(buckets == width)
        rows = concatenated_ranges(starts[groups], sizes[groups])
        matrix = given.counts.reshape(-1, width) if len(rows) == len(given) else given.counts[given.offsets[rows][:, None] + np.arange(width)]
        sums = saturated_sums(matrix, offsets_of(sizes[groups])[:-1])
        counts[offsets[groups][:, None] + np.arange(width)] = sums
    return _bare(shape, buckets, counts, given.shapes)


def _united(given: Histograms, starts: Ints, sizes: Ints) -> tuple[Histograms, Bools]:
    """Groups whose rows have different bounds, and whether a bucket of each was rebinned."""
    parts = [one for part in _portions(given, starts, sizes) for one in _portion(given, starts[part], sizes[part])]
    results = [result for result, _ in parts]
    bounds = offsets_of(np.concatenate([np.diff(one.bound_offsets) for one in results]))
    shape, shapes = encoded(bounds, np.concatenate([one.bounds for one in results]))
    merged = _bare(shape, np.diff(bounds) + 1, np.concatenate([one.counts for one in results]), shapes)
    return merged, np.concatenate([rebinned for _, rebinned in parts])


def _portions(given: Histograms, starts: Ints, sizes: Ints) -> Iterator[slice]:
    """Consecutive groups with about as many buckets together as stay in the processor's cache."""
    ends = np.cumsum(given.offsets[starts + sizes] - given.offsets[starts])
    first = done = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, done + _CACHED_BUCKETS)))
        yield slice(first, last)
        first, done = last, int(ends[last - 1])


def _portion(given: Histograms, starts: Ints, sizes: Ints) -> Iterator[tuple[UnitedBuckets, Bools]]:
    """The groups' buckets; in halves if that is needed for none of them to span an edge of another."""
    rows = concatenated_ranges(starts, sizes)
    intervals = _intervals(given, rows, np.repeat(np.arange(len(starts)), sizes))
    if result := aligned(intervals, len(starts)):
        yield result, np.zeros(len(starts), bool)
    elif len(intervals.number) <= _FEW_BUCKETS or len(starts) == 1:
        yield united(intervals.filled(), len(starts))
    else:
        middle = len(starts) // 2
        yield from _portion(given, starts[:middle], sizes[:middle])
        yield from _portion(given, starts[middle:], sizes[middle:])


def _intervals(given: Histograms, rows: Ints, group: Ints) -> Intervals:
    """All buckets of the rows, empty ones too, among the edges that these rows have."""
    shapes, shape = np.unique(given.shape[rows], return_inverse=True)
    bounds, flat = given.shapes.at(shapes)
    edges, ranks = np.unique(flat, return_inverse=True)
    firsts = bounds[:-1] + 2 * np.arange(len(shapes))  # around the ranks of every shape stand the infinities
    padded = np.insert(ranks + 1, np.repeat(bounds, 2)[1:-1], np.tile([0, len(edges) + 1], len(shapes)))
    buckets = np.diff(bounds)[shape] + 1
    place = concatenated_ranges(firsts[shape], buckets)
    number = given.counts[concatenated_ranges(given.offsets[rows], buckets)]
    return Intervals(np.repeat(group, buckets), padded[place], padded[place + 1], number, edges)
