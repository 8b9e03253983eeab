"""Envelopes of Lambda and Firehose. Their shapes are the vendor's documented examples with data of our own; aggregates are aws_kinesis_agg's."""

import base64
import copy
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
import snappy
import zstandard
from hypothesis import given, settings, strategies as st

from tests.decode import postings as random_postings
from tests.decode.odd_records import A, B, C
from tests.decode.readings import ARRIVAL_US, RULES, SOURCE, Reading, reading, strictly, whole
from tests.decode.test_kpl import aggregate
from transforms.core.model import DecodeTally
from transforms.decode import columnar, objects, payloads, strict
from transforms.decode.causes import (
    BAD_ARRIVAL,
    BAD_DATA,
    BAD_DIGEST,
    BAD_JSON,
    BAD_RECORD,
    BAD_TIME,
    CORRUPT,
    ERROR_OUTPUT,
    EXPANSION,
    TOO_DEEP,
    TOO_LARGE,
    TOO_MANY,
    TRUNCATED,
    UNKNOWN_TYPE,
    UNSUPPORTED_PAYLOAD,
)
from transforms.decode.objects import DecodeRules, decode_object

AT_S = 1_545_084_650.987
AT_US = 1_545_084_650_987_000
POINT = {"name": "a", "time": 1_762_000_000, "value": 1.5}
LAMBDA_RECORD: dict[str, Any] = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "1",
        "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "approximateArrivalTimestamp": AT_S,
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
    "awsRegion": "us-east-2",
    "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
}
"""AWS Lambda Developer Guide, "Using Lambda to process records from Amazon Kinesis Data Streams"."""

FIREHOSE_RECORD: dict[str, Any] = {
    "recordId": "49546986683135544286507457936321625675700192471156785154",
    "approximateArrivalTimestamp": 1_495_072_949_453,
    "data": "SGVsbG8gV29ybGQ=",
    "kinesisRecordMetadata": {
        "sequenceNumber": "49545115243490985018280067714973144582180062593244200961",
        "subsequenceNumber": 123456,
        "partitionKey": "partitionKey-03",
        "shardId": "shardId-000000000000",
        "approximateArrivalTimestamp": 1_495_072_949_123,
    },
}
"""Amazon Data Firehose Developer Guide, "Transform source data": a record from a Kinesis stream."""

ERROR_RECORD: dict[str, Any] = {
    "attemptsMade": 4,
    "arrivalTimestamp": 1_511_386_516_784,
    "errorCode": "Lambda.FunctionError",
    "errorMessage": "The Lambda function was successfully invoked but it returned an error result.",
    "attemptEndingTimestamp": 1_511_386_591_000,
    "rawData": "",
    "lambdaArn": "arn:aws:lambda:us-east-1:123456789012:function:transform:$LATEST",
}
"""Amazon Data Firehose Developer Guide, "Handle failure in data transformation"."""


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lambda_record(data: bytes, **changed: object) -> dict[str, Any]:
    record = copy.deepcopy(LAMBDA_RECORD)
    record["kinesis"] |= {"data": encoded(data)} | changed
    return record


def lambda_event(*data: bytes) -> bytes:
    return json.dumps({"Records": [lambda_record(one) for one in data]}).encode()


def firehose_record(data: bytes, **changed: object) -> dict[str, Any]:
    return copy.deepcopy(FIREHOSE_RECORD) | {"data": encoded(data)} | changed


def error_record(data: bytes, **changed: object) -> dict[str, Any]:
    return ERROR_RECORD | {"rawData": encoded(data)} | changed


def as_lines(*records: object) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def hosts(found: Reading) -> str:
    return "".join(row[2] for row in found.postings)


def arrivals(found: Reading) -> list[int]:
    return [row[4] for row in found.postings]


def host(name: str, **fields: object) -> bytes:
    return json.dumps({"type": "host", "hostId": name, "metrics": [POINT]} | fields).encode()


