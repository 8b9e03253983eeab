"""Parquet files of rollups: written canonically, read whoever wrote them.

The same rows give the same bytes (of one pyarrow version), whatever was stored before: rows in order, dictionaries sorted, row groups of fixed size, nothing
about runs, pandas or machines. Another writer's file of the same layout may have another row order, encoding, column order and width of types, and may lack the
columns that can be null.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.core.canonical import Runs, canonical, in_order, ordered, series_runs
from transforms.core.errors import RefusedError
from transforms.core.model import ROLLUP_SCHEMA
from transforms.core.united import IDENTITY

ROW_GROUP: Final = 1 << 16
"""Rows per row group."""

PARTITION_COLUMNS: Final = ("metric_type", "granularity", "day")
"""Columns that the path tells; in a file they are ignored."""

_ENCODED: Final = (*IDENTITY, "bucket_start", "minutes", "count", "generation")
_SPLIT: Final = tuple(field.name for field in ROLLUP_SCHEMA if pa.types.is_floating(field.type))
_WITH_STATISTICS: Final = ("org", "entity", "name", "bucket_start")


def write_table(table: pa.Table, path: Path) -> None:
    """Write a canonical table in order."""
    _write(table, str(path))


def encode_table(table: pa.Table) -> bytes:
    """The bytes of the file that `write_table` writes."""
    sink = pa.BufferOutputStream()
    _write(table, sink)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _write(table: pa.Table, sink: str | pa.NativeFile) -> None:
    """The file of a canonical table in order.

    1.44 million rows take about a sixth of a CPU second: repetitive columns have dictionaries, statistics are kept where a reader would prune by them, floats
    are split into streams of their first, second, … bytes (BYTE_STREAM_SPLIT, known to pandas, DuckDB, Spark and Athena's Trino). Measured values compress as
    well that way as plain and in half the time; dictionaries of them cost three times the time and save nothing.
    """
    pq.write_table(
        pa.table(table.columns, schema=ROLLUP_SCHEMA),  # read lists name their elements otherwise, and count as equal
        sink,
        row_group_size=ROW_GROUP,
        write_batch_size=ROW_GROUP,
        use_dictionary=list(_ENCODED),
        column_encoding=dict.fromkeys(_SPLIT, "BYTE_STREAM_SPLIT"),
        write_statistics=list(_WITH_STATISTICS),
        compression="snappy",
        version="2.6",
    )


class ShardFile:
    """A file opened for reading, as a context. `source` is an open binary file of that path, else the path is opened; a text as path only names it.

    `names` are its columns. Rows come as the asked part of ROLLUP_SCHEMA, in canonical form. What can't be read is a RefusedError that names file and column.
    """

    def __init__(self, path: Path | str, source: BinaryIO | None = None) -> None:
        """Read the footer."""
        self.path = path
        with _refusing(path):
            self._file = pq.ParquetFile(source or str(path), read_dictionary=list(IDENTITY))
            self.names: list[str] = self._file.schema_arrow.names

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, columns: Sequence[str] = ROLLUP_SCHEMA.names, first: int = 0, end: int | None = None) -> pa.Table:
        """The rows [first, end) of these columns; a missing column that can be null is null."""
        schema = pa.schema([field for field in ROLLUP_SCHEMA if field.name in columns])
        edges = self._edges()
        end = edges[-1] if end is None else end
        groups = [group for group in range(len(edges) - 1) if edges[group] < end and first < edges[group + 1]]
        with _refusing(self.path):
            table = self._file.read_row_groups(groups, columns=[name for name in schema.names if name in self.names])
        start = edges[groups[0]] if groups else 0
        return canonical(_conform(table.slice(first - start, end - first), schema, self.path))

    def _edges(self) -> list[int]:
        """First row of every row group, and the number of rows."""
        sizes = (self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups))
        return [0, *accumulate(sizes)]


@contextmanager
def _refusing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        msg = f"reading rollups from {path}: it can't be read as Parquet ({error}); restore the file or move it out of the store"
        raise RefusedError(msg) from error


def decode_table(encoded: bytes, name: str, columns: Sequence[str] = ROLLUP_SCHEMA.names) -> pa.Table:
    """As `read_table` of a file with these bytes; `name` is what messages call it."""
    return read_table(name, columns, BytesIO(encoded))


def read_table(path: Path | str, columns: Sequence[str] = ROLLUP_SCHEMA.names, source: BinaryIO | None = None) -> pa.Table:
    """All rows of a file (of these columns, which include the sorting ones), canonical and in order, sorted if they are not; `source` as of `ShardFile`.

    Raises RefusedError if it can't be read as rollups, has a column that is not a rollup's, or holds a bucket twice.
    """
    with ShardFile(path, source) as file:
        foreign = sorted({*file.names} - {*ROLLUP_SCHEMA.names, *PARTITION_COLUMNS})
        if foreign:
            msg = f"reading rollups from {path}: column {foreign[0]!r} is not a rollup's, and writing the file would lose it; move it to a table of its own"
            raise RefusedError(msg)
        table = file.rows(columns)
    if in_order(table):
        return table
    table = canonical(ordered(table))
    if not in_order(table):
        msg = f"reading rollups from {path}: it holds a bucket of {_repeated(table)} twice; keep one of the rows"
        raise RefusedError(msg)
    return table


def read_identities(path: Path | str, source: BinaryIO | None = None) -> Runs:
    """The runs of series in a file; `source` as of `ShardFile`."""
    with ShardFile(path, source) as file:
        return series_runs(file.rows(IDENTITY))


def _repeated(table: pa.Table) -> str:
    """Series and start of the first bucket of a sorted table that occurs twice."""
    rows = table.select([*IDENTITY, "bucket_start"])
    same = np.ones(table.num_rows - 1, bool)
    for column in rows.combine_chunks().columns:
        codes = column.chunk(0).indices if pa.types.is_dictionary(column.type) else column.chunk(0).view(pa.int64())
        values = codes.to_numpy()
        same &= values[1:] == values[:-1]
    row = rows.slice(int(np.flatnonzero(same)[0]), 1).to_pylist()[0]
    return f"series {'/'.join(row[name] for name in ('org', 'entity', 'name'))} {row['labels']} at {row['bucket_start']:%Y-%m-%dT%H:%M:%SZ}"


def _conform(table: pa.Table, schema: pa.Schema, path: Path | str) -> pa.Table:
    """The columns of the schema (a part of ROLLUP_SCHEMA) by name.

    A missing one that can be null is null. Raises RefusedError, with file and column, if that can't be.
    """
    if table.schema.equals(schema):
        return table
    return pa.table([_conform_column(table, field, path) for field in schema], schema=schema)


def _conform_column(table: pa.Table, field: pa.Field, path: Path | str) -> pa.ChunkedArray:
    if field.name not in table.column_names and field.nullable:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    if field.name not in table.column_names:
        msg = f"reading rollups from {path}: column {field.name!r} is missing"
        raise RefusedError(msg)
    column = _cast(table.column(field.name), field, path)
    if column.null_count and not field.nullable:
        msg = f"reading rollups from {path}: column {field.name!r} has {column.null_count} nulls, and every row needs a value"
        raise RefusedError(msg)
    return column


def _cast(column: pa.ChunkedArray, field: pa.Field, path: Path | str) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    try:
        return column.cast(pa.string()).dictionary_encode() if pa.types.is_dictionary(field.type) else column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        msg = f"reading rollups from {path}: column {field.name!r} is {column.type} and can't be read as {field.type} ({error})"
        raise RefusedError(msg) from error
