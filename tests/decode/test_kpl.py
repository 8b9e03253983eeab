"""KPL aggregates: those that the public aws_kinesis_agg makes, and what its deaggregator says of them; damage."""

import hashlib
import random

import pytest
from hypothesis import given, settings, strategies as st

from scripts.encoders.aggregates import aggregate
from transforms.core.errors import DecodeError
from transforms.decode.causes import BAD_AGGREGATE, BAD_DIGEST
from transforms.decode.kpl import MAGIC, user_records


def sealed(message: bytes) -> bytes:
    return MAGIC + message + hashlib.md5(message).digest()  # noqa: S324  # what the format asks for


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=30),
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10), min_size=1, max_size=4),
    st.sampled_from([None, "0", "170141183460469231731687303715884105728"]),
)
def test_what_the_public_aggregator_makes(data: list[bytes], keys: list[str], hash_key: str | None) -> None:
    assert user_records(aggregate(*data, keys=tuple(keys), hash_key=hash_key)) == data


def test_large_records() -> None:
    data = [random.Random(size).randbytes(size) for size in (127, 128, 16_383, 16_384, 500_000)]
    assert user_records(aggregate(*data)) == data


def test_an_aggregate_of_nothing() -> None:
    assert user_records(sealed(b"")) == []


def test_a_wrong_digest_is_the_end_of_all() -> None:
    body = aggregate(b"one", b"two", b"three")
    for at in range(len(MAGIC), len(body)):
        with pytest.raises(DecodeError, match=BAD_DIGEST):
            user_records(body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :])
    for cut in range(len(MAGIC), len(body)):
        with pytest.raises(DecodeError, match=BAD_DIGEST):
            user_records(body[:cut])


KEY = b"\x0a\x01a"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (KEY + b"\x1a\x05\x08\x00\x1a\x01x", [b"x"]),
        (KEY + b"\x1a\x08\x1a\x01y\x1a\x01x\x08\x00", [b"x"]),  # the last of a repeated field counts
        (KEY + b"\x1a\x05\x1a\x01x\x08\x00" + b"\x22\x03abc\x28\x96\x01\x31" + bytes(8) + b"\x3d" + bytes(4), [b"x"]),  # unknown fields of every wire type
        (KEY + b"\x1a\x0a\x08\x00\x1a\x01x\x22\x03\x0a\x01t", [b"x"]),  # tags
        (b"\x1a\x05\x08\x00\x1a\x01x" + KEY, [b"x"]),
    ],
)
def test_the_wire_format(message: bytes, expected: list[bytes]) -> None:
    assert user_records(sealed(message)) == expected


@pytest.mark.parametrize(
    "message",
    [
        b"\x1a\x05\x08\x00\x1a\x01x",  # no key table
        KEY + b"\x1a\x05\x08\x01\x1a\x01x",  # beyond the table
        KEY + b"\x1a\x07\x08\x00\x10\x00\x1a\x01x",  # no table of hash keys
        KEY + b"\x1a\x02\x08\x00",  # no data
        KEY + b"\x1a\x03\x1a\x01x",  # no key
        KEY + b"\x1a\x04\x08\x00\x18\x05",  # data that are a number
        KEY + b"\x1a\x06\x08\x00\x1a\x01x",  # longer than the message
        KEY + b"\x1a\x05\x08\x00\x1a\x02x",  # longer than the record
        KEY + b"\x18\x05",  # a record that is a number
        KEY + b"\x1b",  # a group
        b"\x02\x00",  # field 0
        b"\x0a",
        b"\xff" * 11,
        b"\x31" + bytes(7),
    ],
)
def test_what_is_no_aggregate(message: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        user_records(sealed(message))
    assert caught.value.cause == BAD_AGGREGATE


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_end_as_named(noise: bytes, at: int) -> None:
    good = aggregate(b"one", b"two")[len(MAGIC) : -16]
    for message in (noise, good[:at] + noise + good[at:]):
        try:
            assert all(isinstance(one, bytes) for one in user_records(sealed(message)))
        except DecodeError as error:
            assert error.cause == BAD_AGGREGATE  # noqa: PT017  # raised or not, both are right
