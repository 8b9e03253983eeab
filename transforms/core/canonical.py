"""Rollup tables in canonical form, and the series in them: what stores compare, merge and write.

A table (ROLLUP_SCHEMA) is canonical if it has one chunk and the dictionary of each identity column holds exactly the sorted distinct values of its rows. It is
in order if its rows are sorted as ROLLUP_SCHEMA says and no (series, bucket) occurs twice. Equal rows in order have one canonical form.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.errors import RollupsError
from transforms.core.granularity import WIDTH_S, Range
from transforms.core.model import Bools, Ints
from transforms.core.united import IDENTITY

Identity = tuple[str, ...]
"""Values of the IDENTITY columns."""


class Runs(NamedTuple):
    """Stretches of consecutive rows of one series: run i has identity `keys[i]` and the rows [edges[i], edges[i + 1])."""

    keys: list[Identity]
    edges: Ints

    def lengths(self) -> Ints:
        """Rows of each run."""
        lengths: Ints = np.diff(self.edges)
        return lengths


def canonical(table: pa.Table) -> pa.Table:
    """The same rows in the same order in canonical form; columns that are canonical are not copied. Identity columns hold no nulls."""
    columns = [_canonical_column(column) for column in table.columns]
    return pa.table(columns, schema=table.schema)


def _canonical_column(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _sorted_dictionary(one_chunk(column.unify_dictionaries() if column.num_chunks > 1 else column))
    return one_chunk(column)


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column as an array, without a copy where it has one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _sorted_dictionary(array: pa.DictionaryArray) -> pa.DictionaryArray:
    codes = codes_of(array)
    values: list[str] = array.dictionary.to_pylist()
    used = _used(codes, len(values))
    if used.all() and all(one < other for one, other in pairwise(values)):
        return array
    distinct = sorted({values[code] for code in np.flatnonzero(used)})
    rank = {value: code for code, value in enumerate(distinct)}
    recoded = np.array([rank.get(value, 0) for value in values], np.int32).take(codes)
    return pa.DictionaryArray.from_arrays(pa.array(recoded, pa.int32()), pa.array(distinct, pa.string()))


def _used(codes: npt.NDArray[np.int32], number: int) -> Bools:
    """Which of so many values have a row; one look for each run of equal codes, of which rows in order have few."""
    used = np.zeros(number, bool)
    if number > 1:
        begins = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
        used[codes[begins]] = True
    else:
        used[:] = len(codes) > 0
    return used


def codes_of(array: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """Indices into the array's dictionary."""
    codes: npt.NDArray[np.int32] = array.indices.to_numpy()
    return codes


def bucket_ms(table: pa.Table) -> Ints:
    """`bucket_start` in milliseconds since the epoch."""
    starts: Ints = one_chunk(table.column("bucket_start")).view(pa.int64()).to_numpy()
    return starts


def overlapping(table: pa.Table, granularity: str, ranges: Sequence[Range]) -> Bools:
    """Which rows' buckets overlap one of the ranges."""
    starts_s = bucket_ms(table) // 1000
    found = np.zeros(table.num_rows, bool)
    for from_s, to_s in ranges:
        found |= (starts_s < to_s) & (starts_s + WIDTH_S[granularity] > from_s)
    return found


def series_runs(table: pa.Table) -> Runs:
    """The runs of a canonical table. In a table in order each series has one run, and `keys` is sorted."""
    columns = [table.column(name).chunk(0) for name in IDENTITY]
    changes = np.ones(table.num_rows, bool)
    changes[1:] = False
    for column in columns:
        if len(column.dictionary) > 1:
            codes = codes_of(column)
            changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)
    firsts = [_values(column, starts) for column in columns]
    return Runs(list(zip(*firsts, strict=True)), np.append(starts, table.num_rows))


def _values(column: pa.DictionaryArray, rows: Ints) -> list[str]:
    values: list[str] = column.dictionary.to_pylist()
    return [values[code] for code in codes_of(column)[rows].tolist()]


def in_order(table: pa.Table) -> bool:
    """Whether a canonical table is in order."""
    runs = series_runs(table)
    if not all(one < other for one, other in pairwise(runs.keys)):
        return False
    starts = bucket_ms(table)
    later = starts[1:] > starts[:-1]
    later[runs.edges[1:-1] - 1] = True
    return bool(later.all())


def ordered(table: pa.Table) -> pa.Table:
    """The rows of a canonical table, sorted."""
    columns: list[npt.NDArray[np.signedinteger]] = [bucket_ms(table), *(codes_of(table.column(name).chunk(0)) for name in reversed(IDENTITY))]
    return table.take(pa.array(np.lexsort(columns)))


def keys_of(tables: Sequence[pa.Table]) -> list[Ints]:
    """For each row of the canonical tables an integer such that, over all of them, integers compare as (series, bucket) does.

    Raises RollupsError if the buckets lie too far apart, by more than 2^63 ms divided by the number of series.
    """
    every_runs = [series_runs(table) for table in tables]
    rank = {key: number for number, key in enumerate(sorted({key for runs in every_runs for key in runs.keys}))}
    starts = [bucket_ms(table) for table in tables]
    low = min((int(one.min()) for one in starts if len(one)), default=0)
    span = max((int(one.max()) for one in starts if len(one)), default=0) - low + 1
    if len(rank) * span >= 1 << 63:
        raise RollupsError(f"comparing buckets of {len(rank)} series: they lie {span // 86_400_000} days apart, so some bucket_start must be wrong")
    return [_keys(runs, rank, start - low, span) for runs, start in zip(every_runs, starts, strict=True)]


def _keys(runs: Runs, rank: dict[Identity, int], offsets: Ints, span: int) -> Ints:
    ranks = np.array([rank[key] for key in runs.keys], np.int64)
    keys: Ints = np.repeat(ranks * span, runs.lengths()) + offsets
    return keys


def sorted_together(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, at least one, sorted and in canonical form; quick if each is sorted."""
    parts = [canonical(table) for table in tables]
    keys, table = np.concatenate(keys_of(parts)), canonical(pa.concat_tables(parts))
    return table if (np.diff(keys) > 0).all() else table.take(pa.array(np.argsort(keys, kind="stable")))


def find(sought: Ints, keys: Ints) -> tuple[Ints, Bools]:
    """For each key of `sought` its row in the increasing `keys`, and whether it is there (if not, the row says nothing)."""
    rows: Ints = np.searchsorted(keys, sought)
    found: Bools = keys.take(rows, mode="clip") == sought if len(keys) else np.zeros(len(sought), bool)
    return rows, found


def pick(table: pa.Table, rows: Ints) -> pa.Table:
    """These rows, given in increasing order; the table itself if they are all of it."""
    return table if len(rows) == table.num_rows else table.take(pa.array(rows))
