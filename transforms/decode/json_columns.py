"""Flat rows and CloudWatch's records in JSON as columns at once, by msgspec's parser; the strict readers have the word where anything is unusual."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from transforms.core.bounds import shared
from transforms.core.errors import DecodeError
from transforms.core.flat import FlatMapping
from transforms.core.model import HISTOGRAM, DecodedObject, DecodeTally, Floats, Ints, Points, Postings
from transforms.decode.cloudwatch import PLACE
from transforms.decode.flat import reached
from transforms.decode.flat_tables import Doubt, label_column, read_columns, structure
from transforms.decode.framing import MAX_DEPTH, are_too_deep
from transforms.decode.otlp_rules import HISTOGRAM as HISTOGRAM_KIND
from transforms.decode.proof import DOUBT
from transforms.decode.scalars import TIME_FROM_S, TIME_TO_S
from transforms.decode.strict import Source

_STREAM: Final = "metric_stream_name"
_OTHERS: Final = frozenset(
    (
        "resourceMetrics",
        "metrics",
        "otlp",
        _STREAM,
        "Records",
        "records",
        "kinesis",
        "kinesisRecordMetadata",
        "recordId",
        "approximateArrivalTimestamp",
        "rawData",
    )
)
"""Fields that might make something else of an object than a flat row."""

_OBJECTS: Final = msgspec.json.Decoder(dict[str, Any])
_ARRAYS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_TEXT: Final = pa.string()
_NUMBERS: Final = ("count", "sum", "min", "max")
_HEAD_BYTES: Final = 4096
_KNOWN_DEPTH: Final = 3
"""Of a row's object in an array."""


def is_cloudwatch(text: bytes) -> bool:
    """Whether the first record seems to be one of a metric stream."""
    return f'"{_STREAM}"'.encode() in text[:_HEAD_BYTES]


def read(text: bytes, arrivals: Ints, source: Source) -> DecodedObject:
    """Decode a text of as many valid JSON records as there are arrivals. Raises DecodeError unless sure that the strict readers would say the same."""
    try:
        if source.flat and text[:_HEAD_BYTES].lstrip().startswith(b"["):
            return _flat_arrays(text, arrivals, source.flat, source)
        rows = _OBJECTS.decode_lines(text)
        _require(len(rows) == len(arrivals))
        if source.flat and not is_cloudwatch(text):
            _require_simple(text, rows, _holders(source.flat), arrays=0)
            _require(not _OTHERS & set().union(*rows) and all(rows))
            return _flat(rows, arrivals, source.flat, source)
        _require_simple(text, rows, ("dimensions", "value"), arrays=0)
        return _cloudwatch(rows, arrivals, source)
    except (Doubt, pa.ArrowException, msgspec.DecodeError, RecursionError, OverflowError, TypeError, ValueError) as error:
        raise DecodeError(DOUBT, str(error)[:80]) from error


def _require(condition: object) -> None:
    if not condition:
        raise Doubt


def _require_simple(text: bytes, rows: list[dict[str, Any]], fields: Iterable[str], *, arrays: int) -> None:
    """No arrays but these, and no objects but rows and what these fields hold, or none nested too deep."""
    _require(text.count(b"[") == arrays)
    unknown = text.count(b"{") - len(rows) - (MAX_DEPTH - _KNOWN_DEPTH)
    if unknown > 0:
        known = sum([type(row.get(name)) for row in rows].count(dict) for name in fields)
        _require(unknown <= known or not are_too_deep(text))


def _holders(mapping: FlatMapping) -> set[str]:
    """Fields of rows that may hold objects."""
    return {name.partition(".")[0] for name in mapping.field_names}


def _column(rows: list[dict[str, Any]], name: str) -> pa.Array:
    return _array([row.get(name) for row in rows])


def _field(rows: list[dict[str, Any]], field: str) -> pa.Array:
    return _array([reached(row, field)[1] for row in rows]) if "." in field else _column(rows, field)


def _array(values: list[Any]) -> pa.Array:
    """A column of values of one type; texts with any number or truth value among them are a doubt."""
    kinds = set(map(type, values))
    _require(len(kinds - {type(None), int, float}) <= 1 and bool not in kinds)
    return pa.array(values)


