"""OTLP metrics in JSON, by the rules of otlp_rules.py.

Mapping: opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: names in lowerCamelCase, 64-bit integers as strings (numbers are taken too), enumerations as
numbers (their names are taken too), bytes in base64. Unknown fields are ignored, and so are ids, units and descriptions.
"""

import re
from binascii import Error, a2b_base64
from typing import Any, Final

from transforms.core.errors import DecodeError
from transforms.decode.attributes import MAX_DEPTH, AnyValue, Pairs, label_text, split_resource
from transforms.decode.causes import BAD_ELEMENT, BAD_LABELS, BAD_OTLP, BAD_TIME, BAD_VALUE
from transforms.decode.collecting import Envelope, Record
from transforms.decode.locating import Locator, Path
from transforms.decode.otlp_rules import Form, Metric, Point, of_series, rows
from transforms.decode.scalars import is_numeric, is_text

_FORMS: Final[dict[str, Form]] = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential",
    "summary": "summary",
}
_TEMPORALITIES: Final = {
    None: 0,
    "AGGREGATION_TEMPORALITY_UNSPECIFIED": 0,
    "AGGREGATION_TEMPORALITY_DELTA": 1,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
}
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def read_record(envelope: Envelope, document: Any) -> Record:  # noqa: ANN401 - any JSON
    """A request, of which integers are exact. Raises DecodeError (BAD_OTLP) if it is not built like one."""
    record, locator = Record(), Locator(envelope.raw)
    for at, resource_metrics in _objects(document, "resourceMetrics"):
        resource = resource_metrics.get("resource")
        entity, _ = context(resource, None)
        posting = record.add_posting("labeled", envelope.org, entity, envelope.arrival_us)
        for place, scope_metrics in _objects(resource_metrics, "scopeMetrics"):
            _, labels = context(resource, scope_metrics.get("scope"))
            for which, metric in _objects(scope_metrics, "metrics"):
                path: Path = ("resourceMetrics", at, "scopeMetrics", place, "metrics", which)
                _Metric(record, posting, labels, locator, path).add(metric)
    return record


def context(resource: object, scope: object) -> tuple[str, Pairs | DecodeError]:
    """The entity and the labels, or what is wrong with them, of a resource and a scope."""
    found = _resource(_object({"resource": resource}, "resource"))
    entity, labels = ("", found) if isinstance(found, DecodeError) else found
    return entity, _with_scope(labels, _object({"scope": scope}, "scope"))


def pairs(attributes: object) -> Pairs:
    """Labels of an array of attributes. Raises DecodeError for a broken one."""
    return tuple(_pair(one) for one in _values({"attributes": attributes}, "attributes"))


def bounds(values: object) -> tuple[float, ...]:
    """The bounds in an array. Raises DecodeError for anything else."""
    return tuple(_required(one) for one in _values({"explicitBounds": values}, "explicitBounds"))


class _Metric:
    def __init__(self, record: Record, posting: int, context: Pairs | DecodeError, locator: Locator, path: Path) -> None:
        self._record, self._posting, self._context, self._locator, self._path = record, posting, context, locator, path

    def add(self, metric: dict[str, Any]) -> None:
        """All points of a metric."""
        name = metric.get("name", "")
        for key, form in _FORMS.items():
            if metric.get(key) is None:
                continue
            data = _object(metric, key)
            temporality = data.get("aggregationTemporality")
            what = Metric(
                name=name if isinstance(name, str) and is_text(name) else None,
                form=form,
                temporality=_temporality(temporality),
                is_monotonic=data.get("isMonotonic") is True,
            )
            for place, element in enumerate(_list(data, "dataPoints")):
                self._add_point(what, element, (*self._path, key, "dataPoints", place))

    def _add_point(self, what: Metric, element: object, path: Path) -> None:
        try:
            found = rows(what, _point(element), self._context)
        except DecodeError as error:
            attributes = _pairs_or_broken(element) if isinstance(element, dict) else ()
            told = of_series(error, self._record.postings[self._posting][2], what.name, self._context, attributes)
            self._record.bury(told, self._locator.raw(path))
        else:
            self._record.rows += [(self._posting, row) for row in found]


def _point(element: object) -> Point:
    if not isinstance(element, dict):
        raise DecodeError(BAD_ELEMENT, "a data point is not an object")
    quantiles = [_quantile(one) for one in _values(element, "quantileValues")]
    return Point(
        attributes=_pairs_or_broken(element),
        start_ns=_integer(element, "startTimeUnixNano", BAD_TIME),
        time_ns=_integer(element, "timeUnixNano", BAD_TIME),
        flags=_integer(element, "flags"),
        value=_value(element),
        count=_integer(element, "count"),
        sum=_double(element, "sum"),
        min=_double(element, "min"),
        max=_double(element, "max"),
        bounds=bounds(element.get("explicitBounds")),
        bucket_counts=_counts(element),
        scale=_integer(element, "scale", lowest=-(1 << 31)),
        zero_count=_integer(element, "zeroCount"),
        zero_threshold=_double(element, "zeroThreshold") or 0.0,
        positive=_buckets(element, "positive"),
        negative=_buckets(element, "negative"),
        quantiles=quantiles,
    )


def _value(point: dict[str, Any]) -> float | None:
    if point.get("asInt") is not None:
        return float(_integer(point, "asInt", lowest=-(1 << 63)))
    return _double(point, "asDouble")


