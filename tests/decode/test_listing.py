"""Arrays of records: what is in them is what the same records say one after the other, at their own places."""

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from scripts.encoders.aggregates import aggregate
from scripts.encoders.envelopes import AT_US, as_lines, firehose_record, host, lambda_event, lambda_record
from scripts.fuzzing.invariants import broken_promise
from tests.decode.odd_records import RECORDS
from tests.decode.parts import ARRIVAL_US, Plain, otlp_exports, plain
from tests.decode.test_columnar import NATIVE, as_bytes
from tests.decode.test_schemas import CLOUDWATCH
from transforms.core.flat import FlatMapping
from transforms.decode import columnar, objects, strict
from transforms.decode.causes import BAD_ELEMENT, BAD_HOST, BAD_NAME, NOT_A_POSTING, TOO_MANY, UNKNOWN_TYPE
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.strict import Source

FLAT = FlatMapping(time="ts", value="v", name="metric")
LABELED = json.dumps({"type": "labeled", "org": "x", "otlp": base64.b64encode(otlp_exports()[0]).decode()}).encode()
OTLP_JSON = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1762000000000000000","asInt":"5"}]}}]}]}]}'
POINT = b'{"hostId":"h","name":"a","time":1762000000,"value":1.5}'
SERVICE = b'{"type":"service","service":"s","receivedAt":1762000003.5,"metrics":[{"name":"n","time":1762000000,"value":2}]}'


def whole(body: bytes, **rules: Any) -> Plain:
    decoded = decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=DecodeRules(org="acme", **rules))
    assert broken_promise(decoded, body) == ""
    return plain(decoded)


def strictly(body: bytes, flat: FlatMapping | None = None) -> Plain:
    part = strict.read(body, 0, len(body), Source(key="key", arrival_us=ARRIVAL_US, org="acme", flat=flat))
    assert part.end == len(body)
    return plain(part.decoded)


def array(*elements: bytes) -> bytes:
    return b"[" + b" ,\n".join(elements) + b" ]"


def spread(body: bytes) -> bytes:
    """The same bytes without the array around the records; its commas are those before a newline."""
    assert (body[:1], body[-1:]) == (b"[", b"]")
    return b" " + body[1:-1].replace(b" ,\n", b"  \n") + b" "


LISTS: dict[str, tuple[bytes, ...]] = {
    "postings": (host("a"), SERVICE, host("b", roles=["x:y"])),
    "one": (host("a"),),
    "labeled postings": (LABELED, LABELED),
    "OTLP/JSON": (OTLP_JSON, OTLP_JSON),
    "CloudWatch": (json.dumps(CLOUDWATCH).encode(),) * 3,
    "Lambda events": (lambda_event(host("a"), host("b")), lambda_event(host("c"))),
    "Lambda's records": (as_lines(lambda_record(host("a"))), as_lines(lambda_record(aggregate(host("b"), host("c"))))),
    "Firehose's records": (as_lines(firehose_record(host("a"))),) * 2,
    "bare arrays": (b"[" + POINT + b", " + POINT + b"]", b"[]", b"[" + POINT + b"]"),
    "many schemas": (host("a"), array(POINT), OTLP_JSON, LABELED, json.dumps(CLOUDWATCH).encode(), lambda_event(host("b")), b"{}"),
    "with broken ones": (host("a"), b'{"type":"ghost","metrics":[]}', b"5", b'"x"', b"null", b"{}", POINT[:-1] + b',"time":null}', host("b", metrics=[5])),
}


@pytest.mark.parametrize("elements", LISTS.values(), ids=LISTS)
def test_an_array_is_its_records_one_after_the_other(elements: tuple[bytes, ...]) -> None:
    body = array(*elements)
    truth = whole(spread(body))
    assert truth.points
    assert whole(body) == truth
    assert whole(gzip.compress(body)) == truth
    assert whole(body + b"\n" + body).points == truth.points + [(row[0] + len(truth.postings), *row[1:]) for row in truth.points]
    if not any(b'"data"' in one for one in elements):
        assert strictly(body) == truth


