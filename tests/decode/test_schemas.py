"""Schemas of records: what is told by content, labeled postings, OTLP/JSON, CloudWatch, and what mixtures of them become."""

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from scripts.encoders.cloudwatch import RECORD as CLOUDWATCH
from tests.decode.otlp_requests import NOW_NS, requests, varint
from tests.decode.parts import ARRIVAL_US, Plain, messages, otlp_exports, plain
from transforms.core.errors import DecodeError
from transforms.core.flat import FlatMapping
from transforms.decode import columnar, otlp, schemas, strict
from transforms.decode.causes import BAD_ENTITY, BAD_LABELS, BAD_NAME, BAD_OTLP, BAD_TIME, BAD_VALUE, UNSUPPORTED_PAYLOAD
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.payload import Payload
from transforms.decode.strict import Source

EXPORTS = otlp_exports()
SOURCE = Source(key="key", arrival_us=ARRIVAL_US, org="acme")
MAPPING = FlatMapping(time="t", value="v", name="n")


def labeled(data: bytes, **fields: Any) -> bytes:
    return json.dumps({"type": "labeled", "org": "acme", "receivedAt": ARRIVAL_US / 1e6, "otlp": base64.b64encode(data).decode(), **fields}).encode()


def whole(body: bytes, flat: FlatMapping | None = None) -> Plain:
    return plain(decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=DecodeRules(org="acme", flat=flat)))


def as_json(request: bytes) -> bytes:
    return json.dumps(json_format.MessageToDict(ExportMetricsServiceRequest.FromString(request))).encode()


def strictly(body: bytes) -> Plain:
    return plain(strict.read(body, 0, len(body), SOURCE).decoded)


def delimited(data: list[bytes]) -> bytes:
    return b"".join(varint(len(one)) + one for one in data)


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        (b'{"type":"host","hostId":"h","metrics":[]}', "posting"),
        (b' \n{"type":"labeled","otlp":""}', "posting"),
        (b'[{"hostId":"h","name":"n","time":1,"value":1}]', "bare host array"),
        (b"[]", "bare host array"),
        (EXPORTS[0], "OTLP protobuf"),
        (EXPORTS[0] + EXPORTS[1], "OTLP protobuf"),
        (delimited(EXPORTS[:2]), "OTLP protobuf, length-delimited"),
        (b'{"resourceMetrics":[]}', "OTLP/JSON"),
        (json.dumps(CLOUDWATCH).encode(), "CloudWatch JSON"),
        (b'{"t":1}', "unknown"),
        (b"[1]", "unknown"),
        (b"", "unknown"),
        (b"{", "unknown"),
        (b"\xff\x00\x01", "unknown"),
        (EXPORTS[0][:-1], "unknown"),
    ],
)
def test_schema_of(data: bytes, schema: str) -> None:
    assert schemas.schema_of(data) == schema


def test_schema_of_flat_rows() -> None:
    assert schemas.schema_of(b'{"t":1}', MAPPING) == "flat"
    assert schemas.schema_of(b'[{"t":1}]', MAPPING) == "flat"
    assert schemas.schema_of(b'{"type":"host","hostId":"h","metrics":[]}', MAPPING) == "posting"


def test_labeled_postings_are_the_requests_that_they_hold() -> None:
    truth = plain(otlp.read([one._replace(org="acme", arrival_us=ARRIVAL_US) for one in messages(EXPORTS)], "key").decoded)
    body = b"".join(map(labeled, EXPORTS))
    assert columnar_reading(body) == truth
    assert strictly(body) == whole(body) == truth


def columnar_reading(body: bytes) -> Plain | None:
    try:
        return plain(columnar.read(body, SOURCE))
    except DecodeError:
        return None


def test_labeled_postings_among_others_and_broken_ones() -> None:
    host = b'{"type":"host","hostId":"h","metrics":[{"name":"n","time":1762000000,"value":1},{"name":"n"}]}'
    good = b'{"type":"host","hostId":"h","metrics":[{"name":"n","time":1762000000,"value":1}]}'
    body = b"\n".join([good, labeled(EXPORTS[0]), good, labeled(EXPORTS[1], org="other")])
    assert columnar_reading(body) == strictly(body) == whole(body)
    assert [row[:2] for row in whole(body).postings] == [("host", "acme"), ("labeled", "acme"), ("host", "acme"), ("labeled", "other")]
    bad = labeled(b"\xff")
    mixed = b"\n".join([labeled(EXPORTS[0]), bad, host, labeled(EXPORTS[1])])
    found = whole(mixed)
    assert found == strictly(mixed)
    assert columnar_reading(mixed) is None
    assert [(offset, cause) for _, offset, cause, _ in found.dead] == [(mixed.index(bad), BAD_OTLP), (mixed.index(b'{"name":"n"}'), BAD_TIME)]
    assert found.dead[0][3] == bad
    assert found.tally.records == 4
    assert found.tally.dead_records == 1


