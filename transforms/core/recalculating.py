"""Coarser rollups from stored finer ones: 5m and 1h from 1m, or 1h from 5m, bit for bit what a backfill makes of the points (DESIGN §3).

Stored rows hold all that the next fold needs: of gauges, counters and deltas the sum, min, max, last and average, of counters also the increase, the first and
last cumulative value and the start, of histograms the bounds and counts, whose merge does not depend on how it is grouped. What they don't hold is what was
there before the first of them: so an increase is never made anew, and 1m rollups come from the archive only.

A stored row may be another writer's and lack what the fold needs. Nothing is guessed then: the buckets that it belongs to are not made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import Runs, bucket_ms, canonical, codes_of, one_chunk, series_runs
from transforms.core.fold import Average, Buckets, fold_fives, fold_gauges
from transforms.core.granularity import HOUR_S, MINUTE_S, WIDTH_S, within
from transforms.core.histogram_kinds import HistogramRows, coarser_histograms, laid_histograms
from transforms.core.histograms import histograms_of
from transforms.core.kinds import Growth, Laid, coarser_growth, counter_buckets, delta_buckets, fold_counters, laid
from transforms.core.model import HISTOGRAM, Bools, Floats, Ints
from transforms.core.ragged import sizes_of, starts_of
from transforms.core.rollup import Computed, UnitRollups, overflows, table_of_kinds
from transforms.core.tiles import Tiles
from transforms.core.united import IDENTITY, UnitedSeries

PASS_ROWS: Final = 1_000_000
"""Stored rows recalculated at once; more of them take several passes."""

SOURCES: Final[dict[str, tuple[str, ...]]] = {"1m": ("5m", "1h"), "5m": ("1h",)}
"""What can be recalculated from what."""

_Number = TypeVar("_Number", np.bool_, np.int64, np.float64)

_FOLDED: Final = ("sum", "min", "max", "avg", "last")
_NOTHING: Final = {"sum": 0.0, "min": np.inf, "max": -np.inf, "avg": 0.0, "last": 0.0}
"""What a fold passes over."""


@dataclass(frozen=True, slots=True)
class Recalculated:
    """Coarser rollups of stored rows, with minutes in the place of points.

    `rollups.points` = `rollups.kept` + `unusable` + `outside`: minutes of rows that went into a computed bucket, of rows in computed buckets that were not
    made because a row of theirs lacks something, and of rows in no computed bucket.
    """

    rollups: UnitRollups
    unusable: int
    outside: int


class _Rows(NamedTuple):
    """Stored rows as columns; `series` numbers the series that occur, ascending. `starts_s` are of the buckets."""

    table: pa.Table
    series: Ints
    starts_s: Ints
    kind: npt.NDArray[np.int32]

    def take(self, rows: Bools) -> "_Rows":
        """These rows."""
        return self if rows.all() else _Rows(self.table.filter(pa.array(rows)), self.series[rows], self.starts_s[rows], self.kind[rows])

    def floats(self, name: str) -> Floats:
        """A column, NaN where null, 0.0 for -0.0."""
        values: Floats = one_chunk(self.table[name]).to_numpy(zero_copy_only=False).astype(np.float64)
        return values + 0.0

    def whole(self, name: str) -> Ints:
        """A column of whole numbers, -1 where null."""
        values: Ints = pc.fill_null(one_chunk(self.table[name]), -1).to_numpy().astype(np.int64)
        return values


def recalculate_in_passes(table: pa.Table, finer: str, *, computed: Computed, average: Average, generation: int) -> Iterator[Recalculated]:
    """As `recalculate`, in passes over consecutive series of at most PASS_ROWS rows each (or one larger series), in order; no rows, no pass."""
    edges = series_runs(table).edges
    first = 0
    while first < len(edges) - 1:
        end = max(first + 1, int(np.searchsorted(edges, edges[first] + PASS_ROWS, side="right")) - 1)
        rows = canonical(table.slice(edges[first], edges[end] - edges[first]))
        yield recalculate(rows, finer, computed=computed, average=average, generation=generation)
        first = end


def recalculate(table: pa.Table, finer: str, *, computed: Computed, average: Average, generation: int) -> Recalculated:
    """Roll up stored rows of one metric type and the `finer` granularity (canonical, in order) to the granularities of `computed`, all in SOURCES[finer]."""
    runs = series_runs(table)
    united = _united(table, runs)
    series = np.repeat(np.arange(len(united)), runs.lengths())
    rows = _Rows(table, series, bucket_ms(table) // 1000, united.codes["kind"][series])
    usable = _usable(rows, finer, united.values["kind"].to_pylist())
    spoilt = {name: np.unique(_bucket_keys(series[~usable], rows.starts_s[~usable], WIDTH_S[name])) for name in computed}
    folded = list(_folded(rows.take(usable), finer, average, united))
    chosen = {name: [(one[name], _chosen(one[name], name, computed, spoilt[name])) for one in folded] for name in computed}
    return _result(rows, computed, spoilt, {name: table_of_kinds(ones, united, generation)[0] for name, ones in chosen.items()}, chosen)


def _result(
    rows: _Rows, computed: Computed, spoilt: Mapping[str, Ints], tables: dict[str, pa.Table], chosen: Mapping[str, list[tuple[Laid, Bools]]]
) -> Recalculated:
    """Minutes are counted on the rows that were read, not on those that were made."""
    minutes = rows.whole("minutes")
    inside = {name: within(rows.starts_s // WIDTH_S[name] * WIDTH_S[name], ranges) for name, ranges in computed.items()}
    made = {name: mask & ~np.isin(_bucket_keys(rows.series, rows.starts_s, WIDTH_S[name]), spoilt[name]) for name, mask in inside.items()}
    anywhere, kept = (np.logical_or.reduce([np.zeros(len(minutes), bool), *masks.values()]) for masks in (inside, made))
    rebinned = [int(np.count_nonzero(one.buckets.rebinned & some)) for ones in chosen.values() for one, some in ones if one.buckets.rebinned is not None]
    rollups = UnitRollups(
        tables=tables,
        points=int(minutes.sum()),
        superseded=0,
        survivors={name: int(minutes[mask].sum()) for name, mask in made.items()},
        kept=int(minutes[kept].sum()),
        overflows=sum(overflows(one.buckets, some) for ones in chosen.values() for one, some in ones),
        rebinned=sum(rebinned),
    )
    return Recalculated(rollups, unusable=int(minutes[anywhere & ~kept].sum()), outside=int(minutes[~anywhere].sum()))


def _united(table: pa.Table, runs: Runs) -> UnitedSeries:
    """The series of a table in order, one per run."""
    columns = {name: one_chunk(table[name]) for name in IDENTITY}
    return UnitedSeries(
        values={name: column.dictionary for name, column in columns.items()},
        codes={name: codes_of(column)[runs.edges[:-1]] for name, column in columns.items()},
        of_row=(),
    )


def _bucket_keys(series: Ints, starts_s: Ints, width_s: int) -> Ints:
    """A number for each (series, bucket); times lie within 2^32 s of the epoch, as ROLLUP_SCHEMA's years do."""
    keys: Ints = (series << 33) + starts_s // width_s
    return keys


