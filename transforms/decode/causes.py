"""Causes of dead letters: the short, stable phrases they are listed and counted by. What is special about one case stands in its `detail`."""

from typing import Final

from transforms.core.errors import ACCESS_DENIED, OBJECT_ARCHIVED, OBJECT_MISSING, OBJECT_REFUSED

BAD_JSON: Final = "bad JSON"
TOO_DEEP: Final = "nested too deep"
TOO_LONG: Final = "record too large"
TOO_MANY: Final = "too many dead letters"

TRUNCATED: Final = "truncated container"
CORRUPT: Final = "corrupt container"
TRAILING: Final = "trailing garbage"
TOO_LARGE: Final = "object too large"
EXPANSION: Final = "expansion too large"

UNKNOWN_TYPE: Final = "unknown type"
UNSUPPORTED_TYPE: Final = "unsupported type"

_ENVELOPE: Final = "broken envelope: "
NOT_A_POSTING: Final = _ENVELOPE + "not a posting"
BAD_IDENTITY: Final = _ENVELOPE + "identity"
BAD_ORG: Final = _ENVELOPE + "org"
BAD_ROLES: Final = _ENVELOPE + "roles"
BAD_RECEIVED_AT: Final = _ENVELOPE + "receivedAt"
BAD_METRICS: Final = _ENVELOPE + "metrics"
BAD_POINTS: Final = _ENVELOPE + "too many broken points"

_POINT: Final = "broken point: "
BAD_ELEMENT: Final = _POINT + "not an object"
BAD_HOST: Final = _POINT + "hostId"
BAD_NAME: Final = _POINT + "name"
BAD_TIME: Final = _POINT + "time"
BAD_VALUE: Final = _POINT + "value"

UNREADABLE: Final = (OBJECT_MISSING, OBJECT_ARCHIVED, ACCESS_DENIED, OBJECT_REFUSED)
"""Of objects that the archive did not hand out. Such a dead letter has no bytes."""

CAUSES: Final = (
    *UNREADABLE,
    BAD_JSON, TOO_DEEP, TOO_LONG, TOO_MANY,
    TRUNCATED, CORRUPT, TRAILING, TOO_LARGE, EXPANSION,
    UNKNOWN_TYPE, UNSUPPORTED_TYPE,
    NOT_A_POSTING, BAD_IDENTITY, BAD_ORG, BAD_ROLES, BAD_RECEIVED_AT, BAD_METRICS, BAD_POINTS,
    BAD_ELEMENT, BAD_HOST, BAD_NAME, BAD_TIME, BAD_VALUE,
)  # fmt: skip
"""All of them."""

DETAIL_CHARS: Final = 200
"""A detail is cut to this many characters."""
