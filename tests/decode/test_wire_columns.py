"""Fields of many messages at once, against the reader of one field after the other."""

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from tests.decode.otlp_requests import varint
from transforms.core.errors import DecodeError
from transforms.decode import wire
from transforms.decode.wire_columns import Octets, read_fields, read_varints

MANY = 50
"""More messages than are read one by one."""


@given(st.lists(st.integers(0, (1 << 64) - 1) | st.integers(0, 300), min_size=1, max_size=5))
@example([127])
@example([128, 16383])
@example([128, 16384])
@example([1, 128])
def test_varints(numbers: list[int]) -> None:
    encoded = [varint(number) for number in numbers]
    ends = np.cumsum([len(one) for one in encoded])
    value, stop = read_varints(Octets(encoded), ends - [len(one) for one in encoded])
    assert value.tolist() == numbers
    assert stop.tolist() == ends.tolist()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x09" + bytes(8),
        b"\x0d\x01\x02\x03\x04\x0a\x02ab\x10\x05",
        b"\x0a\x80\x01" + bytes(128) + b"\x10\x96\x01",
        b"\x08" + b"\xff" * 9 + b"\x01",
        b"\x82\x08\x02ab\x08\x01",  # a tag of two bytes
    ],
    ids=["none", "fixed", "several", "two bytes of length", "ten bytes", "tag of two bytes"],
)
def test_many_alike(message: bytes) -> None:
    expected = wire.Message(message).fields
    stop = np.cumsum([len(message)] * MANY)
    fields, bad = read_fields(Octets([message] * MANY), stop - len(message), stop)
    assert not bad.any()
    for owner in (0, MANY - 1):
        rows = np.flatnonzero(fields.owner == owner)
        found = zip(fields.number[rows], fields.wire[rows], fields.value[rows], strict=True)
        assert [tuple(map(int, one)) for one in found] == [(one.number, one.wire, one.value) for one in expected]


@pytest.mark.parametrize("message", [b"\x0b\x08\x01", b"\x0c", b"\x02\x00", b"\x09\x00", b"\x0a\x05a", b"\x0a\x80", b"\x08\x80"])
def test_many_broken_alike(message: bytes) -> None:
    """Groups, field number 0, and what ends amid a field."""
    with pytest.raises(DecodeError):
        wire.Message(message)
    at = np.arange(MANY) * len(message)
    parts = [message] * MANY
    assert read_fields(Octets(parts), at, at + len(message))[1].all()
