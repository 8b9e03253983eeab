"""OTLP in protobuf: real exports and random requests against an oracle on the protobuf package, damaged ones by both readers."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.decode.otlp_oracle import expected
from tests.decode.otlp_requests import NOW_NS, damaged, fixed, part, requests, varint
from tests.decode.parts import messages, otlp_exports, plain, plain_part
from transforms.decode import otlp, otlp_columns, otlp_strict
from transforms.decode.causes import BAD_LABELS, BAD_NAME, BAD_OTLP, BAD_POINTS
from transforms.decode.otlp_labels import LabelReader

EXPORTS = otlp_exports()


def require_oracle(data: Sequence[bytes]) -> None:
    """Both readers, and both together, say what the oracle says."""
    truth = expected(list(data))
    every = messages(data)
    strict = otlp_strict.read(every, range(len(every)), "key")
    found = plain(strict.decoded)
    rows = [(strict.posting_record[row[0]], found.postings[row[0]][2], *row[1:6], *row[7:]) for row in found.points]
    assert rows == truth.points
    assert [letter[2] for letter in found.dead] == truth.broken
    assert found.tally.dropped == {reason: {"labeled": count} for reason, count in truth.dropped.items()}
    assert plain_part(otlp.read(every, "key")) == plain_part(strict)


def require_equal(data: Sequence[bytes]) -> int:
    """The columnar path says what the strict reader says, and both together too. The number of records that the columnar path left to the other."""
    every = messages(data)
    strict = otlp_strict.read(every, range(len(every)), "key")
    assert plain_part(otlp.read(every, "key")) == plain_part(strict)
    columns, doubtful = otlp_columns.read(every, "key", LabelReader())
    sure = [place for place, is_one in enumerate(doubtful.tolist()) if not is_one]
    alone = otlp_strict.read([every[one] for one in sure], sure, "key")
    assert plain_part(columns) == plain_part(alone)
    assert [letter.detail for letter in columns.decoded.dead_letters] == [letter.detail for letter in alone.decoded.dead_letters]
    return len(every) - len(sure)


def test_real_exports() -> None:
    require_oracle(EXPORTS)
    assert require_equal(EXPORTS) == 0
    part = otlp.read(messages(EXPORTS), "key")
    assert {row[3] for row in plain(part.decoded).points} == {"gauge", "counter", "cumulative histogram"}
    assert part.decoded.tally.points == {"labeled": 3986}
    assert part.decoded.dead_letters == ()


def test_joined_requests_are_one_request() -> None:
    one = plain(otlp.read(messages([b"".join(EXPORTS)]), "key").decoded)
    many = plain(otlp.read(messages(EXPORTS), "key").decoded)
    assert [row[1:] for row in one.points] == [row[1:] for row in many.points]


@settings(max_examples=120, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4))
def test_random_requests(data: list[bytes]) -> None:
    require_oracle(data)


@settings(max_examples=40, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3))
def test_steps_over_many_messages_say_the_same(data: list[bytes]) -> None:
    """So many records that no level has only a few."""
    require_equal(data * 50)


@settings(max_examples=200, deadline=None)
@given(st.lists(damaged(requests()), min_size=1, max_size=3), st.booleans())
def test_damaged_requests(data: list[bytes], are_many: bool) -> None:
    require_equal(data * (45 if are_many else 1))


@settings(max_examples=30, deadline=None)
@given(damaged(st.sampled_from(EXPORTS)))
@example(EXPORTS[0][:-1])
def test_damaged_exports(data: bytes) -> None:
    require_equal([EXPORTS[0], data, EXPORTS[1]])


def _request(metric: bytes, resource: bytes = b"") -> bytes:
    return part(1, part(1, resource) + part(2, part(2, metric)))


def _gauge(point: bytes, name: bytes = b"m") -> bytes:
    return part(1, name) + part(5, part(1, point))


def _pair(key: bytes, value: bytes) -> bytes:
    return part(1, key) + part(2, part(1, value))


def _nested(levels: int) -> bytes:
    return part(5, part(1, _nested(levels - 1))) if levels else b""


POINT = fixed(3, NOW_NS) + fixed(4, 0x3FF0000000000000)
UNPACKED = fixed(3, NOW_NS) + fixed(4, 3) + fixed(6, 1) + fixed(6, 2) + part(7, bytes(8))
ODD: dict[str, tuple[bytes, str | int]] = {
    "plain": (_request(_gauge(POINT)), 1),
    "unknown fields": (_request(_gauge(POINT + part(100, b"x") + varint(200 << 3) + b"\x05" + varint(99 << 3 | 5) + b"1234")) + part(9, b"y"), 1),
    "a known field of another wire type": (_request(_gauge(POINT + part(3, b"x") + varint(3 << 3) + b"\x05")), 1),
    "the last time counts": (_request(_gauge(fixed(3, 5) + POINT)), 1),
    "a resource in parts": (part(1, part(1, part(1, _pair(b"a", b"1"))) + part(1, part(1, _pair(b"b", b"2"))) + part(2, part(2, _gauge(POINT)))), 1),
    "attributes with others between": (_request(_gauge(part(7, _pair(b"a", b"1")) + POINT + part(7, _pair(b"b", b"2")))), 1),
    "two members of a oneof": (_request(part(1, b"m") + part(5, part(1, POINT)) + part(7, part(1, POINT) + b"\x10\x01")), 1),
    "no value": (_request(_gauge(fixed(3, NOW_NS))), 0),
    "name not UTF-8": (_request(_gauge(POINT, b"\xff")), BAD_NAME),
    "label not UTF-8": (_request(_gauge(POINT + part(7, _pair(b"a", b"\xff")))), BAD_LABELS),
    "resource not UTF-8": (_request(_gauge(POINT), part(1, _pair(b"\xff", b"a"))), BAD_LABELS),
    "surrogates": (_request(_gauge(POINT + part(7, _pair(b"a", b"\xed\xa0\x80")))), BAD_LABELS),
    "cut off": (_request(_gauge(POINT))[:-1], BAD_OTLP),
    "a group": (_request(_gauge(POINT + varint(50 << 3 | 3) + varint(50 << 3 | 4))), BAD_OTLP),
    "field 0": (_request(_gauge(POINT + b"\x00\x01")), BAD_OTLP),
    "text": (b"no protobuf at all", BAD_OTLP),
    "an attribute cut off": (_request(_gauge(POINT + part(7, b"\x0a\x05a"))), BAD_OTLP),
    "nested too deep": (_request(_gauge(POINT + part(7, part(1, b"a") + part(2, _nested(40))))), BAD_OTLP),
    "a number of more than 64 bits": (_request(_gauge(POINT + varint(8 << 3) + b"\xff" * 9 + b"\x02")), BAD_OTLP),
    "a number written long": (_request(_gauge(POINT + varint(8 << 3) + b"\x80" * 9 + b"\x00")), 1),
    "a packed list of odd length": (_request(part(1, b"m") + part(9, part(1, fixed(3, NOW_NS) + part(6, b"1234567")) + b"\x10\x01")), BAD_OTLP),
    "an unpacked list": (_request(part(1, b"m") + part(9, part(1, UNPACKED) + b"\x10\x01")), 1),
    "nothing": (b"", 0),
}  # fmt: skip


@pytest.mark.parametrize(("data", "what"), ODD.values(), ids=ODD)
def test_odd_messages(data: bytes, what: str | int) -> None:
    """Alone, between others, and among so many that steps are vectorised."""
    found = plain(otlp.read(messages([data]), "key").decoded)
    assert [letter[2] for letter in found.dead] == ([what] if isinstance(what, str) else [])
    assert len(found.points) == (0 if isinstance(what, str) else what)
    assert found.tally.decoded_records == (what != BAD_OTLP)
    require_equal([EXPORTS[0], data, EXPORTS[0]])
    require_equal([data] * 60)


def test_dead_letters_hold_the_bytes_of_the_point_or_the_record() -> None:
    odd = POINT + part(7, _pair(b"a", b"\xff"))
    found = plain(otlp.read(messages([b"\xff", _request(_gauge(odd))]), "key").decoded)
    assert found.dead == [("key", 0, BAD_OTLP, b"raw 0"), ("key", 100, BAD_LABELS, odd)]
    assert found.tally.dead_records == found.tally.dead_points == 1


def test_a_record_with_very_many_broken_points_is_one_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("transforms.decode.collecting", "transforms.decode.otlp_columns"):
        monkeypatch.setattr(f"{module}.MAX_BROKEN_POINTS", 10)
    flood = _request(part(1, b"m") + part(5, part(1, b"") * 11))
    found = plain(otlp.read(messages([flood, _request(_gauge(POINT))]), "key").decoded)
    assert [letter[2] for letter in found.dead] == [BAD_POINTS]
    assert len(found.points) == 1
    require_equal([flood, _request(part(1, b"m") + part(5, part(1, b"") * 10))])


def test_batches_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plain_part(otlp.read(messages([*EXPORTS, b"\xff", *EXPORTS]), "key"))
    monkeypatch.setattr(otlp, "_BATCH_BYTES", 50_000)
    assert plain_part(otlp.read(messages([*EXPORTS, b"\xff", *EXPORTS]), "key")) == whole


def test_large_records_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plain_part(otlp.read(messages(EXPORTS[:3]), "key"))
    monkeypatch.setattr(otlp, "_LARGE_BYTES", 1000)
    assert plain_part(otlp.read(messages(EXPORTS[:3]), "key")) == whole


def _broken(field: int, point: bytes, name: bytes = b"queue", temporality: bytes = b"") -> bytes:
    """A request of one point, in the member of the oneof with this number."""
    metric = part(1, name) + part(field, part(1, point) + temporality)
    resource = part(1, part(1, part(1, b"service.name") + part(2, part(1, b"shop"))))
    return part(1, resource + part(2, part(1, part(1, b"app")) + part(2, metric)))


_TIMED = fixed(3, NOW_NS)
_OF = "entity 'shop', name 'queue', labels {\"scope.name\":\"app\"}"


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        (_broken(5, fixed(3, 5)), f"time 5 is not a time in nanoseconds between the years 2000 and 2100; {_OF}"),
        (_broken(5, b""), f"no time; {_OF}"),
        (_broken(7, _TIMED), f"aggregation temporality 0 is neither delta (1) nor cumulative (2); {_OF}"),
        (_broken(5, _TIMED, b""), "no name; entity 'shop', name '', labels {\"scope.name\":\"app\"}"),
        (_broken(5, _TIMED, b"\xff"), 'the name is not UTF-8; entity \'shop\', labels {"scope.name":"app"}'),
        (_broken(5, _TIMED + part(7, part(1, b"a")) * 2), "the key 'a' is there twice; entity 'shop', name 'queue'"),
        (_broken(9, _TIMED + fixed(4, 5) + part(6, bytes(8)), temporality=b"\x10\x01"), f"a histogram of 0 bounds: 1 buckets with 0 of 5 observations; {_OF}"),
        (_broken(11, _TIMED + part(6, fixed(1, 0x4000000000000000))), f"quantiles [2.0] are not all between 0 and 1; {_OF}"),
    ],
)
def test_broken_points_say_what_is_wrong_and_of_which_series(request_: bytes, detail: str) -> None:
    every = messages([request_])
    for decoded in (otlp_strict.read(every, [0], "key").decoded, otlp_columns.read(every, "key", LabelReader())[0].decoded, otlp.read(every, "key").decoded):
        assert [letter.detail for letter in decoded.dead_letters] == [detail]
