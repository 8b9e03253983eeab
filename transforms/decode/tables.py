"""Tables: Parquet and ORC, as Firehose's record conversion writes postings. Rows are records, columns their fields; `metrics` is a list of structures.

Glue knows columns in lower case only, so that names are compared without case; columns and fields that a posting doesn't know are not read. Texts may be
binary or dictionaries, numbers of any type; a timestamp counts as its seconds. Null stands for a field that is absent, save that a row without `metrics` has no
points.

A table is read in parts that become columns at once; where one is in doubt, each of its rows is written as JSON and read by the strict reader. The `offset` of
a dead letter is the number of its row, from 0, and `raw` the row as JSON. A part that is damaged ends the reading.

An object that would take more memory than the limits is one dead letter: it is refused by what it says itself before anything is read (table_sizes.py), and by
what dictionaries would grow to. What was read is measured, too, part by part: an ORC footer may say less than there is. ORC is read in a process of its own
(orc.py), whose memory and time are limited: a file that ends it is damaged.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from transforms.core.errors import DecodeError
from transforms.core.model import DecodedObject
from transforms.decode import columnar, orc
from transforms.decode.causes import CORRUPT, TOO_MANY, TRUNCATED, UNSUPPORTED_PAYLOAD
from transforms.decode.flat_tables import read_rows
from transforms.decode.framing import frames
from transforms.decode.joining import dead_record
from transforms.decode.payloads import Allowance
from transforms.decode.strict import Columns, Source
from transforms.decode.table_sizes import orc_bytes, parquet_sizes
from transforms.decode.table_values import rows_of
from transforms.decode.unpacked import TooMuch, UnpackLimits

_LARGE_ROWS: Final = 4096
_SMALL_ROWS: Final = 256
"""The columnar path reads parts of the first size; where one is in doubt, of the second."""

_NUMBER_BYTES: Final = 8
_MAGIC: Final = {"parquet": b"PAR1", "orc": b"ORC"}
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_METRICS: Final = "metrics"


def read_table(body: bytes, container: str, source: Source, allowance: Allowance, limits: UnpackLimits) -> list[DecodedObject]:
    """What the file holds; last, what is wrong with it. If it is larger than the limits, that is all there is."""
    parts: list[DecodedObject] = []
    reader = _Reader(source, allowance, limits, limits.room(len(body)))
    try:
        for batch in reader.batches(body, container):
            if allowance.letters <= 0:
                parts.append(dead_record(source.key, reader.rows, DecodeError(TOO_MANY, f"the rows from {reader.rows} on are left"), b""))
                break
            parts.extend(reader.read(batch))
    except TooMuch as error:
        return [dead_record(source.key, 0, error, b"")]
    except (pa.ArrowException, OSError, ValueError) as error:
        is_cut = not body.endswith(_MAGIC[container]) and not parts and container == "parquet"
        problem = DecodeError(TRUNCATED if is_cut else CORRUPT, f"{container} after row {reader.rows}: {error}")
        parts.append(dead_record(source.key, reader.rows, problem, b""))
    return parts


class _Reader:
    """Reads one file; `rows` were read so far."""

    def __init__(self, source: Source, allowance: Allowance, limits: UnpackLimits, room: int) -> None:
        self._source = source
        self._allowance = allowance
        self._limits = limits
        self._room = room
        self._left = room
        self.rows = 0

    def batches(self, body: bytes, container: str) -> Iterator[pa.RecordBatch]:
        """The rows in their order, in parts."""
        if container == "parquet":
            yield from self._of_row_groups(body, pa.BufferReader(body))
            return
        try:
            for batch in orc.stripes(body, self._room, self._check_orc):
                for start in range(0, batch.num_rows, _LARGE_ROWS):
                    yield batch.slice(start, _LARGE_ROWS)
        except orc.OutOfRoom:
            raise self._too_much() from None

    def _check_orc(self, rows: int, tail: bytes) -> None:
        """Raise `TooMuch` if the footer says that the file takes too much memory."""
        self._require_room(max(rows * _NUMBER_BYTES, orc_bytes(tail)))

    def _of_row_groups(self, body: bytes, data: pa.BufferReader) -> Iterator[pa.RecordBatch]:
        """Texts are read as dictionaries, so that those that repeat are measured before they are written out; those in delta encodings can't be."""
        metadata = pyarrow.parquet.read_metadata(data)
        self._check_parquet(metadata)
        sizes = parquet_sizes(body)
        self._require_room(sizes.value_bytes)
        columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
        # A batch of two row groups would have two dictionaries, which Arrow can't put together within lists.
        for group, deltas in zip(range(metadata.num_row_groups), sizes.delta_columns, strict=True):
            texts = [one.path for place, one in enumerate(columns) if one.physical_type == "BYTE_ARRAY" and place not in deltas]
            file = pyarrow.parquet.ParquetFile(data, metadata=metadata, read_dictionary=texts)
            yield from file.iter_batches(_LARGE_ROWS, row_groups=[group], use_threads=False)

    def _check_parquet(self, metadata: pyarrow.parquet.FileMetaData) -> None:
        """Raise `TooMuch` if the footer says that the file takes too much memory.

        The row groups' column chunks are not asked: damaged metadata of theirs abort the process (pyarrow 25).
        """
        sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        self._require_room(sum(max(0, size) for size in sizes) + _NUMBER_BYTES * metadata.num_rows * metadata.num_columns)

    def _require_room(self, size: int) -> None:
        if size > self._left:
            raise self._too_much()

    def _too_much(self) -> TooMuch:
        error = self._limits.exceeded(self._room)
        return TooMuch(error.cause, error.detail)

    def read(self, batch: pa.RecordBatch) -> Iterator[DecodedObject]:
        """What the rows hold."""
        self._take_room(batch.columns)
        if not _holds_postings(batch.schema):
            yield from [read_rows(batch, self.rows, self._source)] if self._source.flat else self._unsupported(batch)
        elif part := self._columnar(_postings(batch)):
            yield part
        else:
            for start in range(0, batch.num_rows, _SMALL_ROWS):
                postings = _postings(batch.slice(start, _SMALL_ROWS))
                yield self._columnar(postings) or self._strict(postings, self.rows + start)
        self.rows += batch.num_rows

    def _take_room(self, columns: list[pa.Array]) -> None:
        size = sum(map(_size, columns))
        self._require_room(size)
        self._left -= size

    def _columnar(self, postings: pa.RecordBatch) -> DecodedObject | None:
        if not postings.schema.equals(columnar.TYPED):
            return None
        try:
            return columnar.read_columns(postings, self._source)
        except DecodeError:
            return None

    def _strict(self, postings: pa.RecordBatch, first_row: int) -> DecodedObject:
        columns = Columns(self._source)
        for columns.offset, row in enumerate(rows_of(postings), first_row):
            text = _as_json(row)
            for frame in frames(text, 0, len(text), self._source.max_record_bytes):
                columns.add_record(frame, text)
        decoded = columns.decoded()
        self._allowance.letters -= len(decoded.dead_letters)
        return decoded

    def _unsupported(self, batch: pa.RecordBatch) -> Iterator[DecodedObject]:
        plain = pa.RecordBatch.from_arrays([_plain(column) for column in batch.columns], names=batch.schema.names)
        problem = DecodeError(UNSUPPORTED_PAYLOAD, f"a row of {', '.join(batch.schema.names)}")
        for number, row in enumerate(rows_of(plain), self.rows):
            self._allowance.letters -= 1
            yield dead_record(self._source.key, number, problem, _as_json(row))


