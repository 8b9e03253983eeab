"""The strict reader of OTLP metrics in protobuf: one message after the other, by the rules of otlp_rules.py.

Field numbers: opentelemetry/proto/metrics/v1/metrics.proto. ExportMetricsServiceRequest and MetricsData are the same on the wire, and requests joined are one
request. What is not needed (descriptions, units, exemplars, unknown fields) is not looked at.
"""

from collections.abc import Sequence
from typing import Any, Final

from transforms.core.errors import DecodeError
from transforms.decode import wire
from transforms.decode.attributes import Pairs, read_pairs, scope_pairs, split_resource
from transforms.decode.causes import BAD_OTLP
from transforms.decode.collecting import Collected, Message, Part, Record
from transforms.decode.otlp_rules import Form, Metric, Point, Row, of_series, rows
from transforms.decode.wire import BYTES, FIXED64, VARINT

FORMS: Final[dict[int, Form]] = {5: "gauge", 7: "sum", 9: "histogram", 10: "exponential", 11: "summary"}
"""Members of a metric's oneof `data`."""

_DATA: Final = frozenset((number, BYTES) for number in FORMS)
_VALUES: Final = frozenset(((4, FIXED64), (6, FIXED64)))


def read(messages: Sequence[Message], ordinals: Sequence[int], key: str) -> Part:
    """Decode these records; their place in the list of all records is in `ordinals`."""
    collected = Collected()
    for ordinal, message in zip(ordinals, messages, strict=True):
        try:
            record = _record(message)
        except DecodeError as error:
            collected.bury_record(ordinal, key, message.offset, error, message.raw)
        else:
            collected.add_record(ordinal, key, message.offset, record)
    return collected.part()


def _record(message: Message) -> Record:
    record = Record()
    for data in wire.Message(message.data).contents(1):
        _add_resource(record, wire.Message(data), message)
    return record


def _add_resource(record: Record, resource_metrics: wire.Message, message: Message) -> None:
    resource = _or_broken(wire.Message(resource_metrics.merged(1)).contents(1))
    entity = ""
    if not isinstance(resource, DecodeError):
        try:
            entity, resource = split_resource(resource)
        except DecodeError as error:
            resource = error
    posting = record.add_posting("labeled", message.org, entity, message.arrival_us)
    for data in resource_metrics.contents(2):
        scope_metrics = wire.Message(data)
        context = _with_scope(resource, wire.Message(scope_metrics.merged(1)))
        for metric in scope_metrics.contents(2):
            _add_metric(record, posting, wire.Message(metric), context)


def _or_broken(key_values: list[bytes]) -> Pairs | DecodeError:
    """The labels, or what is wrong with them; what is no message is raised."""
    try:
        return read_pairs(key_values)
    except DecodeError as error:
        if error.cause == BAD_OTLP:
            raise
        return error


def _with_scope(resource: Pairs | DecodeError, scope: wire.Message) -> Pairs | DecodeError:
    if isinstance(resource, DecodeError):
        return resource
    try:
        return resource + scope_pairs(scope.text(1), scope.text(2))
    except DecodeError as error:
        return error


def _add_metric(record: Record, posting: int, metric: wire.Message, context: Pairs | DecodeError) -> None:
    number, content = metric.last_of(_DATA, FORMS)
    if isinstance(content, int):
        return
    data = wire.Message(content)
    temporality, is_monotonic = data.number(2, VARINT) & 0xFFFFFFFF, bool(data.number(3, VARINT))
    what = Metric(name=name_of(metric.text(1)), form=FORMS[number], temporality=temporality, is_monotonic=is_monotonic)
    entity = record.postings[posting][2]
    for raw in data.contents(1):
        try:
            found = read_point(raw, what, context, entity)
        except DecodeError as error:
            if error.cause == BAD_OTLP:
                raise
            record.bury(error, raw)
        else:
            record.rows += [(posting, row) for row in found]


def read_point(raw: bytes, metric: Metric, context: Pairs | DecodeError, entity: str) -> list[Row]:
    """What a data point is. Raises DecodeError for a broken one, which says of which series it is, and BAD_OTLP for bytes that are no message."""
    point = _POINTS[metric.form](wire.Message(raw))
    try:
        return rows(metric, point, context)
    except DecodeError as error:
        broken = of_series(error, entity, metric.name, context, point.attributes)
    raise broken  # out here without the first error, which would keep its frames


def name_of(name: bytes) -> str | None:
    """A metric's name; None if it is no text."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _number_point(fields: wire.Message) -> Point:
    member, bits = fields.last_of(_VALUES)
    value = None if not member or isinstance(bits, bytes) else wire.as_double(bits) if member == 4 else float(wire.as_signed(bits))
    return Point(**_common(fields, attributes=7, flags=8), value=value)


def _histogram_point(fields: wire.Message) -> Point:
    bounds = tuple(map(wire.as_double, fields.fixed64s(7)))
    measured: dict[str, Any] = {"sum": fields.double(5), "min": fields.double(11), "max": fields.double(12)}
    counts = tuple(fields.fixed64s(6))
    return Point(**_common(fields, attributes=9, flags=10), **measured, count=fields.number(4, FIXED64), bounds=bounds, bucket_counts=counts)


def _exponential_point(fields: wire.Message) -> Point:
    return Point(
        **_common(fields, attributes=1, flags=10),
        count=fields.number(4, FIXED64),
        sum=fields.double(5),
        min=fields.double(12),
        max=fields.double(13),
        scale=wire.as_zigzag32(fields.number(6, VARINT)),
        zero_count=fields.number(7, FIXED64),
        zero_threshold=fields.double_or_zero(14),
        positive=_buckets(fields.merged(8)),
        negative=_buckets(fields.merged(9)),
    )


def _buckets(data: bytes) -> tuple[int, tuple[int, ...]]:
    fields = wire.Message(data)
    return wire.as_zigzag32(fields.number(1, VARINT)), tuple(fields.varints(2))


def _summary_point(fields: wire.Message) -> Point:
    quantiles = [(value.double_or_zero(1), value.double_or_zero(2)) for value in map(wire.Message, fields.contents(6))]
    return Point(**_common(fields, attributes=7, flags=8), count=fields.number(4, FIXED64), sum=fields.double_or_zero(5), quantiles=quantiles)


def _common(fields: wire.Message, *, attributes: int, flags: int) -> dict[str, Any]:
    return {
        "raw": fields.data,
        "attributes": _or_broken(fields.contents(attributes)),
        "start_ns": fields.number(2, FIXED64),
        "time_ns": fields.number(3, FIXED64),
        "flags": fields.number(flags, VARINT),
    }


_POINTS: Final = {
    "gauge": _number_point,
    "sum": _number_point,
    "histogram": _histogram_point,
    "exponential": _exponential_point,
    "summary": _summary_point,
}