ENVELOPES = {
    "Lambda's event": (lambda_event(host("a"), host("b")), AT_US),
    "two of them": (lambda_event(host("a")) + lambda_event(host("b")), AT_US),
    "Lambda's records alone": (as_lines(lambda_record(host("a")), lambda_record(host("b"))), AT_US),
    "Firehose's event": (
        as_lines({"invocationId": "x", "deliveryStreamArn": "y", "region": "z", "records": [firehose_record(host("a")), firehose_record(host("b"))]}),
        1_495_072_949_123_000,
    ),
    "Firehose's records alone": (as_lines(firehose_record(host("a")), firehose_record(host("b"))), 1_495_072_949_123_000),
    "without metadata": (as_lines(*(firehose_record(host(name), kinesisRecordMetadata=None) for name in "ab")), 1_495_072_949_453_000),
    "a transform's output": (as_lines({"records": [{"recordId": "1", "result": "Ok", "data": encoded(host(name))} for name in "ab"]}), ARRIVAL_US),
    "spread out": (json.dumps(json.loads(lambda_event(host("a"), host("b"))), indent=2).encode(), AT_US),
}


@pytest.mark.parametrize(("body", "arrival_us"), ENVELOPES.values(), ids=ENVELOPES)
def test_envelopes(body: bytes, arrival_us: int) -> None:
    for packed in (body, gzip.compress(body), body + b"\n"):
        found = whole(packed)
        assert found.postings == [("host", "default", name, None, arrival_us) for name in "ab"]
        assert found.points == [(place, "a", 1_762_000_000, (1.5).hex()) for place in (0, 1)]
        assert found.dead == []
        assert found.tally == DecodeTally(records=2, decoded_records=2, points={"host": 2})


def test_the_vendors_example_holds_no_posting() -> None:
    found = whole(as_lines({"Records": [LAMBDA_RECORD]}))
    assert found.dead == [(13, UNSUPPORTED_PAYLOAD, b"Hello, this is a test.")]
    assert found.tally == DecodeTally(records=1, dead_records=1)


def test_envelopes_and_postings_take_turns() -> None:
    data = A + lambda_event(host("b")) + b"\n" + C + b"x\n" + as_lines(lambda_record(host("d"))) + A
    found = whole(data)
    assert hosts(found) == "abcda"
    assert found.dead == [(data.index(b"x\n"), BAD_JSON, b"x")]


def test_a_posting_stays_one_whatever_else_it_has() -> None:
    data = host("a", Records=[], kinesis={}, data="", rawData="", errorCode="")
    assert hosts(whole(data)) == "a"
    assert whole(data) == strictly(data)


def test_what_the_records_say_goes_before_what_the_envelope_says() -> None:
    found = whole(lambda_event(host("a", receivedAt=1_762_000_000.5), host("b"), b'[{"hostId":"c","name":"a","time":1762000000,"value":1}]'))
    assert arrivals(found) == [1_762_000_000_500_000, AT_US, AT_US]


@pytest.mark.parametrize(
    ("told", "arrival_us"),
    [
        (1_762_000_000, 1_762_000_000_000_000),
        (1_762_000_000.123, 1_762_000_000_123_000),
        (1_762_000_000_123, 1_762_000_000_123_000),
        (1_762_000_000_123_456, 1_762_000_000_123_456),
        ("1762000000.5", 1_762_000_000_500_000),
        (946_684_800, 946_684_800_000_000),
        (946_684_800_000, 946_684_800_000_000),
        (946_684_800_000_000, 946_684_800_000_000),
        (4_133_980_799.999, 4_133_980_799_999_000),
        (4_133_980_799_999, 4_133_980_799_999_000),
        (4_133_980_799_999_999, 4_133_980_799_999_999),
        (None, ARRIVAL_US),
    ],
)
def test_the_unit_of_an_arrival_is_told_by_its_magnitude(told: object, arrival_us: int) -> None:
    for record in (
        lambda_record(host("a"), approximateArrivalTimestamp=told),
        firehose_record(host("a"), approximateArrivalTimestamp=told, kinesisRecordMetadata={"shardId": "x"}),
        firehose_record(host("a"), approximateArrivalTimestamp=1, kinesisRecordMetadata={"approximateArrivalTimestamp": told or ARRIVAL_US}),
    ):
        assert arrivals(whole(as_lines(record))) == [arrival_us]


