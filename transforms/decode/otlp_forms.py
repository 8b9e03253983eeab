"""Whether bytes look like OTLP metrics in protobuf, from the skeleton of the message alone: for people, decoding does not depend on it.

An ExportMetricsServiceRequest (opentelemetry-proto, collector/metrics/v1) has one field, `repeated ResourceMetrics resource_metrics = 1`; a ResourceMetrics the
length-delimited fields 1 (resource), 2 (scope_metrics) and 3 (schema_url).
"""

from typing import Final

_RESOURCE_METRICS: Final = 0x0A
_INNER: Final = (0x0A, 0x12, 0x1A)
_MAX_VARINT_BYTES: Final = 5
_MAX_LOOKED_AT: Final = 100


def is_request(data: bytes) -> bool:
    """Whether the data could be one request."""
    return bool(data) and _is_request(data, 0, len(data))


def is_delimited(data: bytes) -> bool:
    """Whether the data could be requests with the length of each before it, as CloudWatch metric streams write them."""
    at, number = 0, 0
    while at < len(data) and number < _MAX_LOOKED_AT:
        start, length = _length(data, at)
        at, number = start + length, number + 1
        if not length or at > len(data) or not _is_request(data, start, at):
            return False
    return number > 0


def _is_request(data: bytes, at: int, end: int) -> bool:
    number = 0
    while at < end and number < _MAX_LOOKED_AT:
        start, length = _length(data, at + 1)
        if data[at] != _RESOURCE_METRICS or start + length > end or (length and data[start] not in _INNER):
            return False
        at, number = start + length, number + 1
    return number > 0


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where a length ends, and the length; one beyond all data if there is none."""
    value = 0
    for place, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return at + place + 1, value
    return at, len(data) + 1
