"""JSON envelopes around Kinesis records: what Lambda and Firehose put about the data.

* Lambda's event for a Kinesis stream, `{"Records": [{"kinesis": {…}, "eventID": …}]}`: `kinesis.data`, arrived at
  `kinesis.approximateArrivalTimestamp`, seconds with a fraction.
* Firehose's event for a transform, or the transform's output, `{"records": [{"recordId": …}]}`: `data`, arrived at
  `kinesisRecordMetadata.approximateArrivalTimestamp`, else `approximateArrivalTimestamp`, milliseconds.
* Firehose's error output, an object a record: `rawData`, arrived at `arrivalTimestamp`, milliseconds.

Records from a Kinesis stream also tell their shard and sequence number: by `eventID`, `shardId-000000000000:49…`, and `kinesis.sequenceNumber`, or by
`kinesisRecordMetadata`; and perhaps their stream, by an ARN.

Data are base64. A record of either list may also stand alone. The units are the vendor's (AWS Lambda Developer Guide, "Using Lambda to process records from
Amazon Kinesis Data Streams"; Amazon Data Firehose Developer Guide, "Transform source data", "Handle failure in data transformation" and "Handling errors for
data format conversion"), but others write these envelopes, too: an arrival is taken by its magnitude (scalars.arrival_of). An object whose `type` is a string
is a posting, whatever else it has.

An envelope is no record, what is in it is: each becomes a `Payload` or a dead letter. Error output is what Firehose could not deliver, perhaps because it was
not fit to be: unless asked for, it is a dead letter. So is what a transform says that it could not process (`result` of "ProcessingFailed"), which Firehose
does not deliver either. What the transform dropped on purpose ("Dropped") is done with by the vendor's rules: its points count as dropped, and nothing of it is
a dead letter.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.arriving import Origins
from transforms.decode.causes import BAD_ARRIVAL, BAD_DATA, BAD_RECORD, ERROR_OUTPUT, TRANSFORM_FAILED
from transforms.decode.framing import element_spans
from transforms.decode.payload import Payload
from transforms.decode.scalars import ARRIVAL_WANTED, Json, arrival_of
from transforms.decode.unpacked import Lost

_LISTS: Final = ("Records", "records")
_ERROR_MARKS: Final = ({"rawData", "errorCode"}, {"rawData", "lastErrorCode"})
_MARKS: Final = ({"kinesis"}, {"kinesisRecordMetadata"}, {"recordId", "data"}, {"approximateArrivalTimestamp", "data"}, *_ERROR_MARKS)
_FAILED, _DROPPED = "ProcessingFailed", "Dropped"
"""Results of a transform's record that is not delivered; those that are have the result "Ok"."""

_SEEMS: Final = re.compile(
    rb"[\x00-\x20\xef\xbb\xbf]*+\{[\x00-\x20]*+"
    rb'"(?:[Rr]ecords|kinesis|kinesisRecordMetadata|recordId|invocationId|deliveryStreamArn|eventID|eventSource|attemptsMade|errorCode|rawData)"'
)


class Opened(NamedTuple):
    """One record of an envelope; `is_error_output` if Firehose did not deliver it, `is_dropped` if its transform dropped it."""

    content: Payload | Lost
    is_error_output: bool = False
    is_dropped: bool = False


def seems_envelope(data: bytes, at: int) -> bool:
    """A guess by the first key of the record at `at`, to save trying it as a posting."""
    return _SEEMS.match(data, at) is not None


def is_envelope(value: Json) -> bool:
    """True if the record is an envelope."""
    if not isinstance(value, dict) or isinstance(value.get("type"), str):
        return False
    return any(isinstance(value.get(name), list) for name in _LISTS) or any(mark <= value.keys() for mark in _MARKS)


