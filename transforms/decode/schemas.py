"""Payloads of any schema, told by their content: what envelopes and aggregates hold becomes points here."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from transforms.core.errors import DecodeError
from transforms.core.flat import FlatMapping
from transforms.core.model import DecodedObject
from transforms.decode import columnar, otlp
from transforms.decode.causes import UNSUPPORTED_PAYLOAD
from transforms.decode.collecting import Collected, Message, Part
from transforms.decode.framing import frames
from transforms.decode.joining import in_record_order
from transforms.decode.json_schemas import json_schema
from transforms.decode.listing import elements
from transforms.decode.payload import Payload
from transforms.decode.strict import Columns, Source
from transforms.decode.wire import BYTES, Message as WireMessage, varint

OTLP: Final = "OTLP protobuf"
DELIMITED: Final = "OTLP protobuf, length-delimited"
UNKNOWN: Final = "unknown"

_TEXT: Final = re.compile(rb"(?:[ \t\r\n\x0b\x0c]++|\xef\xbb\xbf)*+(?:[{\[]|\Z)")
_RESOURCE_FIELDS: Final = frozenset((1, 2, 3, 1000))


def read(payloads: Sequence[Payload], source: Source) -> DecodedObject:
    """All points of the payloads, in their order. A payload of no known schema is a dead letter."""
    texts = [place for place, one in enumerate(payloads) if is_text(one.data)]
    rest = [place for place, one in enumerate(payloads) if not is_text(one.data)]
    parts = [*_read_texts(payloads, texts, source), *_read_binaries(payloads, rest, source)]
    return in_record_order(parts).decoded


def schema_of(data: bytes, mapping: FlatMapping | None = None) -> str:
    """`posting`, `bare host array`, `OTLP protobuf`, `OTLP protobuf, length-delimited`, `OTLP/JSON`, `CloudWatch JSON`, `flat` or `unknown`.

    Of several JSON records the first one tells. Nothing at all is unknown.
    """
    if is_text(data):
        first = next(frames(data, 0, len(data), len(data)), None)
        return UNKNOWN if first is None or first.cause else json_schema(first.value, mapping)
    if _is_request(data):
        return OTLP
    return DELIMITED if _delimited(data) is not None else UNKNOWN


def is_text(data: bytes) -> bool:
    """Whether the first byte after white space begins a JSON object or array, or there is none. A request of OTLP begins with a line feed, too."""
    return _TEXT.match(data) is not None and not _is_request(data)


def is_protobuf(data: bytes) -> bool:
    """Whether an object is a request, or begins with one behind its length."""
    return not is_text(data) and (_is_request(data) or (data[:1] != b"\0" and _delimited_end(data, 0) > 0))


def _is_request(data: bytes) -> bool:
    """Whether the bytes are fields of the number 1 that begin like a ResourceMetrics."""
    try:
        fields = WireMessage(data).fields if data[:1] == b"\x0a" else []
        return bool(fields) and all(field.number > 1 or _is_resource(data, field.at, field.stop) for field in fields)
    except DecodeError:
        return False


def _is_resource(data: bytes, at: int, stop: int) -> bool:
    if at == stop:
        return True
    tag, _ = varint(data, at, stop)
    return tag & 7 == BYTES and tag >> 3 in _RESOURCE_FIELDS


def split(data: bytes, arrival_us: int) -> list[Payload]:
    """The payloads of an object that is no text: its requests, if it has them behind their lengths, and what follows the last whole one; else all of it."""
    payloads, at = list[Payload](), 0
    while at < len(data) and (stop := _delimited_end(data, at)):
        _, start = varint(data, at, len(data))
        payloads.append(Payload(data[start:stop], start, arrival_us))
        at = stop
    if not payloads or _is_request(data):
        return [Payload(data, 0, arrival_us)]
    return payloads + ([Payload(data[at:], at, arrival_us)] if at < len(data) else [])


def _delimited_end(data: bytes, at: int) -> int:
    """Where the request ends that stands at a position behind its length; 0 if there is none."""
    try:
        size, start = varint(data, at, len(data))
    except DecodeError:
        return 0
    is_whole = start + size <= len(data) and (size == 0 or _is_request(data[start : start + size]))
    return start + size if is_whole else 0


def _delimited(data: bytes) -> bytes | None:
    """The requests, each behind its length, joined, which makes one request of them; None if the bytes are not that."""
    payloads = split(data, 0)
    is_whole = sum(len(one.data) for one in payloads) < len(data) and _delimited_end(data, 0) > 0
    last = payloads[-1]
    return b"".join(one.data for one in payloads) if is_whole and (not last.data or _is_request(last.data)) else None


def _read_texts(payloads: Sequence[Payload], places: Sequence[int], source: Source) -> list[Part]:
    """JSON payloads: each may hold several records."""
    if not places:
        return []
    chosen = [payloads[place] for place in places]
    return [_read_text(one, place, source) for one, place in zip(chosen, places, strict=True)]


def _read_text(payload: Payload, place: int, source: Source) -> Part:
    try:
        decoded = columnar.read_payloads([payload], source)
    except DecodeError:
        columns = Columns(replace(source, arrival_us=payload.arrival_us), payload.offset)
        for frame in frames(payload.data, 0, len(payload.data), source.max_record_bytes):
            for one in elements(frame, payload.data, source.flat):
                columns.add_record(one, payload.data[one.start : one.end])
        decoded = columns.decoded()
    numbers = (np.full(count, place, np.int64) for count in (len(decoded.postings.entity), len(decoded.dead_letters)))
    return Part(decoded, *numbers)


def _read_binaries(payloads: Sequence[Payload], places: Sequence[int], source: Source) -> list[Part]:
    """Payloads of protobuf, all decoded at once, and of nothing that is known."""
    requests: list[Message] = []
    numbers: list[int] = []
    others = Collected()
    for place in places:
        data, offset, arrival_us = payloads[place]
        request = data if _begins_like_request(data) else _delimited(data)
        if request is None:
            problem = DecodeError(UNSUPPORTED_PAYLOAD, f"{len(data)} bytes that begin with {data[:8].hex(' ')}")
            others.bury_record(place, source.key, offset, problem, data)
        else:
            requests.append(Message(request, source.org, arrival_us, offset, data))
            numbers.append(place)
    return [others.part(), otlp.read(requests, source.key, source.labels).numbered(numbers)]


def _begins_like_request(data: bytes) -> bool:
    """Whether the bytes are or were a request: what is cut off or damaged behind its beginning is bad OTLP, not unknown."""
    if data[:1] != b"\x0a":
        return False
    try:
        size, at = varint(data, 1, len(data))
        return _is_resource(data, at, min(len(data), at + size)) and (_is_request(data) or _delimited(data) is None)
    except DecodeError:
        return True