def _chosen(one: Laid, name: str, computed: Computed, spoilt: Ints) -> Bools:
    chosen = one.chosen(WIDTH_S[name], computed[name])
    if len(spoilt):
        chosen = chosen & ~np.isin(_bucket_keys(one.series[:, None], one.starts_s, WIDTH_S[name]), spoilt)
    return chosen


def _usable(rows: _Rows, finer: str, kinds: list[str]) -> Bools:
    """Which rows begin where a bucket does and hold what their kind is folded from."""
    minutes, count = rows.whole("minutes"), rows.whole("count")
    known = {name: ~np.isnan(rows.floats(name)) for name in (*_FOLDED, "first_value", "last_value")}
    needed = ("last",) if finer == "1m" else _FOLDED
    scalar = np.logical_and.reduce([count == minutes, *(known[name] for name in needed)])
    grown = scalar if finer == "1m" else scalar & known["first_value"] & known["last_value"]
    by_kind = {"gauge": scalar, "delta": scalar, "counter": grown, "histogram": _has_buckets(rows.table) & (count >= 0)}
    usable = np.zeros(len(minutes), bool)
    for number, kind in enumerate(kinds):
        if kind in by_kind:
            usable |= (rows.kind == number) & by_kind[kind]
    most = WIDTH_S[finer] // MINUTE_S
    result: Bools = usable & (minutes >= 1) & (minutes <= most) & (bucket_ms(rows.table) % (WIDTH_S[finer] * 1000) == 0)
    return result


def _has_buckets(table: pa.Table) -> Bools:
    """Whether there is one bucket more than bounds."""
    bounds, counts = (pc.fill_null(pc.list_value_length(one_chunk(table[name])), -1).to_numpy() for name in ("bounds", "bucket_counts"))
    fits: Bools = (bounds >= 0) & (counts == bounds + 1)
    return fits


