"""Reading rollups of many days and shards in one sorted order, in pieces.

Series are spread over shards by hash and every file is sorted by series, so each piece, a range of series, is a stretch of rows of every file. First the series
and row counts of all files are read, then piece after piece. Memory: about PIECE_ROWS rows and an entry per series and file. Row groups that two pieces share
are decoded twice.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.canonical import Identity, Runs, bucket_ms, canonical, series_runs, sorted_together
from transforms.core.granularity import Range
from transforms.core.model import ROLLUP_SCHEMA, Bools
from transforms.core.united import IDENTITY
from transforms.stores.data_files import DataFile, Opened, using
from transforms.stores.protocol import Wanted
from transforms.stores.shard_files import ShardFile, read_table

PIECE_ROWS: Final = 1 << 20
"""Rows of a piece, or those of one series if it has more."""

NO_RUNS: Final = Runs([], np.zeros(1, np.int64))

Keep = Callable[[Identity], bool]


def keep_of(metric_type: str, wanted: Wanted | None) -> Keep:
    """Whether a series of that type is asked for, by its identity."""
    return lambda identity: wanted is None or wanted(metric_type, *identity[:4])


class Overlap(NamedTuple):
    """Buckets of one width that overlap one of the periods; without periods all."""

    width_s: int
    periods: Sequence[Range] | None

    def rows(self, table: pa.Table) -> Bools:
        """Which rows of the table do."""
        if self.periods is None:
            return np.ones(table.num_rows, bool)
        starts = bucket_ms(table)
        chosen = np.zeros(table.num_rows, bool)
        for from_s, to_s in self.periods:
            chosen |= (starts > (from_s - self.width_s) * 1000) & (starts < to_s * 1000)
        return chosen


class Source:
    """One file and what is known of its series. A file that was replaced meanwhile is read as it is now, one that is gone is empty."""

    def __init__(self, file: DataFile, keep: Keep, overlap: Overlap) -> None:
        """Reads nothing yet."""
        self._file, self._keep, self._overlap = file, keep, overlap
        self._stamp: object = None
        self._held: pa.Table | None = None
        self._runs = NO_RUNS

    def series_rows(self) -> Iterator[tuple[Identity, int]]:
        """Each series that is asked for, and its number of rows."""
        using(self._file, self._indexed)
        lengths = self._runs.lengths().tolist()
        return ((key, rows) for key, rows in zip(self._runs.keys, lengths, strict=True) if self._keep(key))

    def piece(self, first: Identity, end: Identity | None, columns: Sequence[str]) -> pa.Table:
        """The rows asked for of the series in [first, end), copied out of the file, sorted by series."""
        table = using(self._file, lambda opened: self._rows(opened, first, end, columns))
        keys, edges = self._runs
        low, high = self._between(first, end)
        kept = np.array([self._keep(key) for key in keys[low:high]], bool)
        chosen = self._overlap.rows(table) & np.repeat(kept, np.diff(edges[low : high + 1]))
        return table.take(pa.array(np.flatnonzero(chosen)))

    def _between(self, first: Identity, end: Identity | None) -> tuple[int, int]:
        """Places [low, high) of series."""
        keys = self._runs.keys
        return bisect_left(keys, first), len(keys) if end is None else bisect_left(keys, end)

    def _rows(self, opened: Opened | None, first: Identity, end: Identity | None, columns: Sequence[str]) -> pa.Table:
        """All rows of these series in the file as it is now."""
        file = self._indexed(opened)
        low, high = (int(self._runs.edges[place]) for place in self._between(first, end))
        if self._held is not None:
            return canonical(self._held.slice(low, high - low).select(columns))
        return file.rows(columns, low, high) if file else ROLLUP_SCHEMA.empty_table().select(columns)

    def _indexed(self, opened: Opened | None) -> ShardFile | None:
        """The file, and what is known of its series brought up to date; None if it is gone."""
        if opened is None:
            self._runs, self._stamp, self._held = NO_RUNS, None, None
            return None
        file = ShardFile(self._file.name, opened.content)
        if opened.stamp != self._stamp:
            self._index(file, opened.content)
            self._stamp = opened.stamp
        return file

    def _index(self, file: ShardFile, content: BinaryIO) -> None:
        """Find the runs of series; a file that isn't sorted by series, another writer's, is held in memory, sorted."""
        self._held, self._runs = None, series_runs(file.rows(IDENTITY))
        if not all(one < other for one, other in pairwise(self._runs.keys)):
            self._held = read_table(self._file.name, source=content)
            self._runs = series_runs(self._held)


def scan_sorted(sources: Sequence[Source], columns: Sequence[str], threads: int = 1) -> Iterator[pa.Table]:
    """The rows of all sources in pieces, none empty; one after another they are in the order of ROLLUP_SCHEMA. So many sources are read at once."""
    names = [name for name in ROLLUP_SCHEMA.names if name in {*IDENTITY, "bucket_start", *columns}]
    rows: Counter[Identity] = Counter()
    with ThreadPoolExecutor(threads) as pool:
        read = pool.map if threads > 1 else map
        for series in read(Source.series_rows, sources):
            for key, number in series:
                rows[key] += number
        for first, end in _ranges(rows):
            tables = list(read(partial(_piece, first, end, names), sources))
            if any(table.num_rows for table in tables):
                yield sorted_together(tables).select([name for name in names if name in columns])


def _piece(first: Identity, end: Identity | None, columns: Sequence[str], source: Source) -> pa.Table:
    return source.piece(first, end, columns)


def _ranges(rows: Counter[Identity]) -> Iterator[tuple[Identity, Identity | None]]:
    """Cut the series into consecutive ranges [first, end) of at most PIECE_ROWS rows, at least one series each; the last is open."""
    keys = sorted(rows)
    first = size = 0
    for number, key in enumerate(keys):
        if number > first and size + rows[key] > PIECE_ROWS:
            yield keys[first], key
            first, size = number, 0
        size += rows[key]
    if keys:
        yield keys[first], None
