"""Envelopes of Lambda and Firehose."""

import gzip
import json

import pytest
from hypothesis import given, settings, strategies as st

from scripts.encoders.aggregates import aggregate
from scripts.encoders.envelopes import (
    AT_US,
    LAMBDA_RECORD,
    as_lines,
    encoded,
    error_record,
    firehose_record,
    host,
    lambda_event,
    lambda_record,
)
from tests.decode.odd_records import A, B, C
from tests.decode.readings import ARRIVAL_US, RULES, Reading, arrivals, hosts, strictly, whole
from transforms.core.arrivals import hour_of
from transforms.core.model import DecodeTally
from transforms.decode import objects, payloads
from transforms.decode.causes import BAD_ARRIVAL, BAD_DATA, BAD_JSON, BAD_RECORD, ERROR_OUTPUT, TOO_MANY, TRANSFORM_FAILED, TRUNCATED, UNSUPPORTED_PAYLOAD
from transforms.decode.objects import DecodeRules, decode_object

_settings = settings(max_examples=300, deadline=None, derandomize=True, database=None)

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


def _transformed(result: object, body: bytes, **fields: object) -> dict[str, object]:
    return {"recordId": "49", "result": result, "data": encoded(body)} | fields


def test_what_a_transform_could_not_process_is_read_only_if_asked_for() -> None:
    data = as_lines({"records": [_transformed("Ok", host("a")), _transformed("ProcessingFailed", host("b")), _transformed("ok?", host("c"))]})
    raw = json.dumps(_transformed("ProcessingFailed", host("b"))).encode()
    found = whole(data)
    assert (hosts(found), found.dead) == ("ac", [(data.index(raw), TRANSFORM_FAILED, raw)])
    assert found.tally == DecodeTally(records=3, decoded_records=2, dead_records=1, points={"host": 2}, error_output=1)
    found = whole(data, DecodeRules(org="default", read_error_output=True))
    assert (hosts(found), found.dead, found.tally.error_output) == ("abc", [], 1)


@pytest.mark.parametrize(
    ("body", "records", "points", "dropped"),
    [
        (host("z"), 1, {"host": 3}, {"dropped by the transform": {"host": 1}}),
        (host("x", metrics=[{"name": "a", "time": 1_762_000_000, "value": None}]), 1, {"host": 3}, {"null": {"host": 1}}),
        (host("y", metrics=[{"name": "a", "time": 1_762_000_000, "value": 1}, 5]), 1, {"host": 3}, {"dropped by the transform": {"host": 1}}),
        (gzip.compress(host("z") * 2, mtime=0), 2, {"host": 4}, {"dropped by the transform": {"host": 2}}),
        (b"garbage", 1, {"host": 2}, {}),
        (b"", 0, {"host": 2}, {}),
    ],
)
def test_points_that_a_transform_dropped_are_counted_and_nothing_of_them_is_dead(
    body: bytes, records: int, points: dict[str, int], dropped: dict[str, dict[str, int]]
) -> None:
    found = whole(as_lines({"records": [_transformed("Ok", host("a")), _transformed("Dropped", body), _transformed("Ok", host("b"))]}))
    assert (hosts(found), found.dead) == ("ab", [])
    assert found.tally == DecodeTally(records=2 + records, decoded_records=2 + records, points=points, dropped=dropped)


def test_what_a_transform_dropped_needs_no_data() -> None:
    for data in (None, "*", 5):
        found = whole(as_lines(_transformed("Dropped", b"") | {"data": data}, _transformed("Ok", host("a"))))
        assert found.tally == DecodeTally(records=1, decoded_records=1, points={"host": 1})


def test_what_a_transform_dropped_arrived_in_its_own_hour() -> None:
    arrived_ms = 1_762_009_000_000
    records = [_transformed("Dropped", host("a"), approximateArrivalTimestamp=arrived_ms), _transformed("Ok", host("b"))]
    decoded = decode_object(as_lines(*records), key="k", arrival_us=ARRIVAL_US, rules=RULES)
    assert decoded.arrivals.records == {hour_of(arrived_ms * 1000): 1, hour_of(ARRIVAL_US): 1}


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


@_settings
@given(st.data())
def test_mutated_envelopes_are_decoded_or_dead(data: st.DataObject) -> None:
    body = bytearray(
        data.draw(
            st.sampled_from(
                [
                    lambda_event(host("a"), aggregate(host("b"), gzip.compress(host("c"), mtime=0)), host("d")),
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