@pytest.mark.parametrize(
    "told", [0, -1, 946_684_799, 4_133_980_800, 946_684_799_999, 4_133_980_800_000, 4_133_980_800_000_000, 1e300, "NaN", "soon", True, [], {}]
)
def test_an_arrival_beyond_belief_is_a_dead_letter(told: object) -> None:
    data = as_lines(lambda_record(host("a"), approximateArrivalTimestamp=told), lambda_record(host("b")))
    found = whole(data)
    assert hosts(found) == "b"
    assert found.dead == [(0, BAD_ARRIVAL, data.split(b"\n")[0])]


BROKEN: list[tuple[object, str]] = [
    (5, BAD_RECORD),
    (None, BAD_RECORD),
    ([], BAD_RECORD),
    ({}, BAD_DATA),
    ({"kinesis": None}, BAD_RECORD),
    ({"kinesis": {}}, BAD_DATA),
    ({"kinesis": {"data": None}}, BAD_DATA),
    ({"kinesis": {"data": ["YQ=="]}}, BAD_DATA),
    ({"kinesis": {"data": "YQ="}}, BAD_DATA),
    ({"kinesis": {"data": "YQ==YQ=="}}, BAD_DATA),
    ({"kinesis": {"data": "Y*Q="}}, BAD_DATA),
    ({"kinesis": {"data": "日本"}}, BAD_DATA),
    ({"kinesis": {"data": "\ud800"}}, BAD_DATA),
    ({"recordId": "1", "data": "", "kinesisRecordMetadata": 5}, BAD_RECORD),
]


@pytest.mark.parametrize(("element", "cause"), BROKEN)
def test_a_broken_record_is_a_dead_letter_and_its_neighbours_are_read(element: object, cause: str) -> None:
    data = as_lines({"Records": [lambda_record(host("a")), element, lambda_record(host("b"))]})
    text = json.dumps(element).encode()
    found = whole(data)
    assert hosts(found) == "ab"
    assert found.dead == [(data.index(b", " + text + b", ") + 2, cause, text)]
    assert found.tally.records == 3


def test_no_records_and_no_data() -> None:
    assert whole(b'{"Records":[]}{"records":[]}') == Reading([], [], [], DecodeTally())
    assert whole(lambda_event(b"", b" \n", b"{}")).tally == DecodeTally(records=1, decoded_records=1)


def test_a_payload_may_hold_several_records() -> None:
    found = whole(lambda_event(host("a") + b"\n" + host("b"), b"\xef\xbb\xbf" + host("c"), host("d") + host("e")))
    assert (hosts(found), set(arrivals(found)), found.dead) == ("abcde", {AT_US}, [])


def test_dead_letters_of_payloads_stand_where_their_record_does() -> None:
    odd = host("b").replace(b"1762000000", b'"noon"')
    data = lambda_event(host("a"), odd, b'{"type":"ghost"}', b'{"type":\n' + host("c"), host("d"))
    starts = [at for at in range(len(data)) if data.startswith(b'{"kinesis"', at)]
    assert whole(b" " + data).dead == [
        (starts[1] + 1, BAD_TIME, odd[odd.index(b'{"name"') : -2]),
        (starts[2] + 1, UNKNOWN_TYPE, b'{"type":"ghost"}'),
        (starts[3] + 1, BAD_JSON, b'{"type":'),
    ]
    assert hosts(whole(data)) == "abcd"


def test_records_that_only_make_sense_together_are_not_put_together() -> None:
    halves = (b"{}" + host("a")[:20], host("a")[20:], host("b"), b"[]", b'[{"hostId":"c"', b",", b"{}]")
    found = whole(lambda_event(*halves))
    assert hosts(found) == "b"
    assert [letter[1] for letter in found.dead] == [BAD_JSON, UNSUPPORTED_PAYLOAD, BAD_JSON, UNSUPPORTED_PAYLOAD, BAD_JSON]
    assert (found.tally.records, found.tally.decoded_records) == (9, 4)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, snappy.StreamCompressor().compress, lambda data: aggregate(gzip.compress(data))])
def test_payloads_may_be_compressed(pack: object) -> None:
    found = whole(lambda_event(host("a"), pack(host("b") + host("c")), host("d")))  # type: ignore[operator]
    assert (hosts(found), found.dead) == ("abcd", [])


