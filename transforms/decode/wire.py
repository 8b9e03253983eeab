"""The protobuf wire format, one field after the other: what `wire_columns` must agree with.

Source: protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4), which the messages read here never had, count as malformed. Messages that are
merged are those of which the bytes are joined, and of a oneof the last member wins.
"""

import struct
from collections.abc import Collection
from typing import Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.causes import BAD_OTLP

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

MAX_NUMBER: Final = (1 << 29) - 1
_VARINT_BYTES: Final = 10
_DOUBLE: Final = struct.Struct("<d")


class Field(NamedTuple):
    """One field: `value` is the unsigned number, or for BYTES the content's length; the content lies at [at, stop) (only for BYTES)."""

    number: int
    wire: int
    value: int
    at: int
    stop: int


class Message:
    """The fields of a message, in the order in which they stand. Raises DecodeError if the bytes are no message."""

    __slots__ = ("data", "fields")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fields = _fields(data)

    def number(self, number: int, wire: int, default: int = 0) -> int:
        """The last value of a field as an unsigned integer."""
        return next((field.value for field in reversed(self.fields) if (field.number, field.wire) == (number, wire)), default)

    def double(self, number: int) -> float | None:
        """The last value of a double field; None where it is missing."""
        bits = self.number(number, FIXED64, -1)
        return None if bits < 0 else as_double(bits)

    def double_or_zero(self, number: int) -> float:
        """The last value of a double field that has no presence."""
        return as_double(self.number(number, FIXED64))

    def contents(self, number: int) -> list[bytes]:
        """Every value of a repeated field of bytes, text or messages."""
        return [self.data[field.at : field.stop] for field in self.fields if (field.number, field.wire) == (number, BYTES)]

    def text(self, number: int) -> bytes:
        """The last value of a field of text, empty where it is missing."""
        return next(iter(reversed(self.contents(number))), b"")

    def merged(self, number: int) -> bytes:
        """The bytes of a message field that is not repeated."""
        return b"".join(self.contents(number))

    def last_of(self, members: Collection[tuple[int, int]], messages: Collection[int] = ()) -> tuple[int, bytes | int]:
        """Number and value of the member, of (number, wire type), that a oneof holds; (0, 0) where none is set. `messages` are merged."""
        found = [field for field in self.fields if (field.number, field.wire) in members]
        if not found:
            return 0, 0
        last = found[-1]
        if last.wire != BYTES:
            return last.number, last.value
        if last.number not in messages:
            return last.number, self.data[last.at : last.stop]
        others = [index for index, field in enumerate(found) if field.number != last.number]
        run = found[others[-1] + 1 if others else 0 :]
        return last.number, b"".join(self.data[field.at : field.stop] for field in run)

    def fixed64s(self, number: int) -> list[int]:
        """A repeated field of 8-byte numbers, packed or not."""
        values: list[int] = []
        for field in self.fields:
            if (field.number, field.wire) == (number, FIXED64):
                values.append(field.value)
            elif (field.number, field.wire) == (number, BYTES):
                if field.value % 8:
                    raise DecodeError(BAD_OTLP, f"{field.value} bytes of 8-byte numbers", field.at)
                values += struct.unpack_from(f"<{field.value // 8}Q", self.data, field.at)
        return values

    def varints(self, number: int) -> list[int]:
        """A repeated field of varints, packed or not."""
        values: list[int] = []
        for field in self.fields:
            if (field.number, field.wire) == (number, VARINT):
                values.append(field.value)
            elif (field.number, field.wire) == (number, BYTES):
                values += _packed(self.data, field.at, field.stop)
        return values


def as_double(bits: int) -> float:
    """The double of these 64 bits."""
    number: float = _DOUBLE.unpack(bits.to_bytes(8, "little"))[0]
    return number


def as_signed(value: int) -> int:
    """The signed 64-bit integer of these bits."""
    return value - (1 << 64) if value >> 63 else value


def as_zigzag32(value: int) -> int:
    """The sint32 that a varint stands for."""
    value &= 0xFFFFFFFF
    return (value >> 1) ^ -(value & 1)


def varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """The varint at `at` as 64 bits, and where it ends."""
    value = 0
    for place in range(_VARINT_BYTES):
        if at + place >= stop:
            raise DecodeError(BAD_OTLP, "a number is cut off", at)
        octet = data[at + place]
        value |= (octet & 0x7F) << (7 * place)
        if octet < 0x80:
            if value >> 64:
                break
            return value, at + place + 1
    raise DecodeError(BAD_OTLP, "a number of more than 64 bits", at)


def _packed(data: bytes, at: int, stop: int) -> list[int]:
    values = []
    while at < stop:
        value, at = varint(data, at, stop)
        values.append(value)
    return values


def _fields(data: bytes) -> list[Field]:
    fields = []
    at = 0
    while at < len(data):
        field = _field(data, at)
        fields.append(field)
        at = field.stop
    return fields


def _field(data: bytes, at: int) -> Field:
    tag, at = varint(data, at, len(data))
    number, wire = tag >> 3, tag & 7
    if not 1 <= number <= MAX_NUMBER:
        raise DecodeError(BAD_OTLP, f"field number {number}", at)
    if wire == VARINT:
        value, stop = varint(data, at, len(data))
        return Field(number, wire, value, at, stop)
    if wire == BYTES:
        value, at = varint(data, at, len(data))
        stop = at + value
    elif wire in (FIXED64, FIXED32):
        stop = at + (8 if wire == FIXED64 else 4)
        value = int.from_bytes(data[at:stop], "little")
    else:
        raise DecodeError(BAD_OTLP, f"wire type {wire}", at)
    if stop > len(data):
        raise DecodeError(BAD_OTLP, "a field is cut off", at)
    return Field(number, wire, value, at, stop)
