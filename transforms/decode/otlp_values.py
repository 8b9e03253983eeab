"""The fields of very many OTLP points of all forms, read at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.core.model import Bools, Floats, Ints
from transforms.core.ragged import is_all
from transforms.decode.otlp_spans import Reader, Rows, Spans
from transforms.decode.wire import BYTES, FIXED64, VARINT
from transforms.decode.wire_columns import Bits, Fields

NUMBER, HISTOGRAM, EXPONENTIAL, SUMMARY = range(4)
FORM_OF: Final = {5: NUMBER, 7: NUMBER, 9: HISTOGRAM, 10: EXPONENTIAL, 11: SUMMARY}
"""What a point looks like, by the number of its metric's data."""

(
    _ATTRIBUTES, _START, _TIME, _FLAGS, _DOUBLE, _INT, _COUNT, _SUM, _MIN, _MAX,
    _COUNTS, _BOUNDS, _SCALE, _ZERO_COUNT, _ZERO_THRESHOLD, _POSITIVE, _NEGATIVE, _QUANTILES, _UNPACKED,
) = range(1, 20)  # fmt: skip

_NUMBERS: Final = {
    NUMBER: {(7, BYTES): _ATTRIBUTES, (4, FIXED64): _DOUBLE, (6, FIXED64): _INT, (8, VARINT): _FLAGS},
    HISTOGRAM: {
        (9, BYTES): _ATTRIBUTES, (4, FIXED64): _COUNT, (5, FIXED64): _SUM, (6, BYTES): _COUNTS, (6, FIXED64): _UNPACKED,
        (7, BYTES): _BOUNDS, (7, FIXED64): _UNPACKED, (10, VARINT): _FLAGS, (11, FIXED64): _MIN, (12, FIXED64): _MAX,
    },
    EXPONENTIAL: {
        (1, BYTES): _ATTRIBUTES, (4, FIXED64): _COUNT, (5, FIXED64): _SUM, (6, VARINT): _SCALE, (7, FIXED64): _ZERO_COUNT, (8, BYTES): _POSITIVE,
        (9, BYTES): _NEGATIVE, (10, VARINT): _FLAGS, (12, FIXED64): _MIN, (13, FIXED64): _MAX, (14, FIXED64): _ZERO_THRESHOLD,
    },
    SUMMARY: {(7, BYTES): _ATTRIBUTES, (4, FIXED64): _COUNT, (5, FIXED64): _SUM, (6, BYTES): _QUANTILES, (8, VARINT): _FLAGS},
}  # fmt: skip


def _table() -> npt.NDArray[np.uint8]:
    table = np.zeros((4, 16, 8), np.uint8)
    for form, fields in _NUMBERS.items():
        table[form, 2, FIXED64], table[form, 3, FIXED64] = _START, _TIME
        for (number, wire), meaning in fields.items():
            table[form, number, wire] = meaning
    return table.ravel()


_MEANING: Final = _table()
"""What a field means, by form, number below 16 and wire type; 0 for what is not looked at."""


_FREE: Final = (_START, _TIME, _DOUBLE, _INT, _COUNT, _SUM, _MIN, _MAX)
"""What is of 8 bytes and may differ between requests that are alike."""


@dataclass(frozen=True, slots=True)
class Values:
    """Of each point of all requests; what is missing is 0 or an empty span, but for the values that may be unknown, which are NaN where `has_…` is False.

    `attributes` are of the points that were read only.
    """

    attributes: tuple[Ints, Ints]
    start_ns: Bits
    time_ns: Bits
    is_flagged: Bools
    value: Floats
    has_value: Bools
    count: Bits
    sum: Floats
    has_sum: Bools
    min: Floats
    has_min: Bools
    max: Floats
    has_max: Bools
    counts: tuple[Ints, Ints]
    bounds: tuple[Ints, Ints]
    scale: Ints
    zero_count: Bits
    zero_threshold: Floats
    positive: tuple[Ints, Ints]
    negative: tuple[Ints, Ints]
    quantiles: tuple[Ints, Ints, Rows]


