"""Rollups as rows of a SQLite store, and back: columns at once, nothing per row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.canonical import Identity, bucket_ms, canonical, one_chunk, pick, series_runs
from transforms.core.errors import RollupsError
from transforms.core.granularity import DAY_S, MINUTE_S, WIDTH_S, Range
from transforms.core.model import ROLLUP_SCHEMA, Bools, Floats, Ints
from transforms.core.united import IDENTITY
from transforms.stores.sqlite_database import Connection
from transforms.stores.sqlite_schema import FULL, GAUGE, MINUTES, SAME, SHAPES, Shape

PIECE_ROWS: Final = 1 << 20
"""Rows fetched at once, at most, unless a series has more in a day."""

_MINUTE_MS: Final = MINUTE_S * 1000


class SeriesDays(NamedTuple):
    """Rows of the table `series` in the order of their identity, then day.

    `identity`: the IDENTITY columns as dictionaries, sorted. `group`: increasing; equal for rows of one series and day, which differ in shard.
    """

    ids: Ints
    day_s: Ints
    identity: Mapping[str, pa.DictionaryArray]
    group: Ints

    def some(self, first: int, end: int) -> "SeriesDays":
        """The rows [first, end)."""
        part = {name: column[first:end] for name, column in self.identity.items()}
        return SeriesDays(self.ids[first:end], self.day_s[first:end], part, self.group[first:end])

    def pieces(self, width_s: int) -> Iterator["SeriesDays"]:
        """All rows in stretches that have at most PIECE_ROWS buckets of that width, or one group."""
        size = max(1, PIECE_ROWS // (DAY_S // width_s))
        first = 0
        while first < len(self.ids):
            end = min(first + size, len(self.ids))
            while end < len(self.ids) and self.group[end] == self.group[end - 1]:
                end += 1
            yield self.some(first, end)
            first = end


def series_days(table: pa.Table) -> SeriesDays:
    """Of a table with the columns id, day and IDENTITY, in that order."""
    days: pa.DictionaryArray = pc.dictionary_encode(one_chunk(table.column("day").cast(pa.string())))
    starts = np.array([_day_s(day) for day in days.dictionary.to_pylist()], np.int64)
    codes = [days.indices.to_numpy()]
    identity = {}
    for name in IDENTITY:
        column = pa.table({name: pc.dictionary_encode(one_chunk(table.column(name).cast(pa.string())))})
        identity[name] = canonical(column).column(0).chunk(0)
        codes.append(identity[name].indices.to_numpy())
    changes = np.zeros(table.num_rows, bool)
    for one in codes:
        changes[1:] |= one[1:] != one[:-1]
    return SeriesDays(one_chunk(table.column("id").cast(pa.int64())).to_numpy(), starts.take(codes[0]), identity, np.cumsum(changes))


def _day_s(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def fetch(
    connection: Connection, granularity: str, series: SeriesDays, columns: Sequence[str] = ROLLUP_SCHEMA.names, hull: Range | None = None
) -> Iterator[pa.Table]:
    """The rows of these series, canonical, in pieces that follow each other in their order. With a hull those that overlap it, and perhaps others."""
    schema = pa.schema([field for field in ROLLUP_SCHEMA if field.name in {*columns}])
    for piece in series.pieces(WIDTH_S[granularity]):
        stretches = _stretches(piece, WIDTH_S[granularity], hull)
        parts = [_fetched(connection, shape, granularity, stretches, schema) for shape in SHAPES]
        filled = [part for part in parts if len(part[0])] or parts[:1]  # what lies in one table is not copied
        yield _with_series(np.concatenate([ids for ids, _ in filled]), pa.concat_tables([rest for _, rest in filled]), piece, schema)


def _stretches(series: SeriesDays, width_s: int, hull: Range | None) -> str:
    """Ids [first, end) of each row of `series`, as JSON."""
    first, end = np.zeros(len(series.ids), np.int64), np.full(len(series.ids), MINUTES)
    if hull:
        first = np.clip((hull[0] - width_s - series.day_s) // MINUTE_S, 0, MINUTES)
        end = np.clip(-((series.day_s - hull[1]) // MINUTE_S), 0, MINUTES)
    return json.dumps(np.stack([first, end], 1).__add__(series.ids[:, None] * MINUTES).tolist())


def _fetched(connection: Connection, shape: Shape, granularity: str, stretches: str, schema: pa.Schema) -> tuple[Ints, pa.Table]:
    """Ids, and the columns of the schema that the table of that shape has or knows."""
    named = [field for field in schema if field.name not in {*IDENTITY, "bucket_start"}]
    asked = sorted({shape.stored(field.name) for field in named} & {*shape.columns})
    sql = (
        f"SELECT {', '.join(f'one.{name}' for name in ('id', *asked))} FROM json_each(?) AS stretch "
        f"CROSS JOIN {shape.table(granularity)} AS one ON one.id >= stretch.value ->> 0 AND one.id < stretch.value ->> 1"
    )
    rows = connection.fetch(sql, [stretches])
    columns = [_column(rows, shape.stored(field.name), field) for field in named]
    return one_chunk(rows.column("id")).to_numpy(), pa.table(columns, schema=pa.schema(named))


def _column(rows: pa.Table, stored: str, field: pa.Field) -> pa.Array:
    if stored == "NULL":
        return pa.nulls(rows.num_rows, field.type)
    if stored == "1":
        return pa.array(np.ones(rows.num_rows, np.int64)).cast(field.type)
    column = one_chunk(rows.column(stored))
    if column.null_count == len(column):  # of no known type
        return pa.nulls(len(column), field.type)
    if pa.types.is_list(field.type):
        return _lists(column, field.type)
    return column.view(field.type) if pa.types.is_timestamp(field.type) else column.cast(field.type)


def _lists(blobs: pa.Array, kind: pa.DataType) -> pa.Array:
    """Arrays of 8-byte numbers as lists."""
    valid = blobs.is_valid()
    _, offsets, values = (known := blobs.drop_null()).buffers()  # what stands for a null may have bytes
    edges = np.frombuffer(offsets, np.int32)[known.offset : known.offset + len(known) + 1] // 8
    numbers = pa.Array.from_buffers(kind.value_type, int(edges[-1]), [None, values])
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(valid.to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(edges[places]), numbers, type=kind, mask=pc.invert(valid))


def _with_series(ids: Ints, rest: pa.Table, series: SeriesDays, schema: pa.Schema) -> pa.Table:
    """The rows with the columns that their ids tell, in order."""
    by_id = np.argsort(series.ids)
    owner, minute = np.divmod(ids, MINUTES)
    place = by_id[np.searchsorted(series.ids, owner, sorter=by_id)]
    rank = series.group[place] * MINUTES + minute
    columns = {name: rest.column(name) for name in rest.column_names}
    if (np.diff(rank) < 0).any():
        order = np.argsort(rank, kind="stable")
        columns = {name: column.take(pa.array(order)) for name, column in columns.items()}
        place, minute = place[order], minute[order]
    for name in {*IDENTITY} & {*schema.names}:
        column = series.identity[name]
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(column.indices.to_numpy()[place]), column.dictionary)
    columns["bucket_start"] = pa.array((series.day_s[place] + minute * MINUTE_S) * 1000).view(ROLLUP_SCHEMA.field("bucket_start").type)
    return canonical(pa.table([columns[name] for name in schema.names], schema=schema))


def ids_of(table: pa.Table, series: Mapping[Identity, int]) -> Ints:
    """The id of each row of a canonical table in order, by the ids of its series on that day. Raises RollupsError for a bucket that begins within a minute."""
    runs = series_runs(table)
    starts = bucket_ms(table)
    if (starts % _MINUTE_MS).any():
        raise RollupsError(f"a rollup begins {int((starts % _MINUTE_MS).max())} ms after its minute: buckets are whole minutes")
    owners = np.repeat(np.array([series[key] for key in runs.keys], np.int64), runs.lengths())
    ids: Ints = owners * MINUTES + starts // _MINUTE_MS % MINUTES
    return ids


def shapes_of(table: pa.Table) -> npt.NDArray[np.int8]:
    """The place in SHAPES of the first shape that can hold each row."""
    full = np.zeros(table.num_rows, bool)
    for name in {*FULL.columns} - {*GAUGE.columns}:
        full |= _valid(table.column(name))
    one_value = _equal(table.column("minutes"), 1) & _equal(table.column("count"), 1) & _valid(table.column("sum"))
    for name in SAME[1:]:
        one_value &= _valid(table.column(name))
        one_value &= _bits(table.column(name)) == _bits(table.column("sum"))
    shapes: npt.NDArray[np.int8] = np.where(full, 2, np.where(one_value, 0, 1)).astype(np.int8)
    return shapes


def _valid(column: pa.ChunkedArray) -> Bools:
    if column.null_count in {0, len(column)}:
        return np.full(len(column), not column.null_count)
    valid: Bools = one_chunk(column).is_valid().to_numpy(zero_copy_only=False)
    return valid


def _equal(column: pa.ChunkedArray, number: int) -> Bools:
    equal: Bools = pc.fill_null(one_chunk(column), 0).to_numpy() == number
    return equal


def _bits(column: pa.ChunkedArray) -> Ints:
    values: Floats = pc.fill_null(one_chunk(column), 0.0).to_numpy()
    return values.view(np.int64)


def parameters(table: pa.Table, ids: Ints, rows: Ints, shape: Shape) -> pa.Table:
    """These rows, with these ids of all rows, for the table of that shape."""
    named = ["sum" if name == "value" else name for name in shape.columns]
    picked = pick(table.select(named), rows)
    return pa.table([pa.array(ids[rows]), *(_parameter(one_chunk(column)) for column in picked.columns)], names=["id", *shape.columns])


def _parameter(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return _blobs(column)
    return column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _blobs(lists: pa.Array) -> pa.Array:
    """Lists of 8-byte numbers as their bytes."""
    flat = lists.flatten()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    edges = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths * 8, dtype=np.int32)])
    values = pa.py_buffer(np.ascontiguousarray(flat.to_numpy(zero_copy_only=False)))
    valid = np.packbits(_valid(pa.chunked_array([lists])), bitorder="little")
    return pa.Array.from_buffers(pa.binary(), len(lists), [pa.py_buffer(valid), pa.py_buffer(edges), values])
