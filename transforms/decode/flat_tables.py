"""Flat rows that are columns already: a Parquet or ORC file's rows, or any Arrow table.

A batch of rows becomes columns at once if every row of it is sure to be good, else it is read row by row by the rules of flat.py; both say the same. Timestamp
columns have a unit of their own; dates count as midnight UTC, decimals as the nearest float64. Every row is a record; in dead letters the offset is the row's
number and `raw` the row as JSON.
"""

import json
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.errors import DecodeError
from transforms.core.flat import CONSTANT, UNITS, FlatMapping
from transforms.core.model import Bools, DecodedObject, DecodeTally, Ints, Points, Postings, labels_text
from transforms.decode.collecting import Collected, Record
from transforms.decode.flat import NO_FIELD, TYPES, read_row
from transforms.decode.grouping import first_appearances
from transforms.decode.joining import NOTHING, joined
from transforms.decode.otlp_labels import dense
from transforms.decode.scalars import EXACT_BELOW, TIME_FROM_S, TIME_TO_S
from transforms.decode.strict import Source
from transforms.decode.table_values import values_of

BATCH_ROWS: Final = 1 << 14

_TEXT: Final = pa.string()
_US_PER_S: Final = 1_000_000
_CLOCK: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_OFFSET: Final = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"


class Doubt(Exception):
    """The batch must be read row by row."""


def read_table(table: pa.Table, source: Source) -> DecodedObject:
    """All rows of a table, by `source.flat`."""
    firsts = range(0, table.num_rows, BATCH_ROWS)
    batches = [table.slice(first, BATCH_ROWS).combine_chunks().to_batches() for first in firsts]
    return joined([NOTHING, *(read_rows(batch[0], first, source) for batch, first in zip(batches, firsts, strict=True))])