class PointReader:
    """Reads the points of a level, of these forms; those in which something is unusual are in doubt."""

    def __init__(self, reader: Reader, points: Spans, form: npt.NDArray[np.int8]) -> None:
        self._reader, self._points = reader, points
        self._copied = reader.copied(points)
        self._fields = reader.fields(points)
        meaning = _meanings(self._fields, form)
        self._order = np.argsort(meaning, kind="stable")
        self._ends = np.cumsum(np.bincount(meaning, minlength=_UNPACKED + 1))
        reader.doubt(points, self._fields.owner[self._rows(_UNPACKED)])

    def free(self) -> tuple[Ints, Ints]:
        """Start and stop of what may differ between requests that are alike."""
        at = self._fields.at[np.concatenate([self._rows(meaning) for meaning in _FREE])]
        start, stop = self._own_span(_COUNTS)
        stop = np.where((stop - start) % 8 == 0, stop, start)
        return np.concatenate([at, start]), np.concatenate([at + 8, stop])

    def values(self) -> Values:
        """The values of the points of all requests."""
        value, has_value = self._value()
        return Values(
            self._attributes(),
            self._bits(_START)[0],
            self._bits(_TIME)[0],
            self._bits(_FLAGS)[0] & 1 != 0,
            value,
            has_value,
            self._bits(_COUNT)[0],
            *self._double(_SUM),
            *self._double(_MIN),
            *self._double(_MAX),
            self._span(_COUNTS),
            self._span(_BOUNDS),
            as_zigzag32(self._bits(_SCALE)[0]),
            self._bits(_ZERO_COUNT)[0],
            self._bits(_ZERO_THRESHOLD)[0].view(np.float64),
            self._span(_POSITIVE),
            self._span(_NEGATIVE),
            self._quantiles(),
        )

    def _rows(self, meaning: int) -> Rows:
        rows: Rows = self._order[self._ends[meaning - 1] : self._ends[meaning]]
        return rows

    def _bits(self, meaning: int) -> tuple[Bits, Bools]:
        rows = self._rows(meaning)
        is_moved = meaning in _FREE and not self._copied.is_whole
        value, has = self._placed(self._fields.at.view(np.uint64) if is_moved else self._fields.value, rows)
        if not is_moved:
            return self._copied.of(value), self._copied.of(has)
        found, has = self._reader.octets.words[self._copied.moved(value.view(np.int64))], self._copied.of(has)
        return found if has.all() else np.where(has, found, np.uint64(0)), has

    def _placed(self, column: Bits, rows: Rows) -> tuple[Bits, Bools]:
        """The column in these rows at the points that have them, the last of each counts, and which have."""
        owner = self._fields.owner[rows]
        if is_all(owner, len(self._points.start)):
            return column[rows], np.ones(len(owner), np.bool_)
        value, has = np.zeros(len(self._points.start), np.uint64), np.zeros(len(self._points.start), np.bool_)
        value[owner], has[owner] = column[rows], True
        return value, has

    def _double(self, meaning: int) -> tuple[Floats, Bools]:
        bits, has = self._bits(meaning)
        return bits.view(np.float64), has

    def _span(self, meaning: int) -> tuple[Ints, Ints]:
        start, stop = self._own_span(meaning)
        return self._copied.moved(start), self._copied.moved(stop)

    def _own_span(self, meaning: int) -> tuple[Ints, Ints]:
        return self._reader.only(self._points, self._fields, self._rows(meaning))

    def _value(self) -> tuple[Floats, Bools]:
        (double, has_double), (integer, has_integer) = self._double(_DOUBLE), self._bits(_INT)
        self._reader.doubtful[self._copied.record[has_double & has_integer]] = True
        return np.where(has_integer, integer.view(np.int64).astype(np.float64), double), has_double | has_integer

    def _attributes(self) -> tuple[Ints, Ints]:
        """From the first attribute's tag to the last one's end; other fields between them are a doubt."""
        rows = self._rows(_ATTRIBUTES)
        owner, begin, end = self._fields.owner[rows], self._fields.begin[rows], self._fields.stop[rows]
        start, stop = self._points.start.copy(), self._points.start.copy()
        stop[owner] = end
        start[owner[::-1]] = begin[::-1]
        sizes = np.bincount(owner, end - begin, len(start))
        self._reader.doubt(self._points, sizes != stop - start)
        return start, stop

    def _quantiles(self) -> tuple[Ints, Ints, Rows]:
        rows = self._rows(_QUANTILES)
        rows = rows[np.argsort(self._fields.at[rows], kind="stable")]
        owner = self._fields.owner[rows].astype(np.intp)
        every = self._reader.copied(Spans(self._fields.at[rows], self._fields.stop[rows], owner, self._points.record[owner]))
        return every.moved(self._fields.at[rows]), every.moved(self._fields.stop[rows]), every.above(owner, self._copied)


def _meanings(fields: Fields, form: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    number = np.minimum(fields.number, 15)  # 15 itself means nothing
    meanings: npt.NDArray[np.uint8] = _MEANING[(form.astype(np.int32)[fields.owner] << 7) | (number << 3) | fields.wire]
    return meanings


def as_zigzag32(value: Bits) -> Ints:
    """The sint32 that varints stand for."""
    low = (value & np.uint64(0xFFFFFFFF)).astype(np.int64)
    signed: Ints = (low >> 1) ^ -(low & 1)
    return signed