def test_aggregates_in_an_envelope() -> None:
    found = whole(lambda_event(host("a"), aggregate(host("b"), host("c"), gzip.compress(host("d"))), host("e"), aggregate(aggregate(host("f")))))
    assert (hosts(found), set(arrivals(found)), found.dead) == ("abcdef", {AT_US}, [])


def test_a_broken_aggregate_is_one_dead_letter() -> None:
    broken = aggregate(host("b"), host("c"))[:-1] + b"\0"
    found = whole(lambda_event(host("a"), broken, host("d")))
    assert hosts(found) == "ad"
    assert [letter[1:] for letter in found.dead] == [(BAD_DIGEST, broken)]


def test_an_object_may_be_one_aggregate() -> None:
    body = aggregate(host("a"), host("b"), b"\x0a\x05hello")
    for packed in (body, gzip.compress(body)):
        found = whole(packed)
        assert (hosts(found), arrivals(found)) == ("ab", [ARRIVAL_US] * 2)
        assert found.dead == [(0, UNSUPPORTED_PAYLOAD, b"\x0a\x05hello")]
    assert whole(body[:-1]).dead == [(0, BAD_DIGEST, body[:-1])]


def test_damage_in_a_payload() -> None:
    packed = bytearray(gzip.compress(host("b")))
    packed[-5] ^= 1
    found = whole(lambda_event(host("a"), bytes(packed), gzip.compress(host("c") + b"\n")[:-9]))
    assert hosts(found)[0] == "a"
    assert [letter[1] for letter in found.dead[:2]] == [CORRUPT, TRUNCATED]
    assert found.dead[0][2] == bytes(packed)


def test_payloads_are_inflated_within_the_limits_of_the_object() -> None:
    bomb = gzip.compress(bytes(5_000_000))
    assert whole(lambda_event(bomb), DecodeRules(max_expansion=20)).dead == [(13, EXPANSION, bomb)]
    data = lambda_event(*[gzip.compress(host("a", memo="x" * 100_000))] * 5)
    found = whole(data, DecodeRules(max_object_bytes=250_000))
    assert hosts(found) == "aa"
    assert [letter[1] for letter in found.dead] == [TOO_LARGE] * 3
    assert found.tally == DecodeTally(records=5, decoded_records=2, dead_records=3, points={"host": 2})


def test_what_is_wrapped_without_end_is_not_unwrapped() -> None:
    wrapped = host("a")
    for _ in range(payloads.MAX_DEPTH):
        wrapped = aggregate(wrapped)
    assert hosts(whole(wrapped)) == "a"
    assert whole(aggregate(wrapped)).dead == [(0, TOO_DEEP, aggregate(host("a")))]


def test_error_output_is_read_only_if_asked_for() -> None:
    data = as_lines(
        error_record(host("a")),
        error_record(host("b"), arrivalTimestamp="1511386516785", attemptsMade="4"),
        {"lastErrorCode": "DataFormatConversion.ParseError"} | {name: value for name, value in error_record(host("c")).items() if name != "errorCode"},
    )
    lines = data.split(b"\n")
    without = whole(data)
    assert without.dead == [(data.index(line), ERROR_OUTPUT, line) for line in lines]
    assert without.tally == DecodeTally(records=3, dead_records=3, error_output=3)
    found = whole(data, DecodeRules(org="default", read_error_output=True))
    assert (hosts(found), arrivals(found)) == ("abc", [1_511_386_516_784_000, 1_511_386_516_785_000, 1_511_386_516_784_000])
    assert found.tally == DecodeTally(records=3, decoded_records=3, points={"host": 3}, error_output=3)


def test_a_truncated_object_keeps_the_envelopes_before() -> None:
    body = lambda_event(host("a")) + b"\n" + lambda_event(host("b"))
    cut = gzip.compress(body, 0)[:-50]
    found = whole(cut)
    assert hosts(found) == "a"
    at = body.index(b"\n") + 1
    assert found.dead == [(at, TRUNCATED, body[at:-42])]


