"""The protobuf wire format of very many messages at once: one vectorised step reads the next field of every message that has more.

The last few messages, perhaps with very many fields, are read field by field: a step over few of them would cost more than the loop.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import Bools, Ints
from transforms.decode.wire import BYTES, FIXED32, FIXED64, VARINT, Field, as_signed, varint

Bits = npt.NDArray[np.uint64]

_PADDING: Final = bytes(32)
_FEW: Final = 40
"""With as many messages or fewer, one step over all costs more than as many turns of the loop."""

_FAR: Final = np.uint64(1 << 40)
_VARINT_BYTES: Final = 10
_WIRES: Final = (FIXED64, BYTES, VARINT, FIXED32)


class Octets:
    """Bytes joined, with zeros behind them: as bytes, and as the 8-byte little-endian number that begins at each byte."""

    def __init__(self, parts: list[bytes]) -> None:
        self.data = b"".join([*parts, _PADDING])
        self.octets = np.frombuffer(self.data, np.uint8)
        self.words: Bits = np.ndarray((len(self.data) - 7,), np.dtype("<u8"), self.data, strides=(1,))

    def rows(self, start: Ints, size: int) -> Bits:
        """So many 8-byte numbers from each of these places on, of shape (places, size)."""
        items: npt.NDArray[np.void] = np.ndarray((len(self.data) - 8 * size + 1,), np.dtype((np.void, 8 * size)), self.data, strides=(1,))
        return items[start].view(np.uint64).reshape(-1, size)

    def binary(self, start: Ints, stop: Ints) -> pa.BinaryArray:
        """The bytes of spans that follow each other, none beginning before the last has ended, as a column of its own."""
        if not len(start):
            return pa.array([], pa.binary())
        offsets = np.empty(2 * len(start) + 1, np.int32)
        offsets[:-1:2], offsets[1::2], offsets[-1] = start, stop, stop[-1]
        interleaved = pa.Array.from_buffers(pa.binary(), 2 * len(start), [None, pa.py_buffer(offsets), pa.py_buffer(self.data)])
        return interleaved.take(pa.array(np.arange(0, 2 * len(start), 2, dtype=np.int32)))


class Fields(NamedTuple):
    """Fields as parallel columns; those of one message are in the order in which they stand.

    `owner` is the message's index, the others are as in `wire.Field`; `begin` is where the tag stands.
    """

    owner: npt.NDArray[np.int32]
    number: npt.NDArray[np.int32]
    wire: npt.NDArray[np.uint8]
    value: Bits
    begin: Ints
    at: Ints
    stop: Ints

    def only(self, rows: Bools) -> "Fields":
        """These rows."""
        return Fields(*(column[rows] for column in self))  # type: ignore[arg-type]


def read_fields(octets: Octets, start: Ints, stop: Ints) -> tuple[Fields, Bools]:
    """The fields of the messages at [start, stop), and which of the messages could not be read to their end, or only with doubt."""
    bad = np.zeros(len(start), np.bool_)
    owner = np.flatnonzero(start < stop).astype(np.int32)
    at, end = start[owner], stop[owner]
    parts: list[Fields] = []
    while len(owner) > _FEW:
        step, ok = _step(octets, owner, at, end)
        if not ok.all():
            bad[owner[~ok]] = True
            step, end = step.only(ok), end[ok]
        parts.append(step)
        more = step.stop < end
        if more.all():
            owner, at = step.owner, step.stop
        else:
            owner, at, end = step.owner[more], step.stop[more], end[more]
    parts.append(_one_by_one(octets.data, owner, at, end, bad))
    return _joined(parts), bad


def _joined(parts: list[Fields]) -> Fields:
    return Fields(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _step(octets: Octets, owner: npt.NDArray[np.int32], begin: Ints, end: Ints) -> tuple[Fields, Bools]:
    """One field of each message, and whether it could be read."""
    tags = octets.octets.take(begin, mode="clip")
    if 8 <= (tag_of_all := int(tags[0])) < 0x80 and (tags == tag_of_all).all():
        return _same_step(octets, tag_of_all, owner, begin, end)
    tag, at = _short_varint(octets, begin)
    wire = (tag & 7).astype(np.uint8)
    number = (tag >> 3).astype(np.int32)
    value = np.zeros(len(tag), np.uint64)
    stop = end + 1  # what no wire type below sets is bad
    for kind in _WIRES:
        chosen = wire == kind
        if chosen.all():
            value, at, stop = _values(octets, kind, at)
            break
        if chosen.any():
            rows = np.flatnonzero(chosen)
            value[rows], at[rows], stop[rows] = _values(octets, kind, at[rows])
    return Fields(owner, number, wire, value, begin, at, stop), (stop <= end) & (number > 0)


def _same_step(octets: Octets, tag: int, owner: npt.NDArray[np.int32], begin: Ints, end: Ints) -> tuple[Fields, Bools]:
    """As `_step`, where all tags are this one of one byte."""
    number, wire = np.empty(len(owner), np.int32), np.empty(len(owner), np.uint8)
    number.fill(tag >> 3)
    wire.fill(tag & 7)
    if (tag & 7) in _WIRES:
        value, at, stop = _values(octets, tag & 7, begin + 1)
    else:
        value, at, stop = np.zeros(len(owner), np.uint64), begin + 1, end + 1
    return Fields(owner, number, wire, value, begin, at, stop), stop <= end


def _short_varint(octets: Octets, at: Ints) -> tuple[Bits, Ints]:
    """A number of one or two bytes, 0 for a longer one."""
    word = octets.words[at]
    value: Bits = word & np.uint64(0xFF)
    if (value < 0x80).all():
        return value, at + 1
    is_long = value >= 0x80
    second = (word >> np.uint64(8)) & np.uint64(0xFF)
    value = np.where(is_long, (value & np.uint64(0x7F)) | (second << np.uint64(7)), value)
    value[is_long & (second >= 0x80)] = 0
    return value, at + 1 + is_long


def _values(octets: Octets, kind: int, at: Ints) -> tuple[Bits, Ints, Ints]:
    """Value, beginning of the content and end of fields of one wire type, from behind their tags on."""
    if kind == FIXED64:
        return octets.words[at], at, at + 8
    if kind == FIXED32:
        return octets.words[at] & np.uint64(0xFFFFFFFF), at, at + 4
    value, stop = read_varints(octets, at)
    if kind == VARINT:
        return value, at, stop
    return value, stop, stop + np.minimum(value, _FAR).astype(np.int64)


def read_varints(octets: Octets, at: Ints) -> tuple[Bits, Ints]:
    """Varints at these positions, and where they end; far behind all for one of more than 64 bits. Positions may lie in the padding, not behind it."""
    first = octets.octets.take(at, mode="clip")
    is_long = first >= 0x80
    if not is_long.any():
        return first.astype(np.uint64), at + 1
    second = octets.octets.take(at + 1, mode="clip") if is_long.all() else first
    if (second < 0x80).all():
        return (first & np.uint8(0x7F)) | second.astype(np.uint64) << np.uint64(7), at + 2
    value, stop, more = first.astype(np.uint64), at + 1, np.flatnonzero(is_long)
    value[more] &= np.uint64(0x7F)
    for place in range(1, _VARINT_BYTES):
        if not len(more):
            return value, stop
        octet = octets.octets.take(at[more] + place, mode="clip").astype(np.uint64)
        value[more] |= (octet & 0x7F) << np.uint64(7 * place)
        stop[more] += 1
        is_over = octet > 1 if place == _VARINT_BYTES - 1 else np.zeros(len(more), np.bool_)
        stop[more[is_over]] = int(_FAR)
        more = more[(octet >= 0x80) & ~is_over]
    return value, stop


def fixed64s(octets: Octets, start: Ints, stop: Ints) -> Bits:
    """All 8-byte numbers of the spans, whose sizes are multiples of 8, in order."""
    sizes = (stop - start) // 8
    size = int(sizes[0]) if len(sizes) else 0
    if size and (sizes == size).all():
        return octets.rows(start, size).reshape(-1)
    total = int(sizes.sum())
    return np.frombuffer(octets.binary(start, stop).buffers()[2], np.uint64, total) if total else np.empty(0, np.uint64)


def packed_varints(octets: Octets, start: Ints, stop: Ints) -> tuple[Bits, Ints, Bools]:
    """All varints of the spans, in order; how many each span has; which spans end amid one or have one of 9 bytes or more (their values mean nothing)."""
    joined = octets.binary(start, stop)
    size = stop - start
    data = np.frombuffer(joined.buffers()[2], np.uint8, int(size.sum())) if len(start) and size.sum() else np.empty(0, np.uint8)
    is_end = data < 0x80
    ends = np.flatnonzero(is_end)
    begins = np.append(0, ends[:-1] + 1) if len(ends) else ends
    lengths = ends - begins + 1
    value = np.zeros(len(ends), np.uint64)
    for place in range(min(int(lengths.max(initial=0)), 9)):
        rows = np.flatnonzero(lengths > place) if place else slice(None)
        value[rows] |= (data[begins[rows] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    edges = np.append(0, np.cumsum(size))
    passed = np.append(0, np.cumsum(is_end, dtype=np.int64))[edges]
    bad = np.zeros(len(start), np.bool_)
    filled = np.flatnonzero(size)
    bad[filled] = data[edges[1:][filled] - 1] >= 0x80
    if (lengths > 8).any():
        bad[np.unique(np.searchsorted(edges, begins[lengths > 8], "right") - 1)] = True
    return value, np.diff(passed), bad


def _one_by_one(data: bytes, owner: npt.NDArray[np.int32], at: Ints, end: Ints, bad: Bools) -> Fields:
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    for one, first, last in zip(owner.tolist(), at.tolist(), end.tolist(), strict=True):
        try:
            _walk(data, one, first, last, rows)
        except DecodeError:
            bad[one] = True
    message, number, wire, value, begin, at, stop = np.array(rows, np.int64).reshape(-1, 7).T
    return Fields(message.astype(np.int32), number.astype(np.int32), wire.astype(np.uint8), value.astype(np.uint64), begin, at, stop)


def _walk(data: bytes, message: int, at: int, end: int, rows: list[tuple[int, int, int, int, int, int, int]]) -> None:
    """Fields of one message; those of bytes with a tag of one byte and a length of up to two, which are nearly all, without a call."""
    while at < end:
        tag = data[at]
        if tag & 0x87 == BYTES and tag > BYTES:
            length, content = data[at + 1], at + 2
            if length >= 0x80 and data[content] < 0x80:
                length, content = length & 0x7F | data[content] << 7, content + 1
            if length < 1 << 14 and (length < 0x80 or content == at + 3) and content + length <= end:
                rows.append((message, tag >> 3, BYTES, length, at, content, content + length))
                at = content + length
                continue
        field = _field(data, at, end)
        rows.append((message, field.number, field.wire, as_signed(field.value), at, field.at, field.stop))
        at = field.stop


def _field(data: bytes, at: int, end: int) -> Field:
    tag, at = varint(data, at, end)
    number, wire = tag >> 3, tag & 7
    value, content = varint(data, at, end) if wire in (VARINT, BYTES) else (0, at)
    stop = content + value if wire == BYTES else content
    if wire in (FIXED64, FIXED32):
        stop = at + (8 if wire == FIXED64 else 4)
        value = int.from_bytes(data[at:stop], "little")
    if wire not in (VARINT, FIXED64, BYTES, FIXED32) or stop > end or not 1 <= number < 1 << 11:
        raise DecodeError("doubt", "a field that the strict reader must look at", at)
    return Field(number, wire, value, at if wire == VARINT else content, stop)
