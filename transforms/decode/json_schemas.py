"""JSON records that are no postings: which schema they have, and who reads them."""

from collections.abc import Callable
from typing import Final

from transforms.core.flat import FlatMapping
from transforms.decode import cloudwatch, flat, otlp_json
from transforms.decode.collecting import Envelope, Record
from transforms.decode.flat import exact
from transforms.decode.scalars import Json

POSTING_TYPES: Final = ("host", "service", "labeled")

ReadRecord = Callable[[Envelope], Record]


def json_schema(value: Json, mapping: FlatMapping | None) -> str:
    """The schema of a JSON record: `posting`, `bare host array`, `OTLP/JSON`, `CloudWatch JSON`, `flat` or `unknown`.

    What has a posting's type and content is one, whatever else it has. With a mapping, arrays are of flat rows, and so are objects that are nothing else.
    An empty object is a posting of nothing.
    """
    if isinstance(value, list):
        is_bare = all(isinstance(one, dict) for one in value) and (not value or any("hostId" in one for one in value if isinstance(one, dict)))
        return "flat" if mapping else "bare host array" if is_bare else "unknown"
    if not isinstance(value, dict):
        return "unknown"
    has_type = isinstance(value.get("type"), str) and value["type"] in POSTING_TYPES
    if has_type and ("metrics" in value or "otlp" in value):
        return "posting"
    if "resourceMetrics" in value:
        return "OTLP/JSON"
    if "metric_stream_name" in value:
        return "CloudWatch JSON"
    return "posting" if not value or (has_type and not mapping) else "flat" if mapping else "unknown"


def json_reader(value: Json, mapping: FlatMapping | None) -> ReadRecord | None:
    """Who reads a record; None for postings, bare arrays and what is neither."""
    schema = json_schema(value, mapping)
    if schema == "flat" and mapping:
        return lambda envelope: flat.read_record(envelope, exact(envelope.raw), mapping)
    if schema == "OTLP/JSON":
        return lambda envelope: otlp_json.read_record(envelope, exact(envelope.raw))
    return cloudwatch.read_record if schema == "CloudWatch JSON" else None