def test_broken_records_have_their_own_place_and_bytes() -> None:
    body = array(host("a"), b'{"type":"ghost","metrics":[]}', b"5")
    assert whole(body).dead == [
        ("key", body.index(b'{"type":"ghost'), UNKNOWN_TYPE, b'{"type":"ghost","metrics":[]}'),
        ("key", body.index(b"5 ]"), NOT_A_POSTING, b"5"),
    ]


def test_arrays_within_are_bare_payloads_one_level_deep() -> None:
    body = array(array(POINT), array(host("a")))
    found = whole(body)
    assert [row[:2] for row in found.points] == [(0, "a")]
    assert [letter[2:] for letter in found.dead] == [(BAD_NAME, host("a"))]
    assert found.tally.records == 2
    assert strictly(body) == found


def test_bare_points_stay_points_whatever_stands_beside_them() -> None:
    for other, cause in ((b"[]", BAD_ELEMENT), (host("x"), BAD_NAME), (OTLP_JSON, BAD_HOST)):
        body = array(POINT, other, POINT)
        found = whole(body)
        assert (len(found.points), [(letter[2], letter[3]) for letter in found.dead]) == (2, [(cause, other)])
        assert strictly(body) == found


def test_with_a_mapping_rows_stay_rows() -> None:
    row = b'{"ts":1762000000,"v":1,"metric":"m"}'
    both = b'{"ts":1762000000,"v":1,"metric":"m","type":"labeled","otlp":"CgA="}'
    for body, points in (
        (array(row, row), 2),
        (array(both, both), 2),
        (array(row, host("a"), b"[]"), 1),
        (array(host("a"), host("b")), 2),
        (array(array(row), array(row)), 2),
    ):
        found = whole(body, flat=FLAT)
        assert len(found.points) == points
        assert strictly(body, FLAT) == found


@pytest.mark.parametrize("pack", [lambda_event, aggregate, lambda *data: lambda_event(*map(gzip.compress, data))])
def test_arrays_in_payloads(pack: Any) -> None:
    found = whole(pack(array(host("a"), SERVICE), array(POINT), array(array(POINT), array(POINT)), array(host("b"), b"5")))
    assert [(row[0], row[2]) for row in found.postings] == [("host", "a"), ("service", "s"), ("host", "h"), ("host", "h"), ("host", "h"), ("host", "b")]
    assert [letter[2:] for letter in found.dead] == [(NOT_A_POSTING, b"5")]
    assert found.tally.records == 7


def test_arrays_in_payloads_arrive_when_these_did() -> None:
    assert {row[4] for row in whole(lambda_event(array(host("a"), host("b")))).postings} == {AT_US}


def test_ordinary_arrays_are_read_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    body = array(*(host(f"h{one}") for one in range(3000)))
    lines = b"\n".join(array(*(host(f"h{one}") for one in range(at, at + 3))) for at in range(0, 3000, 3))
    truth = whole(spread(body))
    monkeypatch.setattr(strict.Columns, "add_record", None)
    for packed in (body, lines, lambda_event(body[:-1] + b"]")):
        assert [row[2] for row in whole(packed).postings] == [row[2] for row in truth.postings]


def test_dead_letters_of_arrays_are_limited() -> None:
    elements = [b'{"type":"ghost","metrics":[]}'] * 50
    for body in (array(*elements), array(*elements) + b"\n" + array(*elements), lambda_event(array(*elements))):
        found = whole(body, max_dead_letters=10)
        assert len(found.dead) <= 13
        assert found.dead[-1][2] == TOO_MANY


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.sampled_from([*map(as_bytes, NATIVE.values()), *(as_bytes(one) for one in RECORDS if len(one) < 2000), host("a"), POINT, array(POINT)]), max_size=6
    ),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_odd_elements(elements: list[bytes], large: int, small: int) -> None:
    body = array(*elements) + b"\n" + array(host("z"), *elements) + array(POINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_LARGE_BYTES", large)
        patch.setattr(objects, "_SMALL_BYTES", small)
        assert whole(body) == strictly(body)


def test_columns_don_t_read_what_the_strict_reader_spreads() -> None:
    for elements in LISTS.values():
        with pytest.raises(columnar.DecodeError):
            columnar.read(array(*elements), Source(key="key", arrival_us=ARRIVAL_US))
