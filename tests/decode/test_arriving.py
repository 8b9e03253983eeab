"""When records arrived: by hour, and where in the stream, of all that an object may be."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from scripts.encoders.envelopes import as_lines, encoded, error_record, firehose_record, host, lambda_record
from scripts.fuzzing.invariants import broken_promise
from tests.builders import Origin, of_origins
from tests.decode.odd_records import A, B
from tests.decode.readings import ARRIVAL_US, RULES
from tests.decode.test_kpl import aggregate
from transforms.core.arrivals import NO_SHARDS, Arrivals, hour_of
from transforms.core.errors import ObjectUnreadable
from transforms.decode import payloads
from transforms.decode.objects import decode_object, unreadable_object

HOUR = hour_of(ARRIVAL_US)
T = 1_762_009_000
"""Seconds in another hour; an hour later is a third."""
SEQUENCE = "49590338271490256608559692538361571095921575989136588898"


def arrivals(body: bytes) -> Arrivals:
    decoded = decode_object(body, key="k", arrival_us=ARRIVAL_US, rules=RULES)
    assert broken_promise(decoded, body) == ""
    return decoded.arrivals


def at(hours: int, body: bytes = host("a"), **changed: Any) -> dict[str, Any]:
    record = lambda_record(body, approximateArrivalTimestamp=T + 3600 * hours)
    return record | {"kinesis": record["kinesis"] | changed}


def by_hour(body: bytes) -> tuple[dict[int, int], dict[int, int]]:
    """Records and dead ones by hours after T's; -1 is the object's."""
    found = arrivals(body)
    first = hour_of(T * 1_000_000)
    return tuple({-1 if hour == HOUR else (hour - first) // 3600: number for hour, number in of.items()} for of in (found.records, found.dead_records))  # type: ignore[return-value]


def test_records_without_an_envelope_arrived_when_their_object_did() -> None:
    assert by_hour(A + B) == ({-1: 2}, {})
    assert by_hour(A + b"x\n" + B) == ({-1: 3}, {-1: 1})
    assert by_hour(gzip.compress(A + B)[:-9]) == ({-1: 3}, {-1: 1})
    assert by_hour(b"") == ({}, {})
    assert arrivals(A).shards == NO_SHARDS
    assert unreadable_object(ObjectUnreadable("k", "object missing", ""), ARRIVAL_US).arrivals == Arrivals({HOUR: 1}, {HOUR: 1}, undecoded=frozenset(["k"]))


@pytest.mark.parametrize(
    ("body", "is_undecoded"),
    [
        (b"", False),
        (b"{}", False),
        (A, False),
        (A + b"x\n", True),
        (host("a") + b"x\n", False),
        (b"\x00\xff\n\x80", True),
        (b'{}\n{"type":"host"}', True),
        (host("a", metrics=[5]), True),
        (host("a", metrics=[{"name": "n", "time": T, "value": None}]) + b"\nx", False),
        (gzip.compress(A, mtime=0)[:12], True),
        (as_lines(lambda_record(b"hello")), True),
        (as_lines(error_record(host("a"))), False),
        (as_lines(error_record(host("a"))) + b"\nx", True),
    ],
)
def test_an_object_of_which_no_point_could_be_decoded_is_told(body: bytes, is_undecoded: bool) -> None:
    assert arrivals(body).undecoded == (frozenset(["k"]) if is_undecoded else frozenset())


CASES: dict[str, tuple[list[object], dict[int, int], dict[int, int]]] = {
    "one hour": ([at(0), at(0)], {0: 2}, {}),
    "two hours": ([at(0), at(1), at(0)], {0: 2, 1: 1}, {}),
    "a dead one of each hour, and a whole one": ([at(0, b"1"), at(1, b"1"), at(1)], {0: 1, 1: 2}, {0: 1, 1: 1}),
    "no text": ([at(0, b"hello"), at(1, b"hello"), at(1)], {0: 1, 1: 2}, {0: 1, 1: 1}),
    "broken points are no dead records": ([at(0, host("a", metrics=[5])), at(1, b"1")], {0: 1, 1: 1}, {1: 1}),
    "no base64": ([at(0, data="YQ="), at(1)], {0: 1, 1: 1}, {0: 1}),
    "no arrival": ([lambda_record(host("a"), approximateArrivalTimestamp=None), at(1)], {-1: 1, 1: 1}, {}),
    "no arrival that is one": ([lambda_record(host("a"), approximateArrivalTimestamp="soon"), at(1)], {-1: 1, 1: 1}, {-1: 1}),
    "an aggregate": ([at(0, aggregate(host("a"), b"1", host("b"))), at(1)], {0: 3, 1: 1}, {0: 1}),
    "a broken aggregate": ([at(0, aggregate(host("a"))[:-1]), at(1)], {0: 1, 1: 1}, {0: 1}),
    "compressed": ([at(0, gzip.compress(host("a"))), at(1, gzip.compress(host("a"))[:-9])], {0: 1, 1: 2}, {1: 1}),
    "several records in each": ([at(0, host("a") + host("b")), at(1, host("c") + host("d"))], {0: 2, 1: 2}, {}),
}


@pytest.mark.parametrize("pack", [lambda of: json.dumps({"Records": of}).encode(), lambda of: as_lines(*of)], ids=["event", "lines"])
@pytest.mark.parametrize(("records", "expected", "dead"), CASES.values(), ids=CASES)
def test_records_in_envelopes(records: list[object], expected: dict[int, int], dead: dict[int, int], pack: Callable[[list[object]], bytes]) -> None:
    found = by_hour(pack(records))
    assert found == (expected, dead)


def test_error_output_arrived_when_it_says() -> None:
    hour = hour_of(1_511_386_516_784_000)
    assert arrivals(as_lines(error_record(host("a")))) == Arrivals({hour: 1}, {hour: 1})


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([host("a"), b"1", b"hello"])), min_size=1, max_size=30), st.integers(1, 400))
def test_any_mixture_of_hours(records: list[tuple[int, bytes]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payloads, "_LARGE_BYTES", size)
        found = by_hour(as_lines(*(at(hour, data) for hour, data in records)))
    assert found == (Counter(hour for hour, _ in records), Counter(hour for hour, data in records if data != host("a")))


# --- shards -----------------------------------------------------------------------------------------------------------


def shards(*records: object) -> list[tuple[object, ...]]:
    """Shard, records, first and last arrival in µs after T, first and last sequence number."""
    found = arrivals(as_lines(*records)).shards
    rows = found.select(["shard", "records", "first_us", "last_us", "first_sequence", "last_sequence"]).to_pylist()
    return [
        (one["shard"], one["records"], one["first_us"] - T * 10**6, one["last_us"] - T * 10**6, one["first_sequence"], one["last_sequence"]) for one in rows
    ]


def test_lambda_tells_shard_and_stream() -> None:
    name = "lambda-stream/shardId-000000000006"
    assert shards(at(0), at(0, sequenceNumber="5" * 55)) == [(name, 2, 0, 0, "055" + "5" * 55, "056" + SEQUENCE)]
    assert shards(at(0, aggregate(host("a"), host("b")))) == [(name, 1, 0, 0, "056" + SEQUENCE, "056" + SEQUENCE)]
    consumer = "arn:aws:kinesis:us-east-2:123456789012:stream/s/consumer/c:1"
    assert [one[0] for one in shards(at(0) | {"eventSourceARN": consumer})] == ["s/shardId-000000000006"]


def test_firehose_tells_the_shard_of_each_record_and_the_stream_of_all() -> None:
    metadata = {"shardId": "shardId-000000000001", "approximateArrivalTimestamp": (T + 1) * 1000, "sequenceNumber": "7"}
    record = firehose_record(host("a"), kinesisRecordMetadata=metadata)
    assert shards(record) == [("shardId-000000000001", 1, 10**6, 10**6, "0017", "0017")]
    event = {"sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:1:stream/s", "records": [record, record]}
    assert shards(event) == [("s/shardId-000000000001", 2, 10**6, 10**6, "0017", "0017")]


@pytest.mark.parametrize("event", [None, 5, "", ":1", "\ud800:1", "a/b:1", "x" * 129 + ":1"])
def test_what_is_no_shard_is_none(event: object) -> None:
    assert shards(at(0) | {"eventID": event}) == []


@pytest.mark.parametrize("sequence", [5, "", "x", "٣", "07", "1" * 130])
def test_what_is_no_sequence_number_is_none(sequence: object) -> None:
    assert [one[4:] for one in shards(at(0, sequenceNumber=sequence))] == [(None, None)]


def test_records_that_tell_no_arrival_or_were_not_opened_are_of_no_shard() -> None:
    assert shards(lambda_record(host("a"), approximateArrivalTimestamp=None), at(0, data="?"), {"recordId": "1", "data": encoded(host("a"))}) == []


def test_shards_of_an_object_are_added_up() -> None:
    records = [at(number % 3, sequenceNumber=str(number)) | {"eventID": f"shardId-{number % 2}:1"} for number in range(60)]
    origins = [Origin(f"lambda-stream/shardId-{number % 2}", str(number), (T + 3600 * (number % 3)) * 10**6) for number in range(60)]
    found = arrivals(as_lines(*records)).shards
    assert found == of_origins(origins)
    assert found["records"].to_pylist() == [10] * 6
    assert np.unique(found["minutes"].to_numpy()).tolist() == [1 << (T // 60 % 60)]