def _as_json(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), default=_as_text).encode()


def _as_text(value: object) -> str:
    """Bytes that are no UTF-8 become lone surrogates, which no text may contain."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _holds_postings(schema: pa.Schema) -> bool:
    kinds = [field.type for field in schema if field.name.lower() == _METRICS]
    if {"type", "otlp"} <= {field.name.lower() for field in schema}:
        return True
    return bool(kinds) and _is_list(kinds[0]) and bool(pa.types.is_struct(kinds[0].value_type))


def _postings(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of a posting's fields."""
    columns = {name.lower(): column for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return pa.RecordBatch.from_pydict({name: _column(columns, name, batch.num_rows) for name in columnar.TYPED.names})


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _size(column: pa.Array) -> int:
    """Bytes of the column once its dictionaries are written out."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary)
        return int(pc.sum(lengths.take(column.indices)).as_py() or 0) + _NUMBER_BYTES * len(column)
    if _is_list(column.type):
        return _size(column.flatten()) + _NUMBER_BYTES * len(column)
    if pa.types.is_struct(column.type):
        return sum(map(_size, column.flatten()))
    return int(column.nbytes)


def _column(columns: dict[str, pa.Array], name: str, rows: int) -> pa.Array:
    """The column of a posting's field, of the type in TYPED if it can be."""
    kind = columnar.TYPED.field(name).type
    column = columns.get(name.lower())
    if column is None:
        return pa.nulls(rows, kind)
    return _fitted(column, kind, null_is_empty=name == _METRICS)


def _fitted(column: pa.Array, kind: pa.DataType, *, null_is_empty: bool = False) -> pa.Array:
    if pa.types.is_list(kind) and _is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        values = _fitted(column.flatten(), kind.value_type)
        mask = None if null_is_empty or column.null_count == 0 else column.is_null()
        return pa.ListArray.from_arrays(offsets, values, mask=mask)
    if pa.types.is_struct(kind) and pa.types.is_struct(column.type):
        fields = {field.name.lower(): values for field, values in zip(column.type, column.flatten(), strict=True)}
        present = [fields[field.name.lower()] if field.name.lower() in fields else pa.nulls(len(column), field.type) for field in kind]
        fitted = [_fitted(values, field.type) for values, field in zip(present, kind, strict=True)]
        return pa.StructArray.from_arrays(fitted, [field.name for field in kind], mask=column.is_null() if column.null_count else None)
    plain = _plain(column)
    return _numbers(plain) if pa.types.is_float64(kind) else plain


def _plain(column: pa.Array) -> pa.Array:
    """Texts as strings, as binary if they are no UTF-8; other columns as they are."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return column
    raw = (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).cast(pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        return raw


def _numbers(column: pa.Array) -> pa.Array:
    """Numbers as the nearest float64, timestamps as seconds; anything else as it is, to be looked at row by row."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), float(_UNITS[kind.unit]))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    return column
