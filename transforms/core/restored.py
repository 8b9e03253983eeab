"""Which buckets a unit's run left in the store, as bits, and which of them somebody changed since.

A bucket that the run wrote, or found equal, carries the run's generation, or if it was copied that of the source; a later run's carries a larger one. One with
a smaller generation or none, or none at all, was changed by a writer that does not follow the rule of `core.versions`, such as a live writer. Of a bucket that
was copied without a generation nothing tells who wrote it since: it is only looked whether it is there.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.accounts import BucketChange
from transforms.core.canonical import Identity, bucket_ms, canonical, one_chunk, pick, series_runs
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA, Bools, Floats, Ints
from transforms.core.outcome import beside_nothing, beside_stored
from transforms.core.united import IDENTITY
from transforms.core.versions import Merged, Verdict

RESTORED: Final = pa.schema(
    [*(pa.field(name, pa.string()) for name in IDENTITY), ("granularity", pa.string()), ("buckets", pa.binary()), ("generation", pa.int64())]
)
"""A row per series, granularity and generation (0: none): bit i of `buckets` (the highest of byte 0 first) stands for the window's i-th bucket."""

_LEFT_THERE: Final = (Verdict.ADDED, Verdict.CHANGED, Verdict.EQUAL)

COMPARED: Final = tuple(name for name in ROLLUP_SCHEMA.names if name in {*IDENTITY, "bucket_start", "minutes", "avg", "generation"})
"""Columns that tell what somebody changed since."""

Grid = npt.NDArray[np.bool_]
"""Series by buckets of the window."""


def restored(tables: Mapping[str, pa.Table], merged: Mapping[str, Merged], window: Range) -> pa.Table:
    """The buckets of these tables, in order, that are in the store as they are here."""
    parts = [_restored(name, table, np.isin(merged[name].verdicts, _LEFT_THERE), window) for name, table in tables.items()]
    return pa.concat_tables([RESTORED.empty_table(), *(one for some in parts for one in some)])


def _restored(granularity: str, table: pa.Table, is_there: Bools, window: Range) -> Iterator[pa.Table]:
    """By generation: a run that computes has one."""
    generations = _generations(table)
    for generation in _distinct(generations[is_there]):
        rows = pick(canonical(table), np.flatnonzero(is_there & (generations == generation)))
        runs = series_runs(rows)
        grid = _grid(rows, np.repeat(np.arange(len(runs.keys)), runs.lengths()), len(runs.keys), granularity, window)
        columns = [list(values) for values in zip(*runs.keys, strict=True)]
        bits = pa.array([one.tobytes() for one in np.packbits(grid, axis=1)], pa.binary())
        yield pa.table([*columns, [granularity] * len(runs.keys), bits, [generation] * len(runs.keys)], schema=RESTORED)


def _distinct(generations: Ints) -> list[int]:
    """In order; looks for them only if there are several."""
    if len(generations) and generations.min() == generations.max():
        return [int(generations[0])]
    distinct: list[int] = np.unique(generations).tolist()
    return distinct


def _generations(table: pa.Table) -> Ints:
    column = one_chunk(table.column("generation"))
    generations: Ints = (pc.fill_null(column, 0) if column.null_count else column).to_numpy()
    return generations


