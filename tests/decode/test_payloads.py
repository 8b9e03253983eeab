"""Payloads of envelopes: aggregates of aws_kinesis_agg, compressed ones, many read at once; what each is alone is what it is among others."""

import gzip
from dataclasses import replace

import pytest
import snappy
import zstandard
from hypothesis import given, settings, strategies as st

from scripts.encoders.aggregates import aggregate
from scripts.encoders.envelopes import AT_US, as_lines, firehose_record, host, lambda_event
from tests.decode import postings as random_postings
from tests.decode.readings import ARRIVAL_US, SOURCE, Reading, arrivals, hosts, reading, whole
from transforms.core.model import DecodeTally
from transforms.decode import columnar, payloads, strict
from transforms.decode.causes import (
    BAD_DIGEST,
    BAD_JSON,
    BAD_TIME,
    CORRUPT,
    EXPANSION,
    TOO_DEEP,
    TOO_LARGE,
    TOO_MANY,
    TRUNCATED,
    UNKNOWN_TYPE,
    UNSUPPORTED_PAYLOAD,
)
from transforms.decode.objects import DecodeRules

_settings = settings(max_examples=150, deadline=None, derandomize=True, database=None)


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


def test_dead_letters_within_a_payload_are_limited() -> None:
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
