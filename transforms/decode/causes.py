"""Causes of dead letters: the short, stable phrases they are listed and counted by. What is special about one case stands in its `detail`."""

from typing import Final

from transforms.core.errors import ACCESS_DENIED, OBJECT_ARCHIVED, OBJECT_CHANGED, OBJECT_MISSING, OBJECT_REFUSED

BAD_JSON: Final = "bad JSON"
TOO_DEEP: Final = "nested too deep"
TOO_LONG: Final = "record too large"
TOO_MANY: Final = "too many dead letters"

TRUNCATED: Final = "truncated container"
CORRUPT: Final = "corrupt container"
TRAILING: Final = "trailing garbage"
TOO_LARGE: Final = "object too large"
EXPANSION: Final = "expansion too large"
UNSUPPORTED_CONTAINER: Final = "unsupported container"

LOST: Final = (TRUNCATED, CORRUPT, TOO_LARGE, EXPANSION)
"""Causes by which an object is lost from some byte on."""

OF_CONTAINERS: Final = (*LOST, TRAILING, UNSUPPORTED_CONTAINER)
"""Causes by which the bytes that a dead letter kept mean nothing without the rest of the object."""

UNKNOWN_TYPE: Final = "unknown type"
UNSUPPORTED_PAYLOAD: Final = "unsupported payload"
ERROR_OUTPUT: Final = "Firehose error output"
TRANSFORM_FAILED: Final = "Firehose transform failed"
BAD_OTLP: Final = "bad OTLP"

_ENVELOPE: Final = "broken envelope: "
NOT_A_POSTING: Final = _ENVELOPE + "not a posting"
BAD_IDENTITY: Final = _ENVELOPE + "identity"
BAD_ORG: Final = _ENVELOPE + "org"
BAD_ROLES: Final = _ENVELOPE + "roles"
BAD_RECEIVED_AT: Final = _ENVELOPE + "receivedAt"
BAD_METRICS: Final = _ENVELOPE + "metrics"
BAD_POINTS: Final = _ENVELOPE + "too many broken points"
BAD_RECORD: Final = _ENVELOPE + "record"
BAD_DATA: Final = _ENVELOPE + "data"
BAD_ARRIVAL: Final = _ENVELOPE + "arrival"

_AGGREGATE: Final = "broken aggregate: "
BAD_DIGEST: Final = _AGGREGATE + "MD5"
BAD_AGGREGATE: Final = _AGGREGATE + "protobuf"

_POINT: Final = "broken point: "
BAD_ELEMENT: Final = _POINT + "not an object"
BAD_HOST: Final = _POINT + "hostId"
BAD_NAME: Final = _POINT + "name"
BAD_TIME: Final = _POINT + "time"
BAD_VALUE: Final = _POINT + "value"
BAD_LABELS: Final = _POINT + "labels"
BAD_TEMPORALITY: Final = _POINT + "temporality"
BAD_ENTITY: Final = _POINT + "entity"
BAD_POINT_ORG: Final = _POINT + "org"
BAD_POINT_TYPE: Final = _POINT + "type"

UNREADABLE: Final = (OBJECT_MISSING, OBJECT_ARCHIVED, ACCESS_DENIED, OBJECT_REFUSED, OBJECT_CHANGED)
"""Of objects that the archive did not hand out. Such a dead letter has no bytes."""

CAUSES: Final = (
    *UNREADABLE,
    BAD_JSON, TOO_DEEP, TOO_LONG, TOO_MANY,
    TRUNCATED, CORRUPT, TRAILING, TOO_LARGE, EXPANSION, UNSUPPORTED_CONTAINER,
    UNKNOWN_TYPE, BAD_OTLP, UNSUPPORTED_PAYLOAD, ERROR_OUTPUT, TRANSFORM_FAILED,
    NOT_A_POSTING, BAD_IDENTITY, BAD_ORG, BAD_ROLES, BAD_RECEIVED_AT, BAD_METRICS, BAD_POINTS,
    BAD_RECORD, BAD_DATA, BAD_ARRIVAL, BAD_DIGEST, BAD_AGGREGATE,
    BAD_ELEMENT, BAD_HOST, BAD_NAME, BAD_TIME, BAD_VALUE, BAD_LABELS, BAD_TEMPORALITY,
    BAD_ENTITY, BAD_POINT_ORG, BAD_POINT_TYPE,
)  # fmt: skip
"""All of them."""


def is_of_point(cause: str) -> bool:
    """Whether it is the cause of a broken point. A row of a table, which is a record, may have it, too."""
    return cause.startswith(_POINT)


DETAIL_CHARS: Final = 200
"""A detail is cut to this many characters."""
