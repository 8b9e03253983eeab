"""The columnar path: whole stretches of an object become Arrow columns at once, by arrow-json's reader.

`read` answers for what it can prove and nothing else: on any error or doubt it raises `DecodeError`, and the strict reader (strict.py) has the word. It
accepts records of type host, service and labeled, or bare arrays of host points, in valid JSON with any of JSON's white space between them; with nulls,
numeric strings, unknown fields, and fields missing that may be. Whatever would become a dead letter is a doubt.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import arro3.core
import arro3.io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.errors import DecodeError
from transforms.core.model import Bools, DecodedObject, DecodeTally, Floats, Ints, Points, Postings
from transforms.decode import json_columns, labeled, otlp, otlp_json_columns
from transforms.decode.collecting import Message, Part
from transforms.decode.framing import BOM
from transforms.decode.grouping import first_appearances
from transforms.decode.joining import in_record_order
from transforms.decode.labeled import Places
from transforms.decode.payload import Payload
from transforms.decode.proof import DOUBT, count_records, record_spans, require_plain_numbers
from transforms.decode.scalars import EXACT_BELOW, TIME_FROM_S, TIME_TO_S, arrivals_of
from transforms.decode.strict import IDENTITY, LABELED, Source

_TEXT: Final = pa.string()
_NUMBER: Final = pa.float64()
_POINT: Final = (("name", _TEXT), ("time", _NUMBER), ("value", _NUMBER))
TYPED: Final = pa.schema(
    [
        ("type", _TEXT),
        ("org", _TEXT),
        *((name, _TEXT) for name in IDENTITY.values()),
        ("roles", pa.list_(_TEXT)),
        ("receivedAt", _NUMBER),
        ("otlp", _TEXT),
        ("metrics", pa.list_(pa.struct(_POINT))),
    ]
)
"""Columns of records of type host, service and labeled."""

_BARE: Final = pa.schema([("metrics", pa.list_(pa.struct([("hostId", _TEXT), *_POINT])))])
_UNSAFE_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD](?:8[4-9a-fA-F]|[9abAB]))")
"""U+0000, because an error message of arro3 0.9 that quotes it aborts the process; surrogate pairs above U+1FFFF, because it makes other characters of them."""
_REQUEST_FACTOR: Final = 5
_BARE_BORDER: Final = re.compile(rb"\](?=[ \t\r\n]*+\[)[ \t\r\n]*+")


def size_factor(text: bytes, at: int = 0) -> int:
    """How many times more of a text should be read at once: OTLP takes many array operations, which pay off from thousands of points on."""
    return _REQUEST_FACTOR if labeled.seems_labeled(text, at) or otlp_json_columns.seems_otlp(text, at) else 1


def read(piece: bytes, source: Source, offset: int = 0) -> DecodedObject:
    """Decode records that stand one after the other, from `offset` of the object on.

    Raises `DecodeError` unless sure that the strict reader would say the same.
    """
    text = piece.removeprefix(BOM)
    first = offset + len(piece) - len(text)

    def places() -> list[tuple[int, bytes]]:
        return [(first + at, raw) for at, raw in record_spans(text)]

    if labeled.seems_labeled(text):
        if len(text) > source.max_record_bytes:
            count_records(text, source.max_record_bytes)
        with suppress(DecodeError):  # perhaps some are of another type
            return labeled.read(text, None, source, places)
    records = count_records(text, source.max_record_bytes)
    return _read(text, np.full(records, source.arrival_us, np.int64), source, places)


def read_payloads(payloads: Sequence[Payload], source: Source) -> DecodedObject:
    """Decode payloads that are records one after the other, each on its own, as one text; records that don't tell their arrival have their payload's.

    Raises `DecodeError` unless sure that the strict reader would say the same.
    """
    texts = [payload.data for payload in payloads]
    records = [count_records(text, source.max_record_bytes) for text in texts]
    arrivals = np.array([payload.arrival_us for payload in payloads], np.int64)

    def places() -> list[tuple[int, bytes]]:
        return [(payload.offset, raw) for payload in payloads for _, raw in record_spans(payload.data)]

    text, arrivals = b"\n".join(texts), np.repeat(arrivals, records)
    if labeled.seems_labeled(text):
        with suppress(DecodeError):
            return labeled.read(text, arrivals, source, places)
    return _read(text, arrivals, source, places)


def read_columns(batch: pa.RecordBatch, source: Source) -> DecodedObject:
    """Decode records that are columns already, of schema TYPED.

    Raises `DecodeError` unless sure that the strict reader would say the same of the rows as JSON.
    """
    _require(batch.column("roles").values.null_count == 0, "a role is null")
    return _read_types(batch, np.full(batch.num_rows, source.arrival_us, np.int64), source)


def _read(text: bytes, arrivals: Ints, source: Source, places: Places) -> DecodedObject:
    """Decode a text of as many records as there are arrivals."""
    if otlp_json_columns.seems_otlp(text):
        return otlp_json_columns.read(text, arrivals, source, places)
    if source.flat or json_columns.is_cloudwatch(text):
        return json_columns.read(text, arrivals, source)
    is_bare = text[:64].lstrip().startswith(b"[")
    batch = _parsed(text, len(arrivals), is_bare=is_bare)
    _require_plain_numbers(text, batch, batch.column("metrics").values, is_bare=is_bare)
    if is_bare:
        lengths, points = _points(batch.column("metrics"))
        postings, posting = _bare_postings(points.field("hostId"), lengths, arrivals, source)
        return _decoded(batch.num_rows, postings, posting, points)
    return _read_types(batch, arrivals, source)


def _read_types(batch: pa.RecordBatch, arrivals: Ints, source: Source) -> DecodedObject:
    """Records of schema TYPED."""
    is_labeled = pc.equal(batch.column("type"), LABELED).fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    if not is_labeled.any():
        return _read_typed(batch, arrivals, source)
    parts = [_labeled(batch.filter(pa.array(is_labeled)), arrivals[is_labeled], source).numbered(np.flatnonzero(is_labeled).tolist())]
    if not is_labeled.all():
        others = np.flatnonzero(~is_labeled)
        parts.append(Part(_read_typed(batch.take(pa.array(others)), arrivals[others], source), others, np.empty(0, np.int64)))
    return in_record_order(parts).decoded


def _read_typed(batch: pa.RecordBatch, arrivals: Ints, source: Source) -> DecodedObject:
    """Postings of hosts and services."""
    lengths, points = _points(batch.column("metrics"))
    postings, posting = _typed_postings(batch, arrivals, source), np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return _decoded(batch.num_rows, postings, posting, points)


def _labeled(batch: pa.RecordBatch, arrivals: Ints, source: Source) -> Part:
    """Postings of OTLP requests, all decoded at once."""
    unread = [pc.sum(pc.list_value_length(batch.column(name))).as_py() or 0 for name in ("metrics", "roles")]
    _require(batch.column("otlp").null_count + sum(unread) == 0, "a labeled posting with unusual fields")
    orgs = pc.fill_null(batch.column("org"), source.org).to_pylist()
    requests = map(otlp.request_bytes, batch.column("otlp").to_pylist())
    times = _arrivals(batch.column("receivedAt"), arrivals).tolist()
    part = otlp.read([Message(data, org, time, 0, b"") for data, org, time in zip(requests, orgs, times, strict=True)], source.key, source.labels)
    _require(not part.decoded.dead_letters, "dead letters need the bytes of their record")
    return part


def _parsed(text: bytes, records: int, *, is_bare: bool) -> pa.RecordBatch:
    """One row per record; bare arrays become the `metrics` of an object each."""
    wrapped = b'{"metrics":' + _BARE_BORDER.sub(b']}{"metrics":', text) + b"}" if is_bare else text
    schema = _BARE if is_bare else TYPED
    _require(b"\\" not in text or not _UNSAFE_ESCAPE.search(text), "an escape that arrow-json can't be trusted with")
    try:
        batches = pa.table(arro3.io.read_json(arro3.core.Buffer(wrapped), schema, batch_size=max(records, 1))).to_batches()
    except pa.ArrowInvalid as error:
        raise DecodeError(DOUBT, str(error)) from error
    batch = batches[0] if batches else pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    _require(batch.num_rows == records, "rows are not records")
    return batch


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise DecodeError(DOUBT, otherwise)


def _points(metrics: pa.ListArray) -> tuple[Ints, pa.StructArray]:
    """Points per record, and the points; whole in all that must be there."""
    points = metrics.values
    whole = metrics.null_count + points.null_count + points.field("name").null_count + points.field("time").null_count == 0
    _require(whole, "metrics, a point, its name or time is missing")
    times = _numbers(points.field("time"))
    _require(len(times) == 0 or bool(times.min() >= TIME_FROM_S and times.max() < TIME_TO_S), "a time is out of range")
    return np.diff(metrics.offsets.to_numpy()), points


def _require_plain_numbers(text: bytes, batch: pa.RecordBatch, points: pa.StructArray, *, is_bare: bool) -> None:
    fields = points.flatten() if is_bare else [*batch.columns, *points.flatten()]
    texts = [field for field in fields if field.type == _TEXT]
    lists = [field for field in fields if pa.types.is_list(field.type)]
    roles = [field.values for field in lists if field.type.value_type == _TEXT]
    _require(all(role.null_count == 0 for role in roles), "a role is null")
    require_plain_numbers(
        text,
        fields=sum(map(_present, fields)),
        strings=sum(map(_present, texts + roles)),
        brackets=batch.num_rows + len(points) + sum(map(_present, lists)),
        is_bare=is_bare,
    )


def _present(column: pa.Array) -> int:
    return len(column) - int(column.null_count)


def _numbers(column: pa.DoubleArray) -> Floats:
    """The column as NumPy sees it, NaN for null."""
    numbers: Floats = column.to_numpy(zero_copy_only=False)
    return numbers


def _typed_postings(batch: pa.RecordBatch, arrivals: Ints, source: Source) -> Postings:
    kind, roles = batch.column("type"), batch.column("roles")
    distinct = set(kind.unique().to_pylist())
    _require(distinct <= IDENTITY.keys(), "a type is missing or unknown")
    is_host = pc.equal(kind, "host")
    entity = pc.if_else(is_host, batch.column(IDENTITY["host"]), batch.column(IDENTITY["service"]))
    _require(entity.null_count == 0, "an entity is missing")
    if "service" in distinct:
        _require(not pc.any(pc.and_not(roles.is_valid(), is_host)).as_py(), "a posting that is not a host's has roles")
    # Copies: a view of a column would keep the whole batch in memory.
    owned = pa.table([kind, pc.fill_null(batch.column("org"), source.org), entity, roles], ["type", "org", "entity", "roles"]).take(np.arange(batch.num_rows))
    kinds, orgs, entities, roles = (owned.column(name).combine_chunks() for name in owned.column_names)
    return Postings(kinds, orgs, entities, roles, _arrivals(batch.column("receivedAt"), arrivals))


def _arrivals(received: pa.DoubleArray, default: Ints) -> Ints:
    is_given = received.is_valid().to_numpy(zero_copy_only=False)
    given = arrivals_of(_numbers(received)[is_given])
    if given is None:
        raise DecodeError(DOUBT, "a receivedAt is out of range")
    arrivals = default.copy()
    arrivals[is_given] = given
    return arrivals


def _bare_postings(hosts: pa.StringArray, lengths: Ints, arrivals: Ints, source: Source) -> tuple[Postings, npt.NDArray[np.int32]]:
    """A posting per record and host, in the order in which the hosts first appear in the record; and the posting of each point."""
    _require(hosts.null_count == 0, "a hostId is missing")
    encoded = hosts.dictionary_encode()
    record = np.repeat(np.arange(len(lengths)), lengths)
    pairs = record * len(encoded.dictionary) + encoded.indices.to_numpy()
    at, posting = first_appearances(pairs)
    rows = len(at)
    kinds, orgs = (pa.repeat(pa.scalar(text, _TEXT), rows) for text in ("host", source.org))
    return Postings(kinds, orgs, hosts.take(at), pa.nulls(rows, pa.list_(_TEXT)), arrivals[record[at]]), posting


def _decoded(records: int, postings: Postings, posting: npt.NDArray[np.int32], points: pa.StructArray) -> DecodedObject:
    names, times, values = points.field("name"), _numbers(points.field("time")).astype(np.int64), _numbers(points.field("value")).copy()
    is_host = pc.equal(postings.metric_type, "host").to_numpy(zero_copy_only=False)
    counts = _by_type(is_host[posting])
    dropped = {}
    is_kept = np.isfinite(values)
    if not is_kept.all():
        dropped = _dropped(points.field("value"), values, is_host[posting])
        posting, names, times, values = posting[is_kept], names.filter(pa.array(is_kept)), times[is_kept], values[is_kept]
    inexact = _by_type(is_host[posting[np.abs(values) >= EXACT_BELOW]])
    tally = DecodeTally(records=records, decoded_records=records, points=counts, dropped=dropped, inexact=inexact)
    return DecodedObject(postings, Points(posting, names.dictionary_encode(), times, values), tally, ())


def _dropped(column: pa.DoubleArray, values: Floats, is_host: Bools) -> dict[str, dict[str, int]]:
    is_null = column.is_null().to_numpy(zero_copy_only=False)
    reasons = {"null": is_null, "nan": np.isnan(values) & ~is_null, "infinite": np.isinf(values)}
    return {reason: _by_type(is_host[is_one]) for reason, is_one in reasons.items() if is_one.any()}


def _by_type(is_host: Bools) -> dict[str, int]:
    """How many are of which metric type; no entry for none."""
    hosts = int(np.count_nonzero(is_host))
    counts = {"host": hosts, "service": len(is_host) - hosts}
    return {metric_type: count for metric_type, count in counts.items() if count}