def _folded(rows: _Rows, finer: str, average: Average, united: UnitedSeries) -> Iterator[Mapping[str, Laid]]:
    """The coarser buckets of each kind that there is; of gauges, if there are no rows."""
    kinds = united.values["kind"].to_pylist()
    if not len(rows.series):
        yield _fold_tiles(rows, "gauge", finer, average)
    for number, kind in enumerate(kinds):
        some = rows.take(rows.kind == number)
        if len(some.series):
            yield _fold_histograms(some, finer) if kind == "histogram" else _fold_tiles(some, kind, finer, average)


class _Grid(NamedTuple):
    """Where the rows lie in tiles of (series, hour)."""

    series: Ints
    hour: Ints
    cell: Ints
    buckets: int

    def spread(self, values: npt.NDArray[_Number], absent: float) -> npt.NDArray[_Number]:
        """Values of the rows in tiles of shape (tiles, buckets in an hour)."""
        cells = np.full(len(self.series) * self.buckets, absent, values.dtype)
        cells[self.cell] = values
        return cells.reshape(-1, self.buckets)


def _grid(rows: _Rows, width_s: int) -> _Grid:
    hour = rows.starts_s // HOUR_S
    starts = starts_of(rows.series, hour)
    tile = np.repeat(np.arange(len(starts)), sizes_of(starts, len(hour)))
    buckets = HOUR_S // width_s
    return _Grid(rows.series[starts], hour[starts], tile * buckets + (rows.starts_s - hour * HOUR_S) // width_s, buckets)


def _fold_tiles(rows: _Rows, kind: str, finer: str, average: Average) -> dict[str, Laid]:
    grid = _grid(rows, WIDTH_S[finer])
    present = grid.spread(np.ones(len(rows.series), bool), absent=False)
    fold = _fold_minutes if finer == "1m" else _fold_stored_fives
    return laid(fold(rows, kind, grid, present, average), grid.series, grid.hour)


def _fold_minutes(rows: _Rows, kind: str, grid: _Grid, present: Bools, average: Average) -> dict[str, Buckets]:
    tiles = Tiles(grid.series, grid.hour, grid.spread(rows.floats("last"), 0.0), present)
    if kind == "counter":
        return fold_counters(tiles, _growth(rows, grid, present, "last", "last"), average)
    buckets = fold_gauges(tiles, average)
    return {name: delta_buckets(one) for name, one in buckets.items()} if kind == "delta" else buckets


def _fold_stored_fives(rows: _Rows, kind: str, grid: _Grid, present: Bools, average: Average) -> dict[str, Buckets]:
    minutes = grid.spread(rows.whole("minutes"), 0)
    values = {name: grid.spread(rows.floats(name), _NOTHING[name]) for name in _FOLDED}
    hours = fold_fives(Buckets(present, minutes, minutes, values), average)
    if kind == "counter":
        return {"1h": counter_buckets(hours, coarser_growth(_growth(rows, grid, present, "first_value", "last_value"), 12))}
    return {"1h": delta_buckets(hours) if kind == "delta" else hours}


def _growth(rows: _Rows, grid: _Grid, present: Bools, first: str, last: str) -> Growth:
    """What the rows of counters tell of it. Starts are stored in ms: a µs more keeps one at the epoch apart from an unknown one, 0."""
    start = one_chunk(rows.table["start_time"])
    start_us = np.where(start.is_valid().to_numpy(zero_copy_only=False), pc.fill_null(start.view(pa.int64()), 0).to_numpy() * 1000 + 1, 0)
    increase, first_value, last_value = (grid.spread(rows.floats(name), absent) for name, absent in (("increase", np.nan), (first, 0.0), (last, 0.0)))
    return Growth(present, increase, first_value, last_value, grid.spread(start_us, 0))


def _fold_histograms(rows: _Rows, finer: str) -> dict[str, Laid]:
    columns = [one_chunk(rows.table[name]) for name in ("count", "sum", "min", "max", "bounds", "bucket_counts")]
    histograms = histograms_of(pa.StructArray.from_arrays(columns, names=HISTOGRAM.names))
    minutes = rows.whole("minutes")
    width_s = WIDTH_S[finer]
    given = HistogramRows(width_s // MINUTE_S, rows.series, rows.starts_s // width_s, histograms, minutes, minutes, np.zeros(len(minutes), bool))
    fives = given if finer == "5m" else coarser_histograms(given, 5)
    hours = coarser_histograms(fives, 60)
    return {"5m": laid_histograms(fives), "1h": laid_histograms(hours)}
