"""Records of CloudWatch metric streams in JSON.

Format: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-json.html. One record is one metric in one period:
`metric_stream_name, account_id, region, namespace, metric_name, dimensions, timestamp` (milliseconds), `value` with `count, sum, max, min`, `unit`.

A record becomes a histogram without bounds, of which count, sum, min and max are known: type labeled, entity the namespace, labels the dimensions and
`account_id` and `region`. Stream, unit and further statistics (percentiles, which can't be merged) are not kept.
"""

from typing import Final

from transforms.core.errors import DecodeError
from transforms.core.model import labels_text
from transforms.decode.causes import BAD_ENTITY, BAD_LABELS, BAD_NAME, BAD_TIME, BAD_VALUE
from transforms.decode.collecting import Envelope, Record
from transforms.decode.otlp_rules import HISTOGRAM, MAX_COUNT, HistogramValue, Row, measured
from transforms.decode.scalars import TIME_FROM_S, TIME_TO_S, is_text, number

PLACE: Final = ("account_id", "region")
"""Fields that become labels beside the dimensions."""


def read_record(envelope: Envelope) -> Record:
    """The one point of a record, which is a JSON object."""
    record, fields = Record(), envelope.value
    assert isinstance(fields, dict)  # noqa: S101 - json_schema looked
    try:
        entity, row = _row(fields)
    except DecodeError as error:
        record.bury(error, envelope.raw)
    else:
        posting = record.add_posting("labeled", envelope.org, entity, envelope.arrival_us)
        record.rows.append((posting, row))
    return record


def _row(fields: dict[str, object]) -> tuple[str, Row]:
    entity, name = _text(fields, "namespace", BAD_ENTITY), _text(fields, "metric_name", BAD_NAME)
    row = Row(name, _labels(fields), HISTOGRAM, 0, _time_us(fields.get("timestamp")), 0.0)
    value = fields.get("value")
    if value is None:
        return entity, row._replace(dropped="null")
    if not isinstance(value, dict):
        raise DecodeError(BAD_VALUE, "value is not an object")
    return entity, measured(row, _statistics(value))


def _labels(fields: dict[str, object]) -> str:
    dimensions = fields.get("dimensions")
    pairs = {} if dimensions is None else dimensions
    if not isinstance(pairs, dict) or not all(isinstance(value, str) and is_text(key) and is_text(value) for key, value in pairs.items()):
        raise DecodeError(BAD_LABELS, "dimensions are not an object of strings")
    placed = {name: _text(fields, name, BAD_LABELS) for name in PLACE if fields.get(name) is not None}
    if twice := pairs.keys() & placed.keys():
        raise DecodeError(BAD_LABELS, f"the key {min(twice)} is there twice")
    return labels_text((*pairs.items(), *placed.items()))


def _time_us(value: object) -> int:
    milliseconds = number(value)  # type: ignore[arg-type]
    if milliseconds is None or not TIME_FROM_S * 1000 <= milliseconds < TIME_TO_S * 1000:
        raise DecodeError(BAD_TIME, f"timestamp {value!r:.80} is not a time in milliseconds between the years 2000 and 2100")
    return int(milliseconds * 1000)


def _statistics(value: dict[str, object]) -> HistogramValue:
    numbers = {name: _number(value, name) for name in ("count", "sum", "min", "max")}
    count = numbers["count"]
    if count is None or not 0 <= count <= MAX_COUNT or count != int(count) or int(count) > MAX_COUNT:
        raise DecodeError(BAD_VALUE, f"count {count!r} is not a number of observations")
    return HistogramValue(int(count), numbers["sum"], numbers["min"], numbers["max"], (), (int(count),))


def _number(value: dict[str, object], name: str) -> float | None:
    written = value.get(name)
    found = number(written)  # type: ignore[arg-type]
    if written is not None and found is None:
        raise DecodeError(BAD_VALUE, f"{name} {written!r:.80} is not a number")
    return found


def _text(fields: dict[str, object], name: str, cause: str) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value and is_text(value):
        return value
    raise DecodeError(cause, f"{name} {value!a:.80} is not a text")