def read_rows(batch: pa.RecordBatch, first_row: int, source: Source) -> DecodedObject:
    """Rows by `source.flat`, which must be there; `first_row` is the number of the first."""
    mapping = source.flat
    assert mapping is not None  # noqa: S101 - the caller looked
    own = {name: _plain(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    inner = {field: found for field in mapping.field_names if field not in own and (found := _inner(own, field))}
    columns = own | {field: found.column for field, found in inner.items()}
    if mapping.time in columns and pa.types.is_timestamp(columns[mapping.time].type):
        columns[mapping.time] = _microseconds(columns[mapping.time])
        mapping = replace(mapping, time_unit="us")
    has_value = inner[mapping.value].is_there if mapping.value in inner else np.full(batch.num_rows, mapping.value in own)
    try:
        _require(not any(_leads_through_map(own, field) for field in mapping.field_names))
        return read_columns(columns, np.full(batch.num_rows, source.arrival_us, np.int64), mapping, source, has_value=has_value)
    except (Doubt, pa.ArrowInvalid):
        are_there = {field: found.is_there for field, found in inner.items()}
        return _one_by_one(columns, are_there, batch.num_rows, first_row, mapping, source)


class _Inner(NamedTuple):
    """A field of structures, and which rows have it: those whose structures are not null."""

    column: pa.Array
    is_there: Bools


def _inner(columns: dict[str, pa.Array], field: str) -> _Inner | None:
    """The field that names with dots between them lead to; None if there is none."""
    first, *names = field.split(".")
    column, is_there = columns.get(first), np.ones(0, np.bool_)
    for name in names:
        if column is None or not pa.types.is_struct(column.type) or [one.name for one in column.type].count(name) != 1:
            return None
        is_valid = column.is_valid().to_numpy(zero_copy_only=False)
        is_there = is_valid & is_there if len(is_there) else is_valid
        column = _plain(column.flatten()[column.type.get_field_index(name)])
    return None if column is None else _Inner(column, is_there)


def _leads_through_map(columns: dict[str, pa.Array], field: str) -> bool:
    first, *names = field.split(".")
    return bool(names) and field not in columns and first in columns and bool(pa.types.is_map(columns[first].type))


def read_columns(
    columns: dict[str, pa.Array], arrivals: Ints, mapping: FlatMapping, source: Source, *, has_value: Bools | None, lengths: Ints | None = None
) -> DecodedObject:
    """Rows of records with their arrivals by the mapping; `lengths` are the rows of each record, one if not given.

    `has_value` are the rows that have the field of the value, perhaps null; None if all do. Raises Doubt, or Arrow's own error, unless every row is good.
    """
    return _Columns(columns, arrivals, mapping, source, np.ones(len(arrivals), np.int64) if lengths is None else lengths).decoded(has_value)


def _plain(column: pa.Array) -> pa.Array:
    """Without dictionaries, views and large offsets; dates as timestamps, decimals as floats; texts that are not UTF-8 stay binary."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return column.cast(_TEXT)
        except pa.ArrowInvalid:
            return column
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("s")) if pa.types.is_date32(kind) else column.cast(pa.timestamp("ms"))
    return column.cast(pa.float64()) if pa.types.is_decimal(kind) else column


def _microseconds(column: pa.Array) -> pa.Array:
    """Timestamps as whole microseconds, floored; null for what has none in 64 bits."""
    per_s = UNITS[column.type.unit]
    numbers = column.cast(pa.int64())
    values = numbers.fill_null(0).to_numpy()
    limit = (1 << 62) // max(1, _US_PER_S // per_s)
    is_far = (values > limit) | (values < -limit) if per_s <= _US_PER_S else np.zeros(len(values), np.bool_)
    floored = values // (per_s // _US_PER_S) if per_s > _US_PER_S else np.where(is_far, 0, values) * (_US_PER_S // per_s)
    return pa.array(floored, mask=is_far | numbers.is_null().to_numpy(zero_copy_only=False))


class _Columns:
    """A batch of which every row must be good."""

    def __init__(self, columns: dict[str, pa.Array], arrivals: Ints, mapping: FlatMapping, source: Source, lengths: Ints) -> None:
        self._columns, self._arrivals, self._mapping, self._source, self._lengths = columns, arrivals, mapping, source, lengths
        self._rows = int(lengths.sum())

    def decoded(self, has_value: Bools | None) -> DecodedObject:
        mapping, records = self._mapping, len(self._lengths)
        org = self._text(mapping.org, self._source.org)
        metric_type = self._text(mapping.type, "labeled")
        _require(set(metric_type.unique().to_pylist()) <= set(TYPES))
        is_labeled = pc.equal(metric_type, "labeled")
        entity = self._text(mapping.entity, "")
        given = self._given(mapping.entity)
        _require(pc.all(pc.or_(is_labeled, given)).as_py() is not False)
        name = self._text(mapping.name, None)
        labels = self._labels()
        time_us = self._time_us()
        value, is_null = self._value()
        is_kept = np.isfinite(value) & ~is_null
        types = metric_type.to_numpy(zero_copy_only=False)
        postings, posting = self._postings(metric_type, org, entity)
        kept = pa.array(np.flatnonzero(is_kept))
        points = Points(
            posting[is_kept],
            name.take(kept).dictionary_encode(),
            time_us[is_kept] // _US_PER_S,
            value[is_kept],
            labels=labels.take(kept),
            kind=np.zeros(len(kept), np.int8),
            start_us=np.zeros(len(kept), np.int64),
            time_us=time_us[is_kept],
        )
        is_absent = np.zeros(self._rows, np.bool_) if has_value is None else ~has_value
        reasons = {NO_FIELD: is_absent, "null": is_null & ~is_absent, "nan": np.isnan(value) & ~is_null, "infinite": np.isinf(value) & ~is_null}
        tally = DecodeTally(
            records=records,
            decoded_records=records,
            points=_by_type(types),
            dropped={reason: _by_type(types[is_one]) for reason, is_one in reasons.items() if is_one.any()},
            inexact=_by_type(types[is_kept & (np.abs(value) >= EXACT_BELOW)]),
        )
        return DecodedObject(postings, points, tally, ())

    def _given(self, field: str) -> pa.Array:
        if field.startswith(CONSTANT):
            return pa.repeat(pa.scalar(value=True), self._rows)
        column = self._columns.get(field)
        return pa.repeat(pa.scalar(value=False), self._rows) if column is None else column.is_valid()

    def _text(self, field: str, default: str | None) -> pa.Array:
        """A column of texts, the default where there is none; without a default every row must have one."""
        if field.startswith(CONSTANT):
            return pa.repeat(pa.scalar(field.removeprefix(CONSTANT), _TEXT), self._rows)
        column = self._columns.get(field)
        if column is None or pa.types.is_null(column.type):
            _require(default is not None)
            return pa.repeat(pa.scalar(default, _TEXT), self._rows)
        _require(column.type == _TEXT and (default is not None or column.null_count == 0))
        column.validate(full=True)
        return column if default is None else column.fill_null(default)

    def _labels(self) -> pa.DictionaryArray:
        if isinstance(self._mapping.labels, str):
            fields = self._structure(self._mapping.labels)
        else:
            fields = {name: self._columns[name] for name in self._mapping.label_fields if name in self._columns}
        return label_column(fields, self._rows)

    def _structure(self, field: str) -> dict[str, pa.Array]:
        """The fields of a column of structures."""
        _require(not field.startswith(CONSTANT))
        return structure(self._columns.get(field))

    def _number(self, field: str) -> pa.Array:
        _require(field in self._columns)
        column = self._columns[field]
        _require(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        return column

    def _time_us(self) -> Ints:
        written = self._columns.get(self._mapping.time)
        if written is not None and written.type == _TEXT:
            return _iso_us(written)
        column, per_s = self._number(self._mapping.time), UNITS[self._mapping.time_unit]
        _require(column.null_count == 0 and column.type != pa.uint64())
        values = (column.cast(pa.int64()) if pa.types.is_integer(column.type) else column.cast(pa.float64())).to_numpy()
        _require(bool(((values >= TIME_FROM_S * per_s) & (values < TIME_TO_S * per_s)).all()))
        if pa.types.is_integer(column.type):
            exact: Ints = values * (_US_PER_S // per_s) if per_s <= _US_PER_S else values // (per_s // _US_PER_S)
            return exact
        floored: Ints = np.floor(values * (_US_PER_S / per_s)).astype(np.int64)
        return floored

    def _value(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        column = self._columns.get(self._mapping.value)
        if (column is None and not self._mapping.value.startswith(CONSTANT)) or (column is not None and pa.types.is_null(column.type)):
            return np.zeros(self._rows), np.ones(self._rows, np.bool_)
        column = self._number(self._mapping.value)
        is_null = column.is_null().to_numpy(zero_copy_only=False)
        return column.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(), is_null

    def _postings(self, *parts: pa.Array) -> tuple[Postings, npt.NDArray[np.int32]]:
        """A posting for each record and identity, in the order in which they first appear, and the posting of each row."""
        record = np.repeat(np.arange(len(self._lengths)), self._lengths)
        at, posting = np.arange(self._rows), np.arange(self._rows, dtype=np.int32)
        if self._rows > len(np.unique(record)):
            identity, number = np.zeros(self._rows, np.int64), 1
            for part in parts:
                encoded = part.dictionary_encode()
                present, place = dense(identity * len(encoded.dictionary) + encoded.indices.to_numpy(), number * len(encoded.dictionary))
                identity, number = place.astype(np.int64), len(present)
            at, posting = first_appearances(record * number + identity)
            parts = tuple(part.take(pa.array(at)) for part in parts)
        types, orgs, entities = parts
        return Postings(types, orgs, entities, pa.nulls(len(at), pa.list_(_TEXT)), self._arrivals[record[at]]), posting


def _iso_us(column: pa.StringArray) -> Ints:
    """Times of ISO 8601 to the second, all with an offset or all without. Raises Doubt for what is written in any other way (flat.iso_us reads more)."""
    _require(column.null_count == 0)
    is_zoned = pc.all(pc.match_substring_regex(column, _CLOCK + _OFFSET)).as_py()
    _require(is_zoned or pc.all(pc.match_substring_regex(column, _CLOCK + "$")).as_py())
    time_us: Ints = column.cast(pa.timestamp("us", "UTC" if is_zoned else None)).cast(pa.int64()).to_numpy()
    _require(bool(((time_us >= TIME_FROM_S * _US_PER_S) & (time_us < TIME_TO_S * _US_PER_S)).all()))
    return time_us


def label_column(fields: dict[str, pa.Array], rows: int) -> pa.DictionaryArray:
    """The labels that columns of texts are, by their names; null is none. Raises Doubt for a column of anything else."""
    code: Ints = np.zeros(rows, np.int64)
    distinct: list[tuple[tuple[str, str], ...]] = [()]
    for name, column in fields.items():
        if pa.types.is_null(column.type):
            continue
        _require(column.type == _TEXT)
        column.validate(full=True)
        encoded = column.dictionary_encode(null_encoding="encode")
        texts = encoded.dictionary.to_pylist()
        present, place = dense(code * len(texts) + encoded.indices.to_numpy(), len(distinct) * max(1, len(texts)))
        before = distinct
        distinct = [(*before[one // len(texts)], *_pair(name, texts[one % len(texts)])) for one in present.tolist()]
        code = place.astype(np.int64)
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array([labels_text(one) for one in distinct], _TEXT))


def structure(column: pa.Array | None) -> dict[str, pa.Array]:
    """The fields of a column of structures, none of a column of nulls. Raises Doubt for anything else."""
    if column is None or pa.types.is_null(column.type):
        return {}
    _require(pa.types.is_struct(column.type) and len({one.name for one in column.type}) == column.type.num_fields)
    return {one.name: _plain(values) for one, values in zip(column.type, column.flatten(), strict=True)}


def _require(condition: object) -> None:
    if not condition:
        raise Doubt


def _pair(name: str, text: str | None) -> tuple[tuple[str, str], ...]:
    return () if text is None else ((name, text),)


def _by_type(types: npt.NDArray[Any]) -> dict[str, int]:
    names, counts = np.unique(types.astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _one_by_one(columns: dict[str, pa.Array], are_there: dict[str, Bools], rows: int, first_row: int, mapping: FlatMapping, source: Source) -> DecodedObject:
    """`are_there` are the columns that are fields of others, and which rows have them."""
    values = {name: values_of(column) for name, column in columns.items()}
    maps = [name for name, column in columns.items() if pa.types.is_map(column.type)]
    collected = Collected()
    for place in range(rows):
        row = {name: _value(column[place]) for name, column in values.items()}
        row |= {name: None if row[name] is None else dict(row[name]) for name in maps}
        own = {name: value for name, value in row.items() if name not in are_there}
        row = own | {name: row[name] for name, is_there in are_there.items() if is_there[place]}
        collected.add_record(place, source.key, first_row + place, _record(row, own, mapping, source))
    return collected.part().decoded


def _record(row: dict[str, Any], own: dict[str, Any], mapping: FlatMapping, source: Source) -> Record:
    record = Record()
    try:
        identity, found = read_row(row, mapping, source.org)
    except DecodeError as error:
        record.bury(error, json.dumps(own, separators=(",", ":"), default=str).encode())
    else:
        record.rows.append((record.add_posting(*identity, source.arrival_us), found))
    return record


def _value(value: Any) -> Any:  # noqa: ANN401 - any column's
    """Bytes that are no UTF-8 become lone surrogates, which no text may contain."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