def opened(value: dict[str, Json], raw: bytes, offset: int, default_us: int, origins: Origins, *, read_error_output: bool) -> Iterator[Opened]:
    """The records in the envelope, whose JSON text `raw` stands at `offset`; those that don't tell their arrival have the default.

    Where they entered their stream is added to `origins`, if they could be opened and tell their arrival.
    """
    name = next((name for name in _LISTS if isinstance(value.get(name), list)), None)
    elements, spans = (value[name], element_spans(raw, name)) if name else ([value], [(0, len(raw))])
    for element, (start, end) in zip(elements if isinstance(elements, list) else [], spans, strict=True):
        is_output = isinstance(element, dict) and _is_error_output(element)
        result = element.get("result") if isinstance(element, dict) and "recordId" in element else None
        is_error, is_dropped = is_output or result == _FAILED, result == _DROPPED
        arrival_us: int | None = None
        try:
            fields = _fields(element, value.get("sourceKinesisStreamArn"), is_error=is_output)
            arrival_us = default_us if fields.arrival is None else arrival_of(fields.arrival)
            payload = _payload(fields, offset + start, arrival_us, is_unread=is_error and not read_error_output)
        except DecodeError as error:
            lost = Lost(offset + start, error.with_traceback(None), raw[start:end], arrival_us)
            yield Opened(Payload(b"", offset + start, default_us), is_dropped=True) if is_dropped else Opened(lost, is_error)
            continue
        if fields.arrival is not None:
            origins.add(fields.arn, fields.shard, fields.sequence, payload.arrival_us)
        yield Opened(payload, is_error, is_dropped)


class _Fields(NamedTuple):
    """A record's fields: `data[name]` is what it holds. The last three are of those that came from a Kinesis stream."""

    data: dict[str, Json]
    name: str
    arrival: Json
    arn: Json = None
    shard: Json = None
    sequence: Json = None


def _fields(element: Json, arn: Json, *, is_error: bool) -> _Fields:
    record = _object(element, "the record")
    if is_error:
        return _Fields(record, "rawData", record.get("arrivalTimestamp"))
    if "kinesis" in record:
        kinesis, event = _object(record["kinesis"], "kinesis"), record.get("eventID")
        shard, _, sequence = event.partition(":") if isinstance(event, str) else (None, "", None)
        arrival = kinesis.get("approximateArrivalTimestamp")
        return _Fields(kinesis, "data", arrival, record.get("eventSourceARN"), shard, kinesis.get("sequenceNumber", sequence))
    metadata = record.get("kinesisRecordMetadata")
    told = {} if metadata is None else _object(metadata, "kinesisRecordMetadata")
    arrival = told.get("approximateArrivalTimestamp")
    default = record.get("approximateArrivalTimestamp") if arrival is None else arrival
    return _Fields(record, "data", default, arn, told.get("shardId"), told.get("sequenceNumber"))


def _payload(fields: _Fields, offset: int, arrival_us: int | None, *, is_unread: bool) -> Payload:
    if is_unread and fields.name == "data":
        raise DecodeError(TRANSFORM_FAILED, f"the transform's result is {_FAILED}; read with --read-firehose-errors")
    if is_unread:
        code = fields.data.get("errorCode", fields.data.get("lastErrorCode"))
        raise DecodeError(ERROR_OUTPUT, f"error code {str(code)[:100]}; read with --read-firehose-errors")
    data = _data(fields.data, fields.name)
    if arrival_us is None:
        raise DecodeError(BAD_ARRIVAL, f"{str(fields.arrival)[:100]} is not {ARRIVAL_WANTED}")
    return Payload(data, offset, arrival_us)


def _is_error_output(record: dict[str, Json]) -> bool:
    return "rawData" in record and any(mark <= record.keys() for mark in _ERROR_MARKS)


def _object(value: Json, what: str) -> dict[str, Json]:
    if isinstance(value, dict):
        return value
    raise DecodeError(BAD_RECORD, f"{what} is not an object")


def _data(record: dict[str, Json], name: str) -> bytes:
    text = record.get(name)
    if not isinstance(text, str):
        raise DecodeError(BAD_DATA, f"{name} is not a string" if name in record else f"no {name}")
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError as error:
        raise DecodeError(BAD_DATA, f"{name} is not base64: {error}") from error