def _quantile(one: object) -> tuple[float, float]:
    if not isinstance(one, dict):
        raise DecodeError(BAD_VALUE, "a quantile is not an object")
    return _double(one, "quantile") or 0.0, _double(one, "value") or 0.0


def _buckets(point: dict[str, Any], name: str) -> tuple[int, tuple[int, ...]]:
    buckets = point.get(name)
    if buckets is None:
        return 0, ()
    if not isinstance(buckets, dict):
        raise DecodeError(BAD_VALUE, f"{name} is not an object")
    return _integer(buckets, "offset", lowest=-(1 << 31)), _counts(buckets)


def _counts(fields: dict[str, Any]) -> tuple[int, ...]:
    return tuple(_integer({"count": one}, "count") for one in _values(fields, "bucketCounts"))


def _values(fields: dict[str, Any], name: str) -> list[Any]:
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise DecodeError(BAD_VALUE, f"{name} is not an array")
    return values


def _integer(fields: dict[str, Any], name: str, cause: str = BAD_VALUE, lowest: int = 0) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value < 1 << 64:
        return value
    raise DecodeError(cause, f"{name} {value!a:.80} is not an integer of at least {lowest}")


def _double(fields: dict[str, Any], name: str) -> float | None:
    return None if fields.get(name) is None else _required(fields[name])


def _required(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and is_numeric(value):
        return float(value)
    raise DecodeError(BAD_VALUE, f"{value!a:.80} is not a number")


def _temporality(value: object) -> int:
    """What is none of the enumeration's is 0, too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _TEMPORALITIES.get(value, 0) if value is None or isinstance(value, str) else 0


def _resource(resource: dict[str, Any]) -> tuple[str, Pairs] | DecodeError:
    pairs = _pairs_or_broken(resource)
    try:
        return pairs if isinstance(pairs, DecodeError) else split_resource(pairs)
    except DecodeError as error:
        return error


def _with_scope(labels: Pairs | DecodeError, scope: dict[str, Any]) -> Pairs | DecodeError:
    if isinstance(labels, DecodeError):
        return labels
    named = [("scope." + key, scope.get(key) or "") for key in ("name", "version")]
    if not all(isinstance(text, str) and is_text(text) for _, text in named):
        return DecodeError(BAD_LABELS, "a scope's name or version is not a text")
    return labels + tuple((key, text) for key, text in named if text)


def _pairs_or_broken(holder: dict[str, Any]) -> Pairs | DecodeError:
    try:
        return pairs(holder.get("attributes"))
    except DecodeError as error:
        return DecodeError(BAD_LABELS, error.detail)


def _pair(one: object) -> tuple[str, str]:
    if not isinstance(one, dict) or not isinstance(one.get("key", ""), str):
        raise DecodeError(BAD_LABELS, f"{one!a:.80} is not a pair of key and value")
    key, text = one.get("key", ""), label_text(_any_value(one.get("value")))
    if not is_text(key) or not is_text(text):
        raise DecodeError(BAD_LABELS, f"{one!a:.80} is not text")
    return key, text


def _any_value(value: Any, depth: int = 0) -> AnyValue:  # noqa: ANN401 - any JSON
    if value is None or value == {}:
        return None
    if depth > MAX_DEPTH or not isinstance(value, dict):
        raise DecodeError(BAD_LABELS, f"{value!a:.80} is not a value, or nested more than {MAX_DEPTH} levels deep")
    kind, content = next(iter(value.items()))
    if kind == "arrayValue":
        return [_any_value(one, depth + 1) for one in _values(_holder(content), "values")]
    if kind == "kvlistValue":
        pairs_of = [_holder(one) for one in _values(_holder(content), "values")]
        return {str(one.get("key", "")): _any_value(one.get("value"), depth + 1) for one in pairs_of}
    return _scalar(kind, content)


def _holder(content: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The object that a value is; nothing counts as an empty one."""
    if content and not isinstance(content, dict):
        raise DecodeError(BAD_LABELS, f"{content!a:.80} is not an object")
    return content or {}


def _scalar(kind: str, content: Any) -> AnyValue:  # noqa: ANN401 - any JSON
    if kind == "intValue":
        return _integer({kind: content}, kind, BAD_LABELS, -(1 << 63))
    if kind == "doubleValue":
        return _required(content)
    if kind == "bytesValue" and isinstance(content, str):
        try:
            return a2b_base64(content, strict_mode=True)
        except (Error, ValueError) as error:
            raise DecodeError(BAD_LABELS, f"bytes that are no base64: {error}") from error
    if (kind, type(content)) in (("stringValue", str), ("boolValue", bool)):
        return content  # type: ignore[no-any-return]
    raise DecodeError(BAD_LABELS, f"{kind} {content!a:.80} is not a value")


def _objects(holder: object, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The elements of an array of objects, and their places."""
    elements = _list(holder, name)
    if not all(isinstance(one, dict) for one in elements):
        raise DecodeError(BAD_OTLP, f"an element of {name} is not an object")
    return list(enumerate(elements))


def _list(holder: object, name: str) -> list[Any]:
    elements = holder.get(name) if isinstance(holder, dict) else None
    if elements is None:
        return []
    if not isinstance(elements, list):
        raise DecodeError(BAD_OTLP, f"{name} is not an array")
    return elements


def _object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise DecodeError(BAD_OTLP, f"{name} is not an object")
    return found
