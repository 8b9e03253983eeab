"""OTLP attributes as labels: text as it is, bytes as base64 text, anything else as compact JSON.

Wire format: opentelemetry/proto/common/v1/common.proto.
"""

import base64
import json
import math
from collections.abc import Iterable
from typing import Final

from transforms.core.errors import DecodeError
from transforms.core.model import labels_text
from transforms.decode.causes import BAD_LABELS, BAD_OTLP
from transforms.decode.wire import BYTES, FIXED64, VARINT, Message, as_double, as_signed

Pairs = tuple[tuple[str, str], ...]
"""Keys and values, in the order in which they stand; a key may be there twice."""

AnyValue = None | bool | int | float | str | bytes | list["AnyValue"] | dict[str, "AnyValue"]

MAX_DEPTH: Final = 32
"""Arrays and key-value lists nested deeper than this make the message bad."""

SERVICE_NAME: Final = "service.name"
"""The resource attribute that is the entity and no label."""

STREAM_NAMES: Final = "amazonaws.com/"
STREAM_ARN: Final = ":metric-stream/"
"""Without this no resource is a metric stream's."""

_EXPORTER: Final = "resource.aws.exporter.arn"
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KVLIST, _BYTES = range(1, 8)
_MEMBERS: Final = frozenset(
    ((_STRING, BYTES), (_BOOL, VARINT), (_INT, VARINT), (_DOUBLE, FIXED64), (_ARRAY, BYTES), (_KVLIST, BYTES), (_BYTES, BYTES)),
)


def label_text(value: AnyValue) -> str:
    """An attribute's value as a label's."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _base64(value)
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def read_pairs(key_values: Iterable[bytes]) -> Pairs:
    """Labels of KeyValue messages. Raises DecodeError: BAD_OTLP for bytes that are no message, BAD_LABELS for text that is not UTF-8."""
    pairs = [(_text(message.text(1)), message.merged(2)) for message in map(Message, key_values)]
    return tuple((key, label_text(_any_value(value))) for key, value in pairs)


def split_resource(pairs: Pairs) -> tuple[str, Pairs]:
    """The entity (`service.name`, empty if there is none) and the labels `resource.KEY` of a resource's attributes.

    Raises DecodeError (BAD_LABELS) if a key is there twice.
    """
    _require_distinct(pairs)
    entity = dict(pairs).get(SERVICE_NAME, "")
    return entity, tuple((f"resource.{key}", value) for key, value in pairs if key != SERVICE_NAME)


def scope_pairs(name: bytes, version: bytes) -> Pairs:
    """The labels of a scope; what is empty is none. Raises DecodeError (BAD_LABELS) for text that is not UTF-8."""
    named = (("scope.name", _text(name)), ("scope.version", _text(version)))
    return tuple((key, value) for key, value in named if value)


def joined_labels(*parts: Pairs) -> str:
    """`labels_text` of all of them. Raises DecodeError (BAD_LABELS) if a key is there twice."""
    pairs = tuple(pair for part in parts for pair in part)
    _require_distinct(pairs)
    return labels_text(pairs)


def quantile_text(quantile: float) -> str:
    """The value of the label `quantile`: the shortest number, without `.0`."""
    return repr(quantile + 0.0).removesuffix(".0")


def is_of_metric_stream(name: str, labels: Pairs) -> bool:
    """Whether a CloudWatch metric stream sent a metric of this name, with these labels of its resource.

    Streams name their metrics `amazonaws.com/NAMESPACE/NAME`, and their resource attribute `aws.exporter.arn` is the stream's ARN: docs.aws.amazon.com/
    AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-opentelemetry-100.html. Either is enough, as collectors rename and strip on the way.
    """
    return name.startswith(STREAM_NAMES) or any(key == _EXPORTER and value.startswith("arn:") and STREAM_ARN in value for key, value in labels)


def _require_distinct(pairs: Pairs) -> None:
    if len(dict(pairs)) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise DecodeError(BAD_LABELS, f"the key {twice!a} is there twice")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(BAD_LABELS, f"{data[:40]!r} is not UTF-8") from error


def _any_value(data: bytes, depth: int = 0) -> AnyValue:
    if depth > MAX_DEPTH:
        raise DecodeError(BAD_OTLP, f"an attribute nested more than {MAX_DEPTH} levels deep")
    member, value = Message(data).last_of(_MEMBERS, (_ARRAY, _KVLIST))
    if isinstance(value, bytes):
        return _of_bytes(member, value, depth)
    if member == _BOOL:
        return bool(value)
    if member == _DOUBLE:
        return as_double(value)
    return as_signed(value) if member == _INT else None


def _of_bytes(member: int, value: bytes, depth: int) -> AnyValue:
    if member == _ARRAY:
        return [_any_value(one, depth + 1) for one in Message(value).contents(1)]
    if member == _KVLIST:
        pairs = [Message(one) for one in Message(value).contents(1)]
        return {_text(pair.text(1)): _any_value(pair.merged(2), depth + 1) for pair in pairs}
    return _text(value) if member == _STRING else value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _plain(value: AnyValue) -> AnyValue:
    """What JSON has words for; NaN and the infinities as the texts of OTLP/JSON."""
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
