"""Histograms of very many OTLP points as Arrow lists, at once."""

from itertools import accumulate, chain
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.bounds import shared
from transforms.core.errors import DecodeError
from transforms.core.histograms import encoded, offsets_of
from transforms.core.model import HISTOGRAM, Bools, Floats, Ints
from transforms.decode.exponential import Layout, layout
from transforms.decode.otlp_spans import Reader, Rows, Spans, last, pick
from transforms.decode.otlp_values import Values, as_zigzag32
from transforms.decode.wire import BYTES, VARINT
from transforms.decode.wire_columns import fixed64s, packed_varints

LARGE: Final = 1 << 40
"""Counts from here on, of which many might not add up in 64 bits, are left to the strict reader."""


class Bounds(NamedTuple):
    """Lists of bounds one after another with the size of each, and which of them each histogram has."""

    values: Floats
    sizes: Ints
    of_row: Rows


class Buckets(NamedTuple):
    """Bounds; the counts of each histogram, flat with the number of values of each; and which are broken."""

    bounds: Bounds
    counts: Ints
    count_sizes: Ints
    is_broken: Bools


class Run(NamedTuple):
    """Consecutive buckets of each histogram: index of the first, number, and the counts, flat."""

    first: Ints
    size: Ints
    counts: Ints


def explicit(reader: Reader, points: Spans, values: Values, rows: Rows) -> Buckets:
    """Buckets of the explicit histograms in these rows."""
    (low, high), (first, end) = ((start[rows], stop[rows]) for start, stop in (values.bounds, values.counts))
    bound_bytes, count_bytes = high - low, end - first
    reader.doubt(points, rows[(bound_bytes % 8 != 0) | (count_bytes % 8 != 0)])
    low, first = low + bound_bytes % 8, first + count_bytes % 8
    bounds = _distinct(fixed64s(reader.octets, low, high).view(np.float64), (high - low) // 8)
    counts = fixed64s(reader.octets, first, end).view(np.int64), (end - first) // 8
    buckets, are_large = explicit_buckets(bounds, counts, values.count[rows].astype(np.int64))
    reader.doubt(points, rows[are_large])
    return buckets


def _distinct(values: Floats, sizes: Ints) -> Bounds:
    """The lists of these sizes without those that are repeated."""
    if len(sizes) and (sizes == sizes[0]).all():
        lists = values.view(np.int64).reshape(len(sizes), -1)
        if (lists == lists[0]).all():
            return Bounds(values[: sizes[0]], sizes[:1], np.zeros(len(sizes), np.intp))
    code, shapes = encoded(offsets_of(sizes), values)
    return Bounds(shapes.edges, shapes.sizes, code)


def explicit_buckets(bounds: Bounds, counts_of: tuple[Ints, Ints], total: Ints) -> tuple[Buckets, Bools]:
    """Explicit histograms of these bounds, of these counts, flat with the number of each, and of so many observations.

    The second result are those that must be left to the strict reader.
    """
    bound_sizes, (counts, count_sizes) = bounds.sizes[bounds.of_row], counts_of
    is_bare = (bound_sizes == 0) & (count_sizes == 0)
    if is_bare.any():
        counts = np.insert(counts, (np.cumsum(count_sizes) - count_sizes)[is_bare], total[is_bare])
        count_sizes = np.where(is_bare, 1, count_sizes)
    are_large = _any((counts < 0) | (counts >= LARGE), count_sizes) & ~is_bare
    is_broken = (count_sizes != bound_sizes + 1) | ~_rising(bounds.values, bounds.sizes)[bounds.of_row] | (_sums(counts, count_sizes) != total)
    return Buckets(bounds, counts, count_sizes, is_broken), are_large


def exponential(reader: Reader, points: Spans, values: Values, rows: Rows) -> Buckets:
    """Buckets of the exponential histograms in these rows, laid out as `exponential.layout` says."""
    above, below = (_run(reader, points, span, rows) for span in (values.positive, values.negative))
    zero = values.zero_count[rows].astype(np.int64)
    reader.doubt(points, rows[(zero < 0) | (zero >= LARGE)])
    return exponential_buckets(values.scale[rows], above, below, (zero, values.zero_threshold[rows]), values.count[rows].astype(np.int64))


def exponential_buckets(scale: Ints, above: Run, below: Run, zeros: tuple[Ints, Floats], total: Ints) -> Buckets:
    """Exponential histograms of so many observations, of these scales, positive and negative buckets, zero counts and thresholds."""
    zero = zeros[0]
    with np.errstate(invalid="ignore"):  # a signalling NaN
        threshold = zeros[1] + 0.0
    threshold = np.where(zero > 0, np.where(np.isfinite(threshold) & (threshold >= 0), threshold, np.inf), -np.inf)
    layouts, of_row = _layouts(scale, above, below, threshold)
    places = np.array([one[1:] if one else (0, 0, 0) for one in layouts], np.int64).reshape(-1, 3)[of_row]
    bounds = listed([one.bounds if one else () for one in layouts], of_row)
    bound_sizes = bounds.sizes[of_row]
    is_broken = np.array([one is None for one in layouts], np.bool_)[of_row]
    counts = _placed(above, below, np.where(is_broken, 0, zero), places, bound_sizes, is_broken)
    starts = np.cumsum(bound_sizes + 1) - bound_sizes - 1
    is_bare = (bound_sizes == 0) & ~is_broken
    counts[starts[is_bare]] = total[is_bare]
    return Buckets(bounds, counts, bound_sizes + 1, is_broken | (_sums(counts, bound_sizes + 1) != total))


def structs(buckets: list[Buckets], count: Ints, measures: tuple[pa.Array, pa.Array, pa.Array]) -> pa.StructArray:
    """HISTOGRAM values of these buckets one group after the other, of these counts, sums, minima and maxima."""
    filled = [one for one in buckets if len(one.is_broken)] or buckets[:1]
    counts, count_sizes = (np.concatenate(columns) if len(columns) > 1 else columns[0] for columns in zip(*(one[1:3] for one in filled), strict=True))
    lists = [_views([one.bounds for one in filled]), _lists(counts, count_sizes)]
    return pa.StructArray.from_arrays([pa.array(count), *measures, *lists], fields=list(HISTOGRAM))


def bare(count: Ints) -> Buckets:
    """One bucket for all."""
    return Buckets(listed([()], np.zeros(len(count), np.intp)), count, np.ones(len(count), np.int64), np.zeros(len(count), np.bool_))


def _run(reader: Reader, points: Spans, span: tuple[Ints, Ints], rows: Rows) -> Run:
    buckets = Spans(span[0][rows], span[1][rows], rows, points.record[rows])
    fields = reader.fields(buckets)
    reader.doubt(buckets, fields.owner[pick(fields, 2, VARINT)])
    start, stop = reader.only(buckets, fields, pick(fields, 2, BYTES))
    values, sizes, bad = packed_varints(reader.octets, start, stop)
    counts = values.astype(np.int64)
    reader.doubt(buckets, bad | _any(counts >= LARGE, sizes))
    return Run(as_zigzag32(last(fields, pick(fields, 1, VARINT), len(rows))), sizes, counts)


def _layouts(scale: Ints, above: Run, below: Run, threshold: Floats) -> tuple[list[Layout | None], Rows]:
    """The distinct layouts, None for one that can't be, and which one each histogram has."""
    keys = np.stack([scale, above.first, above.size, below.first, below.size, threshold.view(np.int64)], 1)
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(48), len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys))]).dictionary_encode()
    distinct = np.frombuffer(b"".join(packed.dictionary.to_pylist()), np.int64).reshape(-1, 6)
    thresholds = np.ascontiguousarray(distinct[:, 5]).view(np.float64).tolist()
    layouts = [_layout((key[0], key[1], key[2], key[3], key[4]), zero) for key, zero in zip(distinct.tolist(), thresholds, strict=True)]
    return layouts, packed.indices.to_numpy().astype(np.intp)


