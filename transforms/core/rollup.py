"""Rollup mathematics of one unit: staged slices → tables of 1m, 5m and 1h buckets (DESIGN §3).

Pure. Points are only ever touched by NumPy and Arrow calls on whole slices or all tiles, which release the GIL: units on several threads run side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms.core.errors import RollupsError
from transforms.core.fold import FOLDS, Average, Buckets, Fold
from transforms.core.granularity import MINUTE_S, WIDTH_S, Range, within
from transforms.core.model import Bools, Ints
from transforms.core.rows import Owners, table_of
from transforms.core.tiles import MINUTES, Counts, Part, lay, starts_s
from transforms.core.united import UnitedSeries, unite

Computed = Mapping[str, tuple[Range, ...]]
"""Granularity → sorted, disjoint ranges; a bucket is computed, from all its minutes, if its start lies in one."""


@dataclass(frozen=True, slots=True)
class UnitRollups:
    """Rollups of a unit, or of one pass over it.

    `tables` has a ROLLUP_SCHEMA table per granularity asked for, sorted, with sorted distinct dictionary values.
    `points` = points in the slices; `superseded` = those that lost to another point of the same (series, minute).
    `survivors[granularity]` = surviving points in a computed bucket of it, `kept` = those in a computed bucket of any. All are counted on the points and not
    on the tables, so that they check them. `overflows` = buckets whose sum, or sum of averages, became infinite.
    """

    tables: dict[str, pa.Table]
    points: int
    superseded: int
    survivors: dict[str, int]
    kept: int
    overflows: int


def roll_up(slices: Sequence[pa.RecordBatch], *, computed: Computed, average: Average, generation: int) -> UnitRollups:
    """Roll up slices (SLICE_SCHEMA, in manifest order) of one unit.

    Of the points of one (series, minute) the last by (arrival_us, slice, position in the slice) survives.
    Raises RollupsError if a series is of a kind that can't be rolled up.
    """
    return _roll_up(slices, unite(slices), computed, average, generation)


def roll_up_in_passes(slices: Sequence[pa.RecordBatch], *, max_points: int, computed: Computed, average: Average, generation: int) -> Iterator[UnitRollups]:
    """As `roll_up`, in passes over consecutive series of at most `max_points` points each (or one larger series), in sorted order.

    The tables of all passes joined (`rows.joined`) are `roll_up`'s, the counts add up to its. Memory beyond the slices is bounded by a pass.
    Where there are no series there is no pass.
    """
    united = unite(slices)
    for first, end in _ranges(_points_of_series(slices, united), max_points):
        chosen = [(first <= series) & (series < end) for series in united.of_row]
        part = [one if rows.all() else one.filter(pa.array(rows)) for one, rows in zip(slices, chosen, strict=True)]
        yield _roll_up(part, _narrow(united, first, end, chosen), computed, average, generation)


def _ranges(sizes: Ints, max_points: int) -> Iterator[tuple[int, int]]:
    """Cut series into consecutive ranges of at most `max_points` points, at least one series each."""
    ends = np.cumsum(sizes)
    first = done = 0
    while first < len(sizes):
        end = max(first + 1, int(np.searchsorted(ends, done + max_points, side="right")))
        yield first, end
        first, done = end, int(ends[end - 1])


def _points_of_series(slices: Sequence[pa.RecordBatch], united: UnitedSeries) -> Ints:
    sizes = np.zeros(len(united), np.int64)
    for one, series in zip(slices, united.of_row, strict=True):
        np.add.at(sizes, series, _sizes(one))
    return sizes


def _narrow(united: UnitedSeries, first: int, end: int, chosen: Sequence[Bools]) -> UnitedSeries:
    codes = {name: column[first:end] for name, column in united.codes.items()}
    of_row = tuple(series[rows] - first for series, rows in zip(united.of_row, chosen, strict=True))
    return UnitedSeries(united.values, codes, of_row)


def _roll_up(slices: Sequence[pa.RecordBatch], united: UnitedSeries, computed: Computed, average: Average, generation: int) -> UnitRollups:
    fold = _fold_of(united)
    tiles, counts = lay([_part(one, series) for one, series in zip(slices, united.of_row, strict=True)], len(united))
    buckets = fold(tiles, average)
    chosen = {name: _chosen(name, buckets[name].present, tiles.hour, counts, ranges) for name, ranges in computed.items()}
    owners = Owners(united.values, {name: codes.take(tiles.series) for name, codes in united.codes.items()})
    survivors, kept = _survivors(counts, computed)
    return UnitRollups(
        tables={name: table_of(buckets[name], chosen[name], starts_s(tiles.hour, WIDTH_S[name]), owners, generation) for name in computed},
        points=int(counts.points.sum()),
        superseded=int(counts.superseded.sum()),
        survivors=survivors,
        kept=kept,
        overflows=sum(_overflows(buckets[name], chosen[name]) for name in computed if name != "1m"),
    )


def _fold_of(united: UnitedSeries) -> Fold:
    """The fold of the series' kind. Where kinds are mixed, each would be laid out and folded on its own and the rows merged by series."""
    kinds = united.values["kind"].to_pylist() or ["gauge"]
    unknown = [kind for kind in kinds if kind not in FOLDS]
    if unknown:
        raise RollupsError(f"rolling up series of kind {unknown[0]!r}: only {', '.join(FOLDS)} can be rolled up")
    return FOLDS[kinds[0]]


def _part(one: pa.RecordBatch, series: Ints) -> Part:
    minute, arrival_us, value = (one.column(name).flatten().to_numpy() for name in ("minute", "arrival_us", "value"))
    return Part(series, _sizes(one), minute, arrival_us, value)


def _sizes(one: pa.RecordBatch) -> Ints:
    sizes: Ints = np.diff(one.column("minute").offsets.to_numpy()).astype(np.int64)
    return sizes


def _chosen(granularity: str, present: Bools, hour: Ints, counts: Counts, ranges: tuple[Range, ...]) -> Bools:
    """Which buckets are present and computed. The ranges are looked up once per distinct hour, not per tile."""
    first = counts.first_minute // MINUTES
    starts = starts_s(first + np.arange(len(counts.points) // MINUTES), WIDTH_S[granularity])
    inside = within(starts.ravel(), ranges).reshape(starts.shape)
    return present if inside.all() else present & inside.take(hour - first, axis=0)


def _survivors(counts: Counts, computed: Computed) -> tuple[dict[str, int], int]:
    """Surviving points per granularity whose bucket is computed, and those of any granularity."""
    survived = counts.points - counts.superseded
    time_s = MINUTE_S * (counts.first_minute + np.arange(len(survived)))
    inside = {name: within(time_s // WIDTH_S[name] * WIDTH_S[name], ranges) for name, ranges in computed.items()}
    anywhere = np.logical_or.reduce([np.zeros(len(survived), bool), *inside.values()])
    return {name: int(survived[mask].sum()) for name, mask in inside.items()}, int(survived[anywhere].sum())


def _overflows(buckets: Buckets, chosen: Bools) -> int:
    infinite = np.isinf(buckets.values["sum"]) | np.isinf(buckets.values["avg"])
    return int(np.count_nonzero(infinite & chosen))