def _grid(rows: pa.Table, series: Ints, number: int, granularity: str, window: Range) -> Grid:
    width_s = WIDTH_S[granularity]
    buckets = (window[1] - window[0]) // width_s
    grid = np.zeros(number * buckets, bool)
    grid[series * buckets + (bucket_ms(rows) - window[0] * 1000) // (width_s * 1000)] = True
    return grid.reshape(number, buckets)


def restored_buckets(expected: pa.Table, granularity: str, window: Range) -> pa.Table:
    """Identity and bucket_start of the buckets of a granularity that `expected` (RESTORED) names, canonical and in order."""
    keys, wanted = _wanted(expected, granularity, window)
    series, offsets = np.nonzero(wanted >= 0)
    columns = [pa.array([key[place] for key in keys], pa.string()).dictionary_encode().take(pa.array(series)) for place in range(len(IDENTITY))]
    starts = pa.array((window[0] + offsets * WIDTH_S[granularity]) * 1000).view(ROLLUP_SCHEMA.field("bucket_start").type)
    return canonical(pa.table([*columns, starts], schema=pa.schema([ROLLUP_SCHEMA.field(name) for name in (*IDENTITY, "bucket_start")])))


def _wanted(expected: pa.Table, granularity: str, window: Range) -> tuple[list[Identity], npt.NDArray[np.int64]]:
    """The series of a granularity, sorted, and of each the generation that each of the window's buckets had, -1 for those that are not named."""
    mine = expected.filter(pc.equal(expected["granularity"], granularity))
    owners: list[Identity] = list(zip(*(mine[name].to_pylist() for name in IDENTITY), strict=True))
    number_of = {key: place for place, key in enumerate(sorted(set(owners)))}
    buckets = (window[1] - window[0]) // WIDTH_S[granularity]
    wanted = np.full((len(number_of), buckets), -1, np.int64)
    for key, bits, generation in zip(owners, mine["buckets"].to_pylist(), mine["generation"].to_pylist(), strict=True):
        is_named = np.unpackbits(np.frombuffer(bits, np.uint8), count=buckets).astype(bool)
        wanted[number_of[key], is_named] = generation
    return list(number_of), wanted


def changed_since(expected: pa.Table, stored: pa.Table, granularity: str, window: Range) -> tuple[int, list[BucketChange]]:
    """How many buckets of a granularity `expected` (RESTORED) names, and those that are no longer of the generation named there or a later one.

    `stored` is what the store has of these buckets (at least the columns COMPARED), canonical and in order, and perhaps others of the window.
    """
    keys, wanted = _wanted(expected, granularity, window)
    if not keys:
        return 0, []
    number_of = {key: place for place, key in enumerate(keys)}
    runs = series_runs(stored)
    series = np.repeat(np.array([number_of.get(key, -1) for key in runs.keys], np.int64), runs.lengths())
    offsets = (bucket_ms(stored) // 1000 - window[0]) // WIDTH_S[granularity]
    missing = wanted >= 0
    number = int(missing.sum())
    intact = (series >= 0) & (_generations(stored) >= wanted[series, offsets])
    missing[series[intact], offsets[intact]] = False
    return number, list(_changes(missing, keys, stored, series, offsets, granularity, window[0]))


def _changes(missing: Grid, keys: list[Identity], stored: pa.Table, series: Ints, offsets: Ints, granularity: str, from_s: int) -> Iterator[BucketChange]:
    """What is stored now of each missing bucket; Python for each of these only."""
    found = np.flatnonzero((series >= 0) & missing[series, offsets])
    rows = dict(zip(zip(series[found].tolist(), offsets[found].tolist(), strict=True), found.tolist(), strict=True))
    minutes: Ints = stored["minutes"].to_numpy()
    averages: Floats = stored["avg"].to_numpy(zero_copy_only=False) if stored.num_rows else np.zeros(0)
    for place, offset in np.argwhere(missing).tolist():
        row = rows.get((place, offset))
        avg = None if row is None or np.isnan(averages[row]) else float(averages[row])
        yield BucketChange(
            granularity=granularity,
            series=keys[place],
            bucket_start_s=from_s + offset * WIDTH_S[granularity],
            stored_minutes=0 if row is None else int(minutes[row]),
            minutes=0,
            stored_avg=avg,
            avg=None,
        )


def read_back(tables: Mapping[str, pa.Table], merged: Mapping[str, Merged], now: Mapping[str, Merged]) -> tuple[int, tuple[BucketChange, ...]]:
    """How many buckets were left in the store when the tables were `merged`, and those that are not there as `now`, merging them once more, would find.

    A bucket that a newer version replaced meanwhile is no difference, nor is any of a table that `now` lacks: it is stored as it was merged.
    """
    checked, found = 0, []
    for name, table in tables.items():
        was_there = np.isin(merged[name].verdicts, _LEFT_THERE)
        checked += int(was_there.sum())
        if name not in now:
            continue
        lost = np.flatnonzero(was_there & ~np.isin(now[name].verdicts, (Verdict.EQUAL, Verdict.NEWER)))
        met = np.flatnonzero(np.isin(now[name].met, lost))
        found += beside_stored(name, table, now[name], met) + beside_nothing(name, table, now[name], np.setdiff1d(lost, now[name].met))
    return checked, tuple(found)