def _layout(key: tuple[int, int, int, int, int], threshold: float) -> Layout | None:
    scale, first, size, lowest, depth = key
    try:
        return layout(scale, (first, size), (lowest, depth), None if threshold == -np.inf else threshold)
    except DecodeError:
        return None


def _placed(above: Run, below: Run, zero: Ints, places: Ints, bound_sizes: Ints, is_broken: Bools) -> Ints:
    """The counts where their layout puts them; of broken ones one zero."""
    starts = np.cumsum(bound_sizes + 1) - bound_sizes - 1
    counts = np.zeros(int((bound_sizes + 1).sum()), np.int64)
    for run, at, step in ((above, starts + places[:, 2], 1), (below, starts + places[:, 0] + below.size - 1, -1)):
        is_kept = np.repeat(~is_broken, run.size)
        target = np.repeat(at, run.size) + step * _ramp(run.size)
        counts[target[is_kept]] = run.counts[is_kept]
    has_zero = np.flatnonzero(zero)
    counts[(starts + places[:, 1])[has_zero]] = zero[has_zero]
    return counts


def _ramp(sizes: Ints) -> Ints:
    """0, 1, … for each size."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def listed(lists: list[tuple[float, ...]], of_row: Rows) -> Bounds:
    """These lists as bounds."""
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    return Bounds(np.fromiter(chain.from_iterable(lists), np.float64, int(sizes.sum())), sizes, of_row)


def _views(parts: list[Bounds]) -> pa.ListViewArray:
    """The bounds of the rows of all parts, at least one."""
    firsts = accumulate((len(one.sizes) for one in parts), initial=0)
    of_row = np.concatenate([one.of_row + first for one, first in zip(parts, firsts, strict=False)])
    return shared(np.concatenate([one.values for one in parts]), np.concatenate([one.sizes for one in parts]), of_row)


def _lists(flat: Ints, sizes: Ints) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(sizes)).astype(np.int32)), pa.array(flat))


def _sums(flat: Ints, sizes: Ints) -> Ints:
    if len(sizes) and sizes[0] and (sizes == sizes[0]).all():
        alike: Ints = np.einsum("ij->i", flat.reshape(len(sizes), -1))
        return alike
    total = np.append(0, np.cumsum(flat))
    ends = np.cumsum(sizes)
    sums: Ints = total[ends] - total[ends - sizes]
    return sums


def _any(flat: Bools, sizes: Ints) -> Bools:
    return _sums(flat.astype(np.int64), sizes) > 0 if flat.any() else np.zeros(len(sizes), np.bool_)


def _rising(bounds: Floats, sizes: Ints) -> Bools:
    """Whether each list is finite and strictly increasing."""
    falls = np.append(~(bounds[1:] > bounds[:-1]), np.zeros(min(1, len(bounds)), np.bool_))
    ends = np.cumsum(sizes)
    falls[ends[sizes > 0] - 1] = False
    return ~_any(falls | ~np.isfinite(bounds), sizes)
