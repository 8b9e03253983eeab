"""OTLP requests are known by their skeleton: those of a real SDK are, alone and with lengths before them, and postings and noise are not."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.decode.postings import objects
from transforms.decode.containers import UnpackLimits, unpack
from transforms.decode.forms import form_of
from transforms.decode.otlp_forms import is_delimited, is_request

LINES = (Path(__file__).parents[1] / "data" / "otlp-exports.ndjson").read_text().splitlines()
REQUESTS = [base64.b64decode(json.loads(line)["body_base64"]) for line in LINES]


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def delimited(requests: list[bytes]) -> bytes:
    return b"".join(varint(len(one)) + one for one in requests)


@pytest.mark.parametrize("number", [0, 7, 23])
def test_real_requests(number: int) -> None:
    request = REQUESTS[number]
    assert is_request(request)
    assert not is_delimited(request)
    assert not is_request(request[:-1])
    assert form_of(unpack(request, UnpackLimits())) == ("none", "one message", "OTLP metrics protobuf")


def test_real_requests_one_after_the_other() -> None:
    assert is_delimited(delimited(REQUESTS))
    assert not is_request(delimited(REQUESTS))
    assert not is_delimited(delimited(REQUESTS)[:-1])
    assert is_request(b"".join(REQUESTS)), "joined messages are one message"
    assert form_of(unpack(delimited(REQUESTS), UnpackLimits())) == ("none", "messages with lengths", "OTLP metrics protobuf")


@pytest.mark.parametrize("body", [b"", b"\x0a", b"\x00", b"\x0a\xff\xff\xff\xff\xff\xff", b"\x01\x0a", b"\x0a\x01\x08"])
def test_what_is_none(body: bytes) -> None:
    assert not is_request(body)
    assert not is_delimited(body)


@given(objects())
def test_no_json_is_taken_for_otlp(body: bytes) -> None:
    assert not is_delimited(body)
    assert not is_request(body)


@given(st.binary(max_size=100))
def test_noise_is_never_an_error(body: bytes) -> None:
    assert is_request(body) in (True, False)
    assert is_delimited(body) in (True, False)
