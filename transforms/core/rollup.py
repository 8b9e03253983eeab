"""Rollup mathematics of one unit: staged slices → tables of 1m, 5m and 1h buckets (DESIGN §3).

Pure. Points are only ever touched by NumPy and Arrow calls on whole slices or all tiles, which release the GIL: units on several threads run side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import canonical
from transforms.core.errors import RollupsError
from transforms.core.fold import Average, Buckets
from transforms.core.granularity import MINUTE_S, WIDTH_S, Range, within
from transforms.core.histogram_kinds import fold_histogram_points
from transforms.core.kinds import Fold, Laid, Rules, fold_counter_points, fold_delta_points, fold_gauge_points
from transforms.core.model import Bools, Ints
from transforms.core.ragged import MOST
from transforms.core.rows import Owners, table_of
from transforms.core.selection import Reach
from transforms.core.tiles import Counts, Part
from transforms.core.united import CUMULATIVE, UnitedSeries, unite
from transforms.core.weights import row_weights

Computed = Mapping[str, tuple[Range, ...]]
"""Granularity → sorted, disjoint ranges; a bucket is computed, from all its minutes, if its start lies in one."""


@dataclass(frozen=True, slots=True)
class UnitRollups:
    """Rollups of a unit, or of one pass over it.

    `tables` has a ROLLUP_SCHEMA table per granularity asked for, sorted, with sorted distinct dictionary values.
    `points` = points in the slices = `superseded` + `no_predecessor` + `kept` + `lead_in`: those that lost to another point, those of a minute that is left out
    because nothing says what to subtract from it, those that went into a computed bucket of any granularity, and those of minutes in no computed bucket, which
    were there to be subtracted. `survivors[granularity]` = minutes with points in a computed bucket of it. All are counted on the points and not on the
    tables, so that they check them. `row_points[granularity]` = the points that went into each row; where it is missing, one per minute.
    `overflows` = buckets whose sum, sum of averages or increase became infinite, or whose count stays at the largest; `rebinned` = those
    whose histogram has wider buckets than one it was made of.
    """

    tables: dict[str, pa.Table]
    points: int
    superseded: int
    survivors: dict[str, int]
    kept: int
    overflows: int
    lead_in: int = 0
    no_predecessor: int = 0
    rebinned: int = 0
    row_points: dict[str, Ints] = field(default_factory=dict)


def roll_up(slices: Sequence[pa.RecordBatch], *, computed: Computed, average: Average, generation: int, lead_in_s: int = Reach.lead_in_s) -> UnitRollups:
    """Roll up slices (SLICE_SCHEMA, in manifest order) of one unit.

    Of the points of one (series, minute), or for deltas (series, start, time), the last by (arrival_us, slice, position in the slice) survives.
    A predecessor is sought `lead_in_s` back. Raises RollupsError if a series is of a kind that can't be rolled up.
    """
    return _roll_up(slices, unite(slices), computed, Rules(average, lead_in_s), generation)


def roll_up_in_passes(
    slices: Sequence[pa.RecordBatch], *, max_points: int, computed: Computed, average: Average, generation: int, lead_in_s: int = Reach.lead_in_s
) -> Iterator[UnitRollups]:
    """As `roll_up`, in passes over consecutive series that weigh at most `max_points` gauges each (or one larger series), in sorted order.

    The tables of all passes joined (`rows.joined`) are `roll_up`'s, the counts add up to its. Memory beyond the slices is bounded by a pass.
    Where there are no series there is no pass.
    """
    united = unite(slices)
    for first, end in _ranges(_weight_of_series(slices, united), max_points):
        chosen = [(first <= series) & (series < end) for series in united.of_row]
        part = [one if rows.all() else one.filter(pa.array(rows)) for one, rows in zip(slices, chosen, strict=True)]
        yield _roll_up(part, _narrow(united, first, end, chosen), computed, Rules(average, lead_in_s), generation)


def _ranges(sizes: Ints, max_points: int) -> Iterator[tuple[int, int]]:
    """Cut series into consecutive ranges of at most `max_points` points, at least one series each."""
    ends = np.cumsum(sizes)
    first = done = 0
    while first < len(sizes):
        end = max(first + 1, int(np.searchsorted(ends, done + max_points, side="right")))
        yield first, end
        first, done = end, int(ends[end - 1])


def _weight_of_series(slices: Sequence[pa.RecordBatch], united: UnitedSeries) -> Ints:
    weights = np.zeros(len(united), np.int64)
    for one, series in zip(slices, united.of_row, strict=True):
        np.add.at(weights, series, row_weights(one))
    return weights


def _narrow(united: UnitedSeries, first: int, end: int, chosen: Sequence[Bools]) -> UnitedSeries:
    codes = {name: column[first:end] for name, column in united.codes.items()}
    of_row = tuple(series[rows] - first for series, rows in zip(united.of_row, chosen, strict=True))
    return UnitedSeries(united.values, codes, of_row)


def _roll_up(slices: Sequence[pa.RecordBatch], united: UnitedSeries, computed: Computed, rules: Rules, generation: int) -> UnitRollups:
    folded = [FOLDS[kind](parts, len(united), rules) for kind, parts in _parts_by_kind(slices, united)]
    tallies = [_tally(one.counts, computed) for one in folded]
    laid = {name: [(one.laid[name], one.laid[name].chosen(WIDTH_S[name], ranges)) for one in folded] for name, ranges in computed.items()}
    tables = {name: table_of_kinds(ones, united, generation) for name, ones in laid.items()}
    return UnitRollups(
        tables={name: table for name, (table, _) in tables.items()},
        row_points={name: points for name, (_, points) in tables.items() if points is not None},
        survivors={name: sum(one.survivors[name] for one in tallies) for name in computed},
        overflows=sum(overflows(one.buckets, chosen) for ones in laid.values() for one, chosen in ones),
        rebinned=sum(
            int(np.count_nonzero(one.buckets.rebinned & chosen)) for ones in laid.values() for one, chosen in ones if one.buckets.rebinned is not None
        ),
        **{term: sum(getattr(one, term) for one in tallies) for term in ("points", "superseded", "lead_in", "no_predecessor", "kept")},
    )


def _parts_by_kind(slices: Sequence[pa.RecordBatch], united: UnitedSeries) -> Iterator[tuple[str, list[Part]]]:
    """The rows of every kind of rollup that there is; of gauges, if there are no rows."""
    kinds = united.values["kind"].to_pylist()
    if unknown := [kind for kind in kinds if kind not in FOLDS]:
        raise RollupsError(f"rolling up series of kind {unknown[0]!r}: only {', '.join(FOLDS)} can be rolled up")
    if not any(one.num_rows for one in slices):
        yield "gauge", []
    for number, kind in enumerate(kinds):
        chosen = [united.codes["kind"][series] == number for series in united.of_row]
        rows_of = [pair for pair in zip(slices, united.of_row, chosen, strict=True) if pair[2].any()]
        if rows_of:
            yield kind, [_part(one if rows.all() else one.filter(pa.array(rows)), series[rows], kind) for one, series, rows in rows_of]


def _part(one: pa.RecordBatch, series: Ints, kind: str) -> Part:
    minute, arrival_us, value = (one.column(name).flatten().to_numpy() for name in ("minute", "arrival_us", "value"))
    if kind == "gauge":
        return Part(series, _sizes(one), minute, arrival_us, value)
    start_us, time_us = (one.column(name).flatten().to_numpy() for name in ("start_us", "time_us"))
    if kind != "histogram":
        return Part(series, _sizes(one), minute, arrival_us, value, start_us, time_us)
    is_cumulative = pc.equal(one.column("kind"), CUMULATIVE).to_numpy(zero_copy_only=False)
    return Part(series, _sizes(one), minute, arrival_us, value, start_us, time_us, one.column("histogram").flatten(), is_cumulative)


def _sizes(one: pa.RecordBatch) -> Ints:
    sizes: Ints = np.diff(one.column("minute").offsets.to_numpy()).astype(np.int64)
    return sizes


def table_of_kinds(ones: Sequence[tuple[Laid, Bools]], united: UnitedSeries, generation: int) -> tuple[pa.Table, Ints | None]:
    """The chosen buckets of all kinds as one sorted table, and the points in each row, None if that is its minutes."""
    tables, series, points = [], [], []
    for laid, chosen in ones:
        owners = Owners(united.values, {name: codes.take(laid.series) for name, codes in united.codes.items()})
        tables.append(table_of(laid.buckets, chosen, laid.starts_s, owners, generation))
        points.append(None if laid.buckets.points is None else laid.buckets.points[chosen])
        series.append(np.repeat(laid.series, chosen.sum(axis=1)))
    if len(tables) == 1:
        return tables[0], points[0]
    order = np.argsort(np.concatenate(series), kind="stable")
    table = canonical(canonical(pa.concat_tables(tables)).take(pa.array(order)))
    if all(one is None for one in points):
        return table, None
    every = [table["minutes"].to_numpy() if one is None else one for table, one in zip(tables, points, strict=True)]
    return table, np.concatenate(every).astype(np.int64)[order]


class _Tally(NamedTuple):
    """Counts of one kind; see UnitRollups."""

    points: int
    superseded: int
    lead_in: int
    no_predecessor: int
    survivors: dict[str, int]
    kept: int


def _tally(counts: Counts, computed: Computed) -> _Tally:
    size = len(counts.points)
    time_s = MINUTE_S * (counts.first_minute + np.arange(size))
    inside = {name: within(time_s // WIDTH_S[name] * WIDTH_S[name], ranges) for name, ranges in computed.items()}
    anywhere = np.logical_or.reduce([np.zeros(size, bool), *inside.values()])
    left_out, merged = (np.zeros(size, np.int64) if one is None else one for one in (counts.left_out, counts.merged))
    survived = counts.points - counts.superseded - left_out
    return _Tally(
        points=int(counts.points.sum()),
        superseded=int(counts.superseded[anywhere].sum()),
        lead_in=int(counts.points[~anywhere].sum()),
        no_predecessor=int(left_out[anywhere].sum()),
        survivors={name: int((survived - merged)[mask].sum()) for name, mask in inside.items()},
        kept=int(survived[anywhere].sum()),
    )


def overflows(buckets: Buckets, chosen: Bools) -> int:
    """Chosen buckets with an infinite sum, sum of averages or increase, or a histogram's count that stays at the largest."""
    beyond = [np.isinf(buckets.values[name]) for name in ("sum", "avg", "increase") if name in buckets.values]
    return int(np.count_nonzero(np.logical_or.reduce([*beyond, buckets.count == MOST]) & chosen))


FOLDS: Final[dict[str, Fold]] = {
    "counter": fold_counter_points,
    "delta": fold_delta_points,
    "gauge": fold_gauge_points,
    "histogram": fold_histogram_points,
}
"""The kinds that can be rolled up. A new kind is a new function and its table of hand-computed rows in the tests."""