def test_dead_letters_of_envelopes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "_LARGE_BYTES", 1)
    data = lambda_event(host("a"), *[b"hello"] * 5, host("b"))
    found = whole(data, DecodeRules(org="default", max_dead_letters=3))
    assert hosts(found) == "a"
    starts = [at for at in range(len(data)) if data.startswith(b'{"kinesis"', at)]
    causes = [letter[:2] for letter in found.dead]
    assert causes[-1][1] == TOO_MANY
    assert causes[:-1] == [(starts[place], UNSUPPORTED_PAYLOAD) for place in range(1, len(causes))]
    lines = whole(lambda_event(b"\n".join([host("a"), b"x", b"{", b"{", b"{", b"{", host("b")])), DecodeRules(max_dead_letters=3))
    assert hosts(lines) == "a"
    assert [letter[1] for letter in lines.dead] == [BAD_JSON] * 3 + [TOO_MANY]
    assert lines.dead[-1][2] == b"{\n" + b"{\n" + host("b")


def one_by_one(records: list[bytes], arrival_us: int) -> Reading:
    """Payloads as the strict reader reads them, each as an object."""
    total = Reading([], [], [], DecodeTally())
    for record in records:
        found = reading(strict.read(record, 0, len(record), replace(SOURCE, arrival_us=arrival_us)).decoded)
        total.points.extend((posting + len(total.postings), *rest) for posting, *rest in found.points)
        total.postings.extend(found.postings)
        total.dead.extend((0, cause, raw) for _, cause, raw in found.dead)
        tally = DecodeTally(total.tally.records + found.tally.records, total.tally.decoded_records + found.tally.decoded_records)
        total = total._replace(tally=tally)
    return total


_settings = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@_settings
@given(st.lists(st.one_of(random_postings.objects(), random_postings.damaged()), min_size=1, max_size=6), st.booleans(), st.integers(1, 400))
def test_joined_payloads_are_what_each_is_alone(records: list[bytes], aggregated: bool, small: int) -> None:
    records = [b"{}" + record for record in records]
    data = lambda_event(aggregate(*records)) if aggregated else lambda_event(*records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payloads, "_SMALL_BYTES", small)
        patch.setattr(payloads, "_LARGE_BYTES", 4 * small)
        found = whole(data)
    expected = one_by_one(records, AT_US)
    assert (found.postings, found.points) == (expected.postings, expected.points)
    assert [(0, *letter[1:]) for letter in found.dead] == expected.dead
    assert (found.tally.records, found.tally.decoded_records) == (expected.tally.records, expected.tally.decoded_records)


def test_joined_payloads_are_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "Columns", None)
    found = whole(lambda_event(*(host(f"h{number}") for number in range(3000))))
    assert len(found.postings) == 3000
    bare = b'[{"hostId":"x","name":"a","time":1762000000,"value":1},{"hostId":"y","name":"a","time":1762000000,"value":1}]'
    assert len(whole(as_lines(*(firehose_record(bare) for _ in range(50)))).postings) == 100
    assert columnar.read_payloads([], SOURCE).tally == DecodeTally()


@_settings
@given(st.data())
def test_mutated_envelopes_are_decoded_or_dead(data: st.DataObject) -> None:
    body = bytearray(
        data.draw(
            st.sampled_from(
                [
                    lambda_event(host("a"), aggregate(host("b"), gzip.compress(host("c"))), host("d")),
                    as_lines(firehose_record(host("a")), error_record(host("b")), lambda_record(aggregate(host("c")))),
                    aggregate(host("a"), host("b")),
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"{", b"]", b"\n", b"null"])))
    decoded = decode_object(bytes(body), key="k", arrival_us=ARRIVAL_US, rules=RULES)
    tally = decoded.tally
    assert tally.records == tally.decoded_records + tally.dead_records
    assert len(decoded.dead_letters) == tally.dead_records + tally.dead_points
    assert sum(tally.points.values()) == len(decoded.points.value) + sum(sum(reason.values()) for reason in tally.dropped.values())


@_settings
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([b"", b"\n"]))
def test_stretches_of_any_size(large: int, small: int, separator: bytes) -> None:
    data = separator.join([A, lambda_event(host("x"), host("y")), B, as_lines(lambda_record(host("z"))), as_lines(firehose_record(host("w"))), C])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_LARGE_BYTES", large)
        patch.setattr(objects, "_SMALL_BYTES", small)
        assert hosts(whole(data)) == "axybzwc"
