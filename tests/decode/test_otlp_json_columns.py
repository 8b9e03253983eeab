"""OTLP/JSON by columns: it says what the reader of one point after the other says, of random requests, real ones, and those with something odd in them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings, strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.decode.otlp_requests import requests
from tests.decode.parts import ARRIVAL_US, Plain, otlp_exports, plain
from transforms.core.errors import DecodeError
from transforms.decode import columnar, otlp_json_columns, strict
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.strict import Source

SOURCE = Source(key="key", arrival_us=ARRIVAL_US, org="acme")

_settings = settings(max_examples=150, deadline=None)


def strictly(body: bytes) -> Plain:
    return plain(strict.read(body, 0, len(body), SOURCE).decoded)


def by_columns(body: bytes) -> Plain | None:
    try:
        return plain(columnar.read(body, SOURCE))
    except DecodeError:
        return None


def whole(body: bytes) -> Plain:
    return plain(decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=DecodeRules(org="acme")))


def require_same(body: bytes) -> bool:
    """True if the text was read by columns."""
    part, found = strict.read(body, 0, len(body), SOURCE), by_columns(body)
    if part.end < len(body):  # an envelope, which the strict reader does not read
        assert found is None
        return False
    truth = plain(part.decoded)
    assert found in (None, truth)
    assert whole(body) == truth
    return found is not None


def document(data: bytes) -> dict[str, Any]:
    """The JSON of a request, as the protobuf package writes it."""
    return {"resourceMetrics": []} | json_format.MessageToDict(ExportMetricsServiceRequest.FromString(data))


def lines(documents: list[dict[str, Any]], *, compact: bool = False) -> bytes:
    return b"\n".join(json.dumps(one, separators=(",", ":") if compact else None, ensure_ascii=compact).encode() for one in documents)


EXPORTS = [document(data) for data in otlp_exports()[:4]]


def test_real_exports_are_read_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    body = lines(EXPORTS)
    truth = strictly(body)
    assert len(truth.points) > 500
    monkeypatch.setattr(otlp_json_columns, "_strictly", None)
    assert by_columns(body) == truth
    assert by_columns(lines(EXPORTS, compact=True)) == truth


@_settings
@given(st.lists(requests(), min_size=1, max_size=4), st.booleans())
def test_random_requests(data: list[bytes], compact: bool) -> None:
    assert require_same(lines([document(one) for one in data], compact=compact))


_ODD: list[Any] = [
    None, True, 0, 5, -1, 1.5, 5.0, 2**53 + 1, 2**63, 2**64, 2**70, "", "5", "-5", "+5", " 5", "1 2", "1,2", "1.5", "5.0", "007", "0" * 25, "NaN", "Infinity",
    "inf", "x", "\ud800", "\0", [], {}, [[]], [1], ["1"], ["1", 2], ["1,2", 3], ["1, 2", "3"], [1.5], [None], [[1]], ["]"], ["[1]"], [-1], [2**41], {"x": 1},
    "AGGREGATION_TEMPORALITY_DELTA", {"stringValue": "x"}, {"key": "a", "value": {"intValue": "5"}},
]  # fmt: skip


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every object or array and a key or index of it."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _holders(value[key])


_NAMES = (
    "timeUnixNano", "startTimeUnixNano", "flags", "asInt", "asDouble", "count", "sum", "min", "max", "explicitBounds", "bucketCounts", "scale", "zeroCount",
    "zeroThreshold", "positive", "negative", "offset", "quantileValues", "attributes", "resource", "scope", "name", "version", "gauge", "histogram", "summary",
    "aggregationTemporality", "isMonotonic", "dataPoints", "kinesis", "Records", "data", "exemplars", "metrics", "type",
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(requests(), st.integers(0, 10**6), st.sampled_from(_NAMES), st.sampled_from(_ODD), st.booleans())
def test_odd_values_anywhere(data: bytes, place: int, name: str, odd: Any, is_added: bool) -> None:
    """One value is another one, or a field more is there; the request stands between two good ones."""
    one = document(data)
    holders = list(_holders(one))
    if holders:
        holder, key = holders[place % len(holders)]
        holder[name if is_added and isinstance(holder, dict) else key] = odd
    text = json.dumps(one).encode()
    require_same(b"\n".join([lines(EXPORTS[:1]), text, lines(EXPORTS[1:2])]))


def point(**fields: Any) -> dict[str, Any]:
    histogram = {"aggregationTemporality": 1, "dataPoints": [{"timeUnixNano": "1762000000000000000", **fields}]}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "histogram": histogram}]}]}]}


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"count": "3", "bucketCounts": ["1", "2"], "explicitBounds": [5]}, [1, 2]),
        ({"count": 3, "bucketCounts": [1, 2], "explicitBounds": [5.0]}, [1, 2]),
        ({"count": "3", "bucketCounts": [], "explicitBounds": None}, [3]),
        ({"count": "3"}, [3]),
    ],
)
def test_counts_as_texts_and_as_numbers(fields: dict[str, Any], counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_json_columns, "_strictly", None)
    found = by_columns(lines([point(**fields)]))
    assert found is not None
    assert [one[8]["bucket_counts"] for one in found.points] == [counts]


def test_only_the_request_that_is_odd_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = point(count="3", bucketCounts=["1", "1"], explicitBounds=[5])
    body = lines([*EXPORTS[:2], broken, *EXPORTS[2:]])
    truth = strictly(body)
    assert len(truth.dead) == 1
    asked: list[list[int]] = []
    plainly = otlp_json_columns._strictly

    def watched(records: list[int], *rest: Any) -> Any:
        asked.append(records)
        return plainly(records, *rest)

    monkeypatch.setattr(otlp_json_columns, "_strictly", watched)
    assert by_columns(body) == truth
    assert asked == [[2]]


@pytest.mark.parametrize("depth", [190, 199, 201, 400])
def test_unknown_fields_nested_deep(depth: int) -> None:
    deep = b'{"resourceMetrics":[],"x":' + b"[" * depth + b"]" * depth + b"}"
    require_same(b"\n".join([lines(EXPORTS[:1]), deep]))


def test_broken_points_say_of_which_series_they_are() -> None:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    points = [{"timeUnixNano": "5"}, {"timeUnixNano": "1762000000000000000", "asInt": "x"}, 5]
    metric = {"name": "queue", "gauge": {"dataPoints": [point if point == 5 else {**point, "attributes": []} for point in points]}}
    body = json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}).encode()
    letters = decode_object(body, key="k", arrival_us=ARRIVAL_US, rules=DecodeRules()).dead_letters
    assert [letter.detail for letter in letters] == [
        "time 5 is not a time in nanoseconds between the years 2000 and 2100; entity 'shop', name 'queue', labels {}",
        "asInt 'x' is not an integer of at least -9223372036854775808; entity 'shop', name 'queue', labels {}",
        "a data point is not an object; entity 'shop', name 'queue', labels {}",
    ]
