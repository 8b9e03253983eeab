"""What a table takes in memory once it is read, told before it is read: run lengths and dictionaries make of a few bytes as many values as they like.

Neither is more than what is measured when the table has been read, but for 8 bytes of each empty or missing list of Parquet, so that nothing of note is
refused here that would be kept there.

* Parquet: each page's header says how many values it holds, and readers make room for as many. The headers stand in the file between the pages
  (github.com/apache/parquet-format: parquet.thrift, in Thrift's compact protocol), so that the sum is what will be read, whatever the footer says.
* ORC: the footer's statistics of each column say how many values it has, how many elements its lists and how long its texts are together (orc.apache.org/
  specification/ORCv1). A footer that says less than there is, or nothing, is found out when a stripe has been read, not before, or when its reader has no
  memory left (orc_process.py); so are elements of lists that are null, which writers do not count.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.wire import VARINT, Message

_PARQUET_WIDTHS: Final = {1: 4, 2: 8, 3: 8, 4: 4, 5: 8, 6: 4, 7: 4}
"""Bytes of a value at least, by the number of its physical type: INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY."""

_ORC_WIDTHS: Final = {1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 8, 7: 4, 8: 4, 9: 8, 10: 8, 11: 4, 14: 16, 15: 4, 16: 4, 17: 4, 18: 8}
"""The same by the kind of an ORC type: BYTE, SHORT, INT, LONG, FLOAT, DOUBLE, STRING, BINARY, TIMESTAMP, LIST, MAP, DECIMAL, DATE, VARCHAR, CHAR, INSTANT."""

_DELTAS: Final = (6, 7)
"""DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY."""

_LIST, _MAP, _UNION = 10, 11, 13

_TRUE, _FALSE, _BINARY, _STRUCT, _MAP_OF, _LONG = 1, 2, 8, 12, 11, 15
_INTEGERS: Final = (4, 5, 6)
_LISTS: Final = (9, 10)
_FIXED: Final = {_TRUE: 1, _FALSE: 1, 3: 1, 7: 8}
"""Types of the compact protocol; booleans take a byte in lists only."""

_FOOTER_END: Final = 8
_VARINT_BYTES: Final = 10
_MAX_DEPTH: Final = 64
_MAX_VALUES: Final = 20_000_000
_UNREADABLE: Final = (IndexError, KeyError, TypeError, AttributeError, struct.error)


class ParquetSizes(NamedTuple):
    """Bytes that the values of a file take at least, and of each row group the columns (leaves, by place) with pages in a delta encoding of texts."""

    value_bytes: int
    delta_columns: list[frozenset[int]]


def parquet_sizes(body: bytes) -> ParquetSizes:
    """Look at all pages of a Parquet file. Raises ValueError if the footer can't be read.

    Behind a page whose header can't be read nothing of its column is looked at: nobody can read it.
    """
    thrift, sizes, deltas = _Thrift(body), 0, []
    try:
        (length,) = struct.unpack_from("<I", body, len(body) - _FOOTER_END)
        footer, _ = thrift.struct(max(0, len(body) - _FOOTER_END - length))
        for group in footer[4]:
            chunks = [(chunk[3][1], list(_pages(thrift, chunk[3], len(body)))) for chunk in group[1]]
            sizes += sum(page.values * _PARQUET_WIDTHS.get(kind, 0) for kind, pages in chunks for page in pages)
            deltas.append(frozenset(place for place, (_, pages) in enumerate(chunks) if any(page.encoding in _DELTAS for page in pages)))
    except _UNREADABLE as error:
        raise ValueError(f"the footer can't be read ({type(error).__name__})") from error
    return ParquetSizes(sizes, deltas)


class _Page(NamedTuple):
    values: int
    encoding: int


def _pages(thrift: "_Thrift", chunk: dict[int, Any], size: int) -> Iterator[_Page]:
    """The pages of data of a column chunk of the file, which has this size."""
    at = min([chunk[9], *(offset for offset in (chunk.get(11, 0),) if offset > 0)])
    end = min(at + chunk[7], size)
    while at < end:
        try:
            header, at = thrift.struct(at)
            for data, encoding in ((5, 2), (8, 4)):
                if data in header:
                    yield _Page(max(0, header[data][1]), header[data][encoding])
            at += max(0, header[3])
        except _UNREADABLE:
            return


class _Thrift:
    """Reads structs of the compact protocol as dicts by field number; of texts, bytes, doubles and maps nothing is kept. Whoever reads too many is stopped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MAX_VALUES

    def struct(self, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
        """The struct at this place, and where it ends."""
        if depth > _MAX_DEPTH:
            raise KeyError(depth)
        fields: dict[int, Any] = {}
        number = 0
        while head := self._data[at]:
            at += 1
            if head >> 4:
                number += head >> 4
            else:
                number, at = self._integer(at)
            kind = head & 15
            fields[number], at = (kind == _TRUE, at) if kind in (_TRUE, _FALSE) else self._value(kind, at, depth)
        return fields, at + 1

    def _value(self, kind: int, at: int, depth: int) -> tuple[Any, int]:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {_MAX_VALUES} values in footer and page headers")
        if kind in _INTEGERS:
            return self._integer(at)
        if kind == _BINARY:
            length, at = self._varint(at)
            return None, at + length
        if kind in _FIXED:
            return self._data[at], at + _FIXED[kind]
        if kind == _STRUCT:
            return self.struct(at, depth + 1)
        return self._map(at, depth + 1) if kind == _MAP_OF else self._list(kind, at, depth + 1)

    def _list(self, kind: int, at: int, depth: int) -> tuple[list[Any], int]:
        if kind not in _LISTS or depth > _MAX_DEPTH:
            raise KeyError(kind)
        head, at = self._data[at], at + 1
        size = head >> 4
        if size == _LONG:
            size, at = self._varint(at)
        found = []
        for _ in range(size):
            value, at = self._value(head & 15, at, depth)
            found.append(value)
        return found, at

    def _map(self, at: int, depth: int) -> tuple[None, int]:
        size, at = self._varint(at)
        kinds, at = (self._data[at], at + 1) if size else (0, at)
        for kind in (kinds >> 4, kinds & 15) * size if size <= len(self._data) else (0,):
            _, at = self._value(kind, at, depth)
        return None, at

    def _integer(self, at: int) -> tuple[int, int]:
        value, at = self._varint(at)
        return (value >> 1) ^ -(value & 1), at

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for place in range(_VARINT_BYTES):
            byte = self._data[at + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, at + place + 1
        raise KeyError(at)


def orc_bytes(tail: bytes) -> int:
    """Bytes that the values of an ORC file take at least by its statistics; `tail` is its serialized FileTail. Raises ValueError for one that can't be read."""
    try:
        footer = Message(Message(tail).merged(2))
        types = list(map(Message, footer.contents(4)))
        statistics = list(map(Message, footer.contents(7)))
        return _sum_of_columns(types, statistics, footer.number(6, VARINT))
    except DecodeError as error:
        raise ValueError(f"the footer can't be read: {error.detail}") from error


def _sum_of_columns(types: list[Message], statistics: list[Message], rows: int) -> int:
    """Types are in pre-order: a parent knows the places of its children before they come."""
    places, size = [0] * len(types), 0
    for number, one in enumerate(types):
        column = statistics[number] if number < len(statistics) else Message(b"")
        here = places[number] if number else rows
        kind = one.number(1, VARINT)
        size += here * _ORC_WIDTHS.get(kind, 0) + _text_bytes(column)
        elements = Message(column.merged(12)).number(3, VARINT)
        for child in one.varints(2):
            if not number < child < len(types):
                raise ValueError(f"type {number} has the child {child} of {len(types)} types")
            known = statistics[child].number(1, VARINT) if child < len(statistics) else 0
            places[child] = max(elements, known) if kind in (_LIST, _MAP) else known if kind == _UNION else here
    return size


def _text_bytes(column: Message) -> int:
    """Length of all texts or bytes together."""
    sums = Message(column.merged(4)).number(3, VARINT), Message(column.merged(8)).number(1, VARINT)
    return sum(one >> 1 for one in sums if not one & 1)
