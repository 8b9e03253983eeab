"""Arrays of records, as `jq -s` writes them: their elements are read like records that stand one after the other, each at its own place.

An array is one if some element can only be a record of its own (an array, which is a bare payload; an envelope; a posting; OTLP/JSON; CloudWatch's JSON) and
none is a bare host's point or, with a mapping, a flat row: those arrays are payloads themselves, and what is odd in them is a broken point. One level is taken
away, not more.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeGuard

import msgspec

from transforms.core.flat import FlatMapping
from transforms.decode.envelopes import is_envelope
from transforms.decode.flat import has_time
from transforms.decode.framing import Frame, element_spans
from transforms.decode.proof import NOT_JSON
from transforms.decode.scalars import Json

_POINT: Final = ("hostId", "name", "time")
_SCHEMAS: Final = ("resourceMetrics", "metric_stream_name")
_CONTENTS: Final = ("metrics", "otlp")
_SEEMS: Final = re.compile(
    rb"[\x00-\x20\xef\xbb\xbf]*+\[[\x00-\x20]*+"
    rb'(?:\[|\{[\x00-\x20]*+"(?:type|org|otlp|resourceMetrics|metric_stream_name|[Rr]ecords|kinesis|kinesisRecordMetadata|recordId|eventID|invocationId)")'
)
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


def holds_records(value: Json, mapping: FlatMapping | None) -> TypeGuard[list[Json]]:
    """Whether the JSON value is an array of records."""
    return isinstance(value, list) and any(map(_is_record, value)) and not any(_is_point(one, mapping) for one in value)


def seems_listed(data: bytes, at: int = 0) -> bool:
    """A guess by the first key of the first element of the array at `at`, to save trying it as a bare payload."""
    return _SEEMS.match(data, at) is not None


def elements(frame: Frame, data: bytes, mapping: FlatMapping | None) -> Iterable[Frame]:
    """The elements of an array of records, any other record itself; the data are those in which the frame stands."""
    if not holds_records(frame.value, mapping):
        return (frame,)
    spans = _spans(data[frame.start : frame.end])
    return (Frame(frame.start + at, frame.start + end, one) for one, (at, end) in zip(frame.value, spans, strict=True))


def spread(array: bytes) -> bytes:
    """As many bytes, of which the elements stand where they stood and all else is blank."""
    parts, last = list[bytes](), 0
    for at, end in _spans(array):
        parts += [b" " * (at - last), array[at:end]]
        last = end
    return b"".join([*parts, b" " * (len(array) - last)])


def _spans(array: bytes) -> list[tuple[int, int]]:
    try:
        elements = _ELEMENTS.decode(array)
    except NOT_JSON:  # it is stricter
        return element_spans(array, None)
    spans, at = list[tuple[int, int]](), 0
    for element in elements:
        raw = bytes(element)
        at = array.index(raw, at)
        spans.append((at, at + len(raw)))
        at += len(raw)
    return spans


def _is_record(element: Json) -> bool:
    if not isinstance(element, dict):
        return isinstance(element, list)
    is_posting = isinstance(element.get("type"), str) and any(name in element for name in _CONTENTS)
    return is_posting or any(name in element for name in _SCHEMAS) or is_envelope(element)


def _is_point(element: Json, mapping: FlatMapping | None) -> bool:
    if not isinstance(element, dict):
        return False
    return has_time(element, mapping) if mapping else all(element.get(name) is not None for name in _POINT)
