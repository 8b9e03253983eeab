"""Labeled postings as one text: what is accepted is what the strict reader says, dead letters stand where they stood."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.decode.otlp_requests import NOW_NS, damaged, fixed, part, requests, varint
from tests.decode.parts import ARRIVAL_US, Plain, otlp_exports, plain
from transforms.core.errors import DecodeError
from transforms.decode import columnar, labeled, strict
from transforms.decode.causes import BAD_LABELS, BAD_OTLP, BAD_VALUE, TOO_MANY
from transforms.decode.objects import DecodeRules, decode_object
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.strict import Source

SOURCE = Source(key="key", arrival_us=ARRIVAL_US, org="acme")
EXPORTS = otlp_exports()[:3]
TWICE = b"\n\x26\x12\x24\x12\x22\n\x01m*\x1d\n\x1b\x19\x00\x00\x3d\x1e\xaa\xe1s\x18:\x07\n\x01a\x12\x02\n\x00:\x07\n\x01a\x12\x02\n\x00"
"""A point with a key twice."""


def posting(data: bytes, **fields: Any) -> bytes:
    return json.dumps({"type": "labeled", "otlp": base64.b64encode(data).decode(), **fields}, ensure_ascii=False).encode()


def strictly(body: bytes) -> Plain:
    return plain(strict.read(body, 0, len(body), SOURCE).decoded)


def by_columns(body: bytes) -> Plain | None:
    try:
        return plain(columnar.read(body, SOURCE))
    except DecodeError:
        return None


def whole(body: bytes, **rules: Any) -> Plain:
    return plain(decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=DecodeRules(org="acme", **rules)))


def require_same(body: bytes) -> bool:
    truth, found = strictly(body), by_columns(body)
    assert found in (None, truth)
    assert whole(body) == truth
    return found is not None


def test_dead_letters_stand_where_they_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one parser call: the bytes are looked for only now."""
    bodies = [posting(EXPORTS[0]), posting(b"\xff", org="x"), posting(TWICE), posting(EXPORTS[1])]
    body = b"\xef\xbb\xbf\n" + b" \n".join(bodies)
    truth = strictly(body)
    assert [(offset, cause) for _, offset, cause, _ in truth.dead] == [(body.index(bodies[1]), BAD_OTLP), (body.index(bodies[2]), BAD_LABELS)]
    assert truth.dead[0][3] == bodies[1]
    monkeypatch.setattr(columnar, "_parsed", None)
    assert by_columns(body) == truth


@pytest.mark.parametrize(
    "fields",
    [
        {"org": "other", "receivedAt": 1762000000.5},
        {"org": None, "receivedAt": None},
        {"receivedAt": 1762000000},
        {"receivedAt": 1762000000500},
        {"receivedAt": 1762000000500000},
        {"receivedAt": 1762000000500000000},
        {"receivedAt": "1762000000"},
        {"receivedAt": 5},
        {"org": 5},
        {"org": "\udc80"},
        {"type": "host"},
        {"type": None},
        {"metrics": 5, "roles": [5], "x": {"otlp": 1}},
        {"resourceMetrics": []},
        {"metric_stream_name": "x"},
        {"otlp": "CgA"},
        {"otlp": "CgE="},
        {"otlp": "zwy+="},
        {"otlp": None},
    ],
)
def test_odd_fields(fields: dict[str, Any]) -> None:
    odd = json.dumps({"type": "labeled", "otlp": "", **fields}).encode()
    require_same(b"\n".join([posting(EXPORTS[0]), odd, posting(EXPORTS[1])]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(requests(), damaged(requests())), min_size=1, max_size=4), st.sampled_from([b"", b"\n", b" \r\n"]))
def test_random_requests(data: list[bytes], between: bytes) -> None:
    assert require_same(between.join(posting(one, receivedAt=1762000000 + place) for place, one in enumerate(data)))


def test_a_type_that_is_not_utf8() -> None:
    bad = b'{"type": "labe\xf2led", "otlp": ""}'
    require_same(bad)
    require_same(posting(EXPORTS[0]) + bad)


def test_a_signalling_nan_is_a_broken_threshold() -> None:
    nan = b"\x01\x00\x00\x00\x00\x00\xf0\x7f"
    point = fixed(3, NOW_NS) + fixed(4, 1) + fixed(7, 1) + varint(14 << 3 | 1) + nan
    body = posting(part(1, part(2, part(2, part(1, b"m") + part(10, part(1, point) + b"\x10\x01")))))
    assert [letter[2] for letter in whole(body).dead] == [BAD_VALUE]
    assert require_same(body)


@pytest.mark.parametrize("depth", [150, 199, 200, 201])
def test_unknown_fields_nested_deep(depth: int) -> None:
    deep = b'{"type":"labeled","otlp":"","x":' + b"[" * depth + b"]" * depth + b"}"
    require_same(b"\n".join([posting(EXPORTS[0]), deep]))


def test_the_limit_of_dead_letters_holds() -> None:
    """Large stretches may not hold more of them than small ones."""
    body = b"\n".join([posting(b"\xff")] * 3000)
    found = whole(body, max_dead_letters=10)
    assert found.dead[-1][2] == TOO_MANY
    assert len(found.dead) < 2500


def test_labels_are_remembered_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(SOURCE)
    body = b"\n".join(map(posting, EXPORTS))
    first = plain(columnar.read(body, source))
    again = plain(columnar.read(body, source))
    monkeypatch.setattr("transforms.decode.otlp_labels._MAX_KEPT", 0)
    assert first == again == plain(columnar.read(body, source))
    assert labeled.seems_labeled(body)


def test_labels_remembered_of_other_objects_change_nothing() -> None:
    """Whatever contexts, attributes and broken labels were there before."""
    known = LabelReader()
    rules = DecodeRules(org="acme")
    for datas in ([EXPORTS[1]], [EXPORTS[0], TWICE], [EXPORTS[2], EXPORTS[1]], [EXPORTS[0]]):
        body = b"\n".join(map(posting, datas))
        assert plain(decode_object(body, key="key", arrival_us=ARRIVAL_US, rules=rules, labels=known)) == whole(body)
    assert known.contexts