@settings(max_examples=60, deadline=None)
@given(requests())
def test_json_is_the_request_that_it_was_made_of(data: bytes) -> None:
    """The JSON is the protobuf package's own."""
    message = ExportMetricsServiceRequest.FromString(data)
    body = json.dumps(json_format.MessageToDict(message)).encode()
    body = body if b"resourceMetrics" in body else b'{"resourceMetrics":[]}'
    truth = plain(otlp.read(messages([data]), "key").decoded)
    found = whole(body)
    assert found.points == truth.points
    assert [letter[2] for letter in found.dead] == [letter[2] for letter in truth.dead]
    assert found.tally == truth.tally


def test_real_exports_as_json() -> None:
    body = b"\n".join(map(as_json, EXPORTS[:4]))
    truth = plain(otlp.read([one._replace(org="acme", arrival_us=ARRIVAL_US) for one in messages(EXPORTS[:4])], "key").decoded)
    assert whole(body) == truth


def test_broken_json_points_are_found_where_they_stand() -> None:
    broken = '{"timeUnixNano":"1762000000000000000","asInt":true}'
    good = '{"timeUnixNano":1762000000000000000,"asDouble":"Infinity"}'
    body = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{good},{broken}, 5]}}}}]}}]}}]}}'.encode()
    found = whole(body)
    assert [letter[2:] for letter in found.dead] == [(BAD_VALUE, broken.encode()), ("broken point: not an object", b"5")]
    assert found.tally.dropped == {"infinite": {"labeled": 1}}
    assert [letter[2] for letter in whole(b'{"resourceMetrics":5}').dead] == [BAD_OTLP]


def test_cloudwatch_in_json() -> None:
    found = whole(json.dumps(CLOUDWATCH).encode() + b"\n" + json.dumps(CLOUDWATCH | {"dimensions": {}}).encode())
    statistics = {"count": 4, "sum": 20.0, "min": 0.5, "max": 9.5, "bounds": [], "bucket_counts": [4]}
    labels = '{"InstanceId":"i-1","account_id":"123456789012","region":"eu-west-1"}'
    assert found.postings == [("labeled", "acme", "AWS/EC2", None, ARRIVAL_US)] * 2
    assert found.points[0] == (0, "CPUUtilization", labels, "histogram", 0, 1762000020123000, 1762000020, "0x0.0p+0", statistics)
    assert found.points[1][2] == '{"account_id":"123456789012","region":"eu-west-1"}'
    assert found.tally.points == {"labeled": 2}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"namespace": None}, BAD_ENTITY),
        ({"metric_name": 5}, BAD_NAME),
        ({"dimensions": {"a": 5}}, BAD_LABELS),
        ({"dimensions": {"region": "x"}}, BAD_LABELS),
        ({"timestamp": 1762000020}, BAD_TIME),
        ({"timestamp": None}, BAD_TIME),
        ({"value": 5}, BAD_VALUE),
        ({"value": {"count": 1.5}}, BAD_VALUE),
        ({"value": {"count": -1}}, BAD_VALUE),
        ({"value": {"count": 1e19}}, BAD_VALUE),
        ({"value": {"count": 1, "sum": "x"}}, BAD_VALUE),
        ({"value": None}, "null"),
        ({"value": {"count": 1, "sum": "nan"}}, "nan"),
        ({"value": {"count": 1, "max": "inf"}}, "infinite"),
    ],
)
def test_odd_cloudwatch_records(fields: dict[str, Any], what: str) -> None:
    raw = json.dumps(CLOUDWATCH | fields).encode()
    found = whole(raw)
    assert found.points == []
    is_dead = what.startswith("broken")
    assert found.dead == ([("key", 0, what, raw)] if is_dead else [])
    assert found.tally.dropped == ({} if is_dead else {what: {"labeled": 1}})
    assert found.tally.decoded_records == 1


STREAM = [
    {"key": "cloud.provider", "value": {"string_value": "aws"}},
    {"key": "aws.exporter.arn", "value": {"string_value": "arn:aws:cloudwatch:us-east-1:123456789012:metric-stream/all"}},
]
"""Resource attributes as docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-opentelemetry-100.html shows them."""

NAME = "amazonaws.com/AWS/EC2/CPUUtilization"


def _summary(quantiles: dict[float, float], name: str, resource: Any = ()) -> bytes:
    values = [{"quantile": quantile, "value": value} for quantile, value in quantiles.items()]
    point = pb.SummaryDataPoint(start_time_unix_nano=NOW_NS - 60 * 10**9, time_unix_nano=NOW_NS, count=4, sum=20.0, quantile_values=values)
    metric = pb.Metric(name=name, unit="Percent", summary={"data_points": [point]})
    request = ExportMetricsServiceRequest(resource_metrics=[{"resource": {"attributes": list(resource)}, "scope_metrics": [{"metrics": [metric]}]}])
    data: bytes = request.SerializeToString()
    return data