def _flat_arrays(text: bytes, arrivals: Ints, mapping: FlatMapping, source: Source) -> DecodedObject:
    """Records that are arrays of rows."""
    arrays = _ARRAYS.decode_lines(text)
    lengths = np.array([len(one) for one in arrays], np.int64)
    rows = list(chain.from_iterable(arrays))
    _require(len(arrays) == len(arrivals))
    _require_simple(text, rows, _holders(mapping), arrays=len(arrays))
    return _flat(rows, arrivals, mapping, source, lengths)


def _flat(rows: list[dict[str, Any]], arrivals: Ints, mapping: FlatMapping, source: Source, lengths: Ints | None = None) -> DecodedObject:
    columns = {name: _field(rows, name) for name in mapping.field_names}
    values = columns.get(mapping.value)
    has_value = np.array([reached(row, mapping.value)[0] for row in rows], np.bool_) if values is not None and values.null_count else None
    return read_columns(columns, arrivals, mapping, source, has_value=has_value, lengths=lengths)


def _cloudwatch(rows: list[dict[str, Any]], arrivals: Ints, source: Source) -> DecodedObject:
    _require(all(_STREAM in row and "resourceMetrics" not in row for row in rows))
    namespace, name = (_texts(_column(rows, one)) for one in ("namespace", "metric_name"))
    places = {one: _texts(_column(rows, one)) for one in PLACE}
    dimensions = structure(_column(rows, "dimensions"))
    _require(not dimensions.keys() & places.keys() and all(row.get("dimensions") is None or None not in row["dimensions"].values() for row in rows))
    milliseconds = _numbers(_column(rows, "timestamp"))
    _require(bool(((milliseconds >= TIME_FROM_S * 1000) & (milliseconds < TIME_TO_S * 1000)).all()))
    time_us = (milliseconds * 1000).astype(np.int64)
    values = [row["value"] for row in rows if isinstance(row.get("value"), dict)]
    _require(len(values) == len(rows))
    measures = {one: _numbers(_array([value.get(one) for value in values])) for one in _NUMBERS}
    count = measures["count"]
    _require(bool(((count >= 0) & (count < 2.0**53) & (count == np.floor(count))).all()) and all(np.isfinite(one).all() for one in measures.values()))
    postings = Postings(
        pa.repeat(pa.scalar("labeled", _TEXT), len(rows)),
        pa.repeat(pa.scalar(source.org, _TEXT), len(rows)),
        namespace,
        pa.nulls(len(rows), pa.list_(_TEXT)),
        arrivals,
    )
    points = Points(
        np.arange(len(rows), dtype=np.int32),
        name.dictionary_encode(),
        time_us // 1_000_000,
        np.zeros(len(rows)),
        labels=label_column(dimensions | places, len(rows)),
        kind=np.full(len(rows), HISTOGRAM_KIND, np.int8),
        start_us=np.zeros(len(rows), np.int64),
        time_us=time_us,
        histogram=_histograms(measures),
    )
    tally = DecodeTally(records=len(rows), decoded_records=len(rows), points={"labeled": len(rows)} if rows else {})
    return DecodedObject(postings, points, tally, ())


def _texts(column: pa.Array) -> pa.Array:
    _require(column.type == _TEXT and column.null_count == 0 and "" not in column.unique().to_pylist())
    return column


def _numbers(column: pa.Array) -> Floats:
    _require(column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)))
    numbers: Floats = column.cast(pa.float64()).to_numpy()
    return numbers


def _histograms(measures: dict[str, Floats]) -> pa.StructArray:
    count = pa.array(measures["count"].astype(np.int64))
    rows = len(count)
    offsets = np.arange(rows + 1, dtype=np.int32)
    none = shared(np.empty(0, np.float64), np.zeros(1, np.int64), np.zeros(rows, np.int64))
    lists = [none, pa.ListArray.from_arrays(pa.array(offsets), count)]
    return pa.StructArray.from_arrays([count, *(pa.array(measures[one]) for one in _NUMBERS[1:]), *lists], fields=list(HISTOGRAM))
