"""Random OTLP requests, now and then with something odd in them, and damaged ones."""

import struct
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

NOW_NS = 1_762_000_000 * 10**9

_KEYS = st.sampled_from(["route", "status", "日本", "", "quantile", "scope.name", "service.name", "x"])
_TEXTS = st.sampled_from(["", "/a", 'q"\\', "日本", "\U0001f600", "\x7f"])
_DOUBLES = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.5, 2.0**53, float("nan"), float("inf"), -float("inf")]))
_TIMES = st.one_of(
    st.integers(NOW_NS, NOW_NS + 10**12), st.sampled_from([0, 1, 946_684_800 * 10**9 - 1, 946_684_800 * 10**9, 4_133_980_800 * 10**9 - 1, 2**64 - 1])
)


def _rarely(draw: st.DrawFn, odd: st.SearchStrategy[Any], usual: Any) -> Any:
    return draw(odd) if draw(st.integers(0, 9)) == 9 else usual


_VALUES = st.recursive(
    st.one_of(
        _TEXTS.map(lambda one: AnyValue(string_value=one)),
        st.booleans().map(lambda one: AnyValue(bool_value=one)),
        st.integers(-(2**63), 2**63 - 1).map(lambda one: AnyValue(int_value=one)),
        _DOUBLES.map(lambda one: AnyValue(double_value=one)),
        st.binary(max_size=4).map(lambda one: AnyValue(bytes_value=one)),
        st.just(AnyValue()),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3).map(lambda ones: AnyValue(array_value={"values": ones})),
        st.lists(st.tuples(_KEYS, values), max_size=3).map(
            lambda pairs: AnyValue(kvlist_value={"values": [KeyValue(key=key, value=value) for key, value in pairs]})
        ),
    ),
    max_leaves=4,
)


@st.composite
def _attributes(draw: st.DrawFn) -> list[KeyValue]:
    keys = draw(st.lists(_KEYS, max_size=3, unique=draw(st.integers(0, 9)) < 9))
    return [KeyValue(key=key, value=_rarely(draw, _VALUES, AnyValue(string_value=draw(_TEXTS)))) for key in keys]


_EXPORTERS = st.sampled_from(["arn:aws-cn:cloudwatch:cn-north-1:123456789012:metric-stream/all", "arn:aws:ecs:eu-west-1:1:task/x", "x:metric-stream/", ""]).map(
    lambda arn: [KeyValue(key="aws.exporter.arn", value=AnyValue(string_value=arn))]
)


@st.composite
def _common(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "attributes": draw(_attributes()),
        "start_time_unix_nano": draw(st.sampled_from([0, NOW_NS - 10**9, 2**64 - 1])),
        "time_unix_nano": _rarely(draw, _TIMES, NOW_NS),
        "flags": _rarely(draw, st.sampled_from([1, 2, 3, 257]), 0),
    }


@st.composite
def _number_points(draw: st.DrawFn) -> Any:
    value = draw(st.sampled_from([{}, {"as_int": 1}, {"as_int": -(2**63)}, {"as_int": 2**53 + 1}, {"as_double": draw(_DOUBLES)}, {"as_double": 0.5}]))
    return pb.NumberDataPoint(**draw(_common()), **value)


@st.composite
def _measures(draw: st.DrawFn) -> dict[str, float]:
    return {key: _rarely(draw, _DOUBLES, 1.5) for key in ("sum", "min", "max") if draw(st.booleans())}


@st.composite
def _histogram_points(draw: st.DrawFn) -> Any:
    bounds = sorted(draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 10.0]), unique=True, max_size=4)))
    counts = draw(st.lists(st.integers(0, 300), min_size=len(bounds) + 1, max_size=len(bounds) + 1)) if draw(st.integers(0, 5)) else []
    bounds = _rarely(draw, st.sampled_from([[1.0, 1.0], [2.0, 1.0], [float("inf")], [float("nan"), 1.0]]), bounds if counts else [])
    count = _rarely(draw, st.sampled_from([0, 1, 2**63, 2**64 - 1]), sum(counts) or 5 * (not counts))
    if draw(st.integers(0, 19)) == 19:
        counts, count = [2**41] * len(counts), 2**41 * len(counts)
    return pb.HistogramDataPoint(**draw(_common()), **draw(_measures()), count=count, explicit_bounds=bounds, bucket_counts=counts)