def test_cloudwatch_in_opentelemetry() -> None:
    """Requests behind their lengths, with summaries that are statistic sets."""
    body = delimited([_summary({0.0: 0.5, 1.0: 9.5}, NAME), EXPORTS[0]])
    found = whole(body)
    assert found.points[0][1:] == (
        NAME, "{}", "histogram", NOW_NS // 1000 - 60_000_000, NOW_NS // 1000, NOW_NS // 10**9, "0x0.0p+0",
        {"count": 4, "sum": 20.0, "min": 0.5, "max": 9.5, "bounds": [], "bucket_counts": [4]},
    )  # fmt: skip
    assert found.tally.records == 2
    assert plain(schemas.read([Payload(body, 7, 5)], SOURCE)).points == found.points[:1] + [(1, *row[1:]) for row in found.points[1:]]


BOTH = (0.5, 9.5)


@pytest.mark.parametrize(
    ("quantiles", "name", "resource", "ends"),
    [
        ({0.0: 0.5, 0.9: 8.0, 0.99: 9.0, 1.0: 9.5}, NAME, STREAM, BOTH),
        ({0.9: 8.0, 1.0: 9.5, 0.0: 0.5}, "renamed", STREAM, BOTH),
        ({0.0: 0.5, 0.5: 5.0, 1.0: 9.5}, NAME, (), BOTH),
        ({0.0: 0.5, 1.0: 9.5}, "of any producer", (), BOTH),
        ({0.99: 9.0, 1.0: 9.5}, NAME, STREAM, (None, 9.5)),
        ({}, NAME, STREAM, (None, None)),
    ],
    ids=["percentiles", "renamed by a collector", "without resource", "other producer's minimum and maximum", "no minimum", "count and sum alone"],
)
@pytest.mark.parametrize("read", [lambda data: data, as_json], ids=["protobuf", "JSON"])
def test_statistic_sets(read: Any, quantiles: dict[float, float], name: str, resource: Any, ends: tuple[float | None, float | None]) -> None:
    (row,) = whole(read(_summary(quantiles, name, resource))).points
    assert (row[1], row[3]) == (name, "histogram")
    assert row[-1] == {"count": 4, "sum": 20.0, "min": ends[0], "max": ends[1], "bounds": [], "bucket_counts": [4]}


@pytest.mark.parametrize("resource", [(), STREAM[:1], [{"key": "aws.exporter.arn", "value": {"string_value": "arn:aws:ecs:eu-west-1:1:task/x"}}]])
def test_summaries_of_other_producers_are_counters(resource: Any) -> None:
    found = whole(_summary({0.0: 0.5, 0.5: 5.0, 1.0: 9.5}, "rpc", resource))
    assert [(row[1], row[3], float.fromhex(row[7])) for row in found.points] == [
        ("rpc.count", "counter", 4.0), ("rpc.sum", "counter", 20.0), ("rpc", "gauge", 0.5), ("rpc", "gauge", 5.0), ("rpc", "gauge", 9.5)
    ]  # fmt: skip


def test_a_stream_s_quantile_beyond_1_is_broken() -> None:
    found = whole(_summary({0.0: 0.5, 1.0: 9.5, 90.0: 8.0}, NAME, STREAM))
    assert (found.points, [letter[2] for letter in found.dead]) == ([], [BAD_VALUE])


def test_a_delimited_object_that_is_cut_off_keeps_its_whole_requests() -> None:
    body = delimited(EXPORTS[:3])
    found = whole(body[:-5])
    assert found.points == whole(delimited(EXPORTS[:2])).points
    assert [letter[1:3] for letter in found.dead] == [(len(delimited(EXPORTS[:2])), UNSUPPORTED_PAYLOAD)]
    assert found.tally.records == 3


def test_payloads_of_many_schemas_come_in_their_order() -> None:
    host = b'{"type":"host","hostId":"h","metrics":[{"name":"n","time":1762000000,"value":1}]}'
    payloads = [
        Payload(EXPORTS[0], 0, 10),
        Payload(host, 1, 11),
        Payload(b"\xff\xff", 2, 12),
        Payload(labeled(EXPORTS[1], receivedAt=None), 3, 13),
        Payload(json.dumps(CLOUDWATCH).encode(), 4, 14),
        Payload(EXPORTS[0][:-1], 5, 15),
        Payload(b'{"type":"x"}', 6, 16),
        Payload(delimited(EXPORTS[2:4]), 7, 17),
    ]
    found = plain(schemas.read(payloads, SOURCE))
    assert [row[4] for row in found.postings] == [10, 11, 13, 14, 17, 17]
    assert sorted(row[0] for row in found.points) == [row[0] for row in found.points]
    assert [letter[1:3] for letter in found.dead] == [(2, UNSUPPORTED_PAYLOAD), (5, BAD_OTLP), (6, "unknown type")]
    assert (found.tally.records, found.tally.dead_records) == (8, 3)
    assert found.tally.records == found.tally.decoded_records + found.tally.dead_records