@st.composite
def _exponential_points(draw: st.DrawFn) -> Any:
    sides = [
        {"offset": draw(st.sampled_from([0, 1, -3, 40, -(2**31), 2**31 - 1][: 6 if draw(st.integers(0, 9)) == 9 else 4])), "bucket_counts": draw(_COUNTS)}
        for _ in range(2)
    ]
    zero = draw(st.sampled_from([0, 0, 3]))
    count = zero + sum(sides[0]["bucket_counts"]) + sum(sides[1]["bucket_counts"])
    return pb.ExponentialHistogramDataPoint(
        **draw(_common()),
        **draw(_measures()),
        count=_rarely(draw, st.sampled_from([7, 2**63]), count),
        scale=_rarely(draw, st.sampled_from([20, -9, -10, -11, 1000, -1000, 2**31 - 1, -(2**31)]), draw(st.integers(-2, 4))),
        zero_count=zero,
        zero_threshold=_rarely(draw, st.sampled_from([1.0, -1.0, -0.0, 8.0, float("nan"), float("inf")]), draw(st.sampled_from([0.0, 1e-6]))),
        positive=sides[0],
        negative=sides[1],
    )


_COUNTS = st.one_of(st.just([]), st.lists(st.sampled_from([0, 1, 127, 128, 70_000]), max_size=5), st.just([2**41]))


@st.composite
def _summary_points(draw: st.DrawFn) -> Any:
    quantiles = draw(st.sampled_from([[0.0, 1.0], [1.0, 0.0], [-0.0, 1.0], [], [0.5], [0.5, 0.99, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0]]))
    quantiles = _rarely(draw, st.sampled_from([[1.5], [float("nan")], [0.0, float("nan")], [1e-9]]), quantiles)
    values = [{"quantile": one, "value": _rarely(draw, _DOUBLES, 2.5 + place)} for place, one in enumerate(quantiles)]
    count = _rarely(draw, st.sampled_from([2**53 + 1, 2**63, 2**64 - 1]), 9)
    return pb.SummaryDataPoint(**draw(_common()), count=count, sum=_rarely(draw, _DOUBLES, 4.5), quantile_values=values)


@st.composite
def _metrics(draw: st.DrawFn) -> Any:
    form, points = draw(
        st.sampled_from(
            [
                ("gauge", _number_points()),
                ("sum", _number_points()),
                ("histogram", _histogram_points()),
                ("exponential_histogram", _exponential_points()),
                ("summary", _summary_points()),
                ("", st.none()),
            ]
        )
    )
    data: dict[str, Any] = {"data_points": draw(st.lists(points, max_size=4))} if form else {}
    if form in ("sum", "histogram", "exponential_histogram"):
        data["aggregation_temporality"] = _rarely(draw, st.sampled_from([0, 3, -1]), draw(st.sampled_from([1, 2])))
    if form == "sum":
        data["is_monotonic"] = draw(st.booleans())
    return pb.Metric(
        name=_rarely(draw, st.sampled_from(["", "日本", "amazonaws.com"]), draw(st.sampled_from(["m", "amazonaws.com/m"]))),
        description="d",
        **({form: data} if form else {}),
    )


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """The bytes of a request."""
    request = ExportMetricsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = request.resource_metrics.add(schema_url="u")
        resource.resource.attributes.extend(draw(_attributes()))
        resource.resource.attributes.extend(_rarely(draw, _EXPORTERS, []))
        for _ in range(draw(st.integers(0, 2))):
            scope = resource.scope_metrics.add()
            scope.scope.name, scope.scope.version = draw(st.sampled_from([("", ""), ("app", "1.0"), ("日本", "")]))
            scope.metrics.extend(draw(st.lists(_metrics(), max_size=3)))
    data: bytes = request.SerializeToString()
    return data


@st.composite
def damaged(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """A request with a few bytes taken out, put in, changed or doubled."""
    data = bytearray(draw(sources))
    for _ in range(draw(st.integers(1, 4))):
        at, other = draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0:
                del data[at : at + draw(st.integers(1, 3))]
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=3))
            case 2:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 3:
                data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ 1 << draw(st.integers(0, 7))])
            case _:
                data[at:at] = data[other : other + draw(st.integers(1, 30))]
    return bytes(data)


def varint(value: int) -> bytes:
    """A number of the wire format."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def part(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed(number: int, value: int) -> bytes:
    """A field of eight bytes."""
    return varint(number << 3 | 1) + struct.pack("<Q", value)
