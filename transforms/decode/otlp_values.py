"""The fields of very many OTLP points of all forms, read at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.core.model import Bools, Floats, Ints
from transforms.core.ragged import is_all
from transforms.decode.otlp_alike import Likeness
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
    """The fields of the points of a level, of these forms; those in which something is unusual are in doubt."""

    def __init__(self, reader: Reader, points: Spans, form: npt.NDArray[np.int8]) -> None:
        self.points, self.form, self.fields = points, form, reader.fields(points)
        self._reader = reader
        meaning = _meanings(self.fields, form)
        self._order = np.argsort(meaning, kind="stable")
        self._ends = np.cumsum(np.bincount(meaning, minlength=_UNPACKED + 1))
        reader.doubt(points, self.fields.owner[self.rows(_UNPACKED)])

    def free(self) -> tuple[Ints, Ints]:
        """Start and stop of what may differ between requests that are alike."""
        at = self.fields.at[np.concatenate([self.rows(meaning) for meaning in _FREE])]
        start, stop = self.span(_COUNTS)
        stop = np.where((stop - start) % 8 == 0, stop, start)
        return np.concatenate([at, start]), np.concatenate([at + 8, stop])

    def rows(self, meaning: int) -> Rows:
        """The fields that mean this, in the order of their points."""
        rows: Rows = self._order[self._ends[meaning - 1] : self._ends[meaning]]
        return rows

    def placed(self, column: Bits, rows: Rows) -> tuple[Bits, Bools]:
        """The column in these rows at the points that have them, the last of each counts, and which have."""
        owner = self.fields.owner[rows]
        if is_all(owner, len(self.points.start)):
            return column[rows], np.ones(len(owner), np.bool_)
        value, has = np.zeros(len(self.points.start), np.uint64), np.zeros(len(self.points.start), np.bool_)
        value[owner], has[owner] = column[rows], True
        return value, has

    def span(self, meaning: int) -> tuple[Ints, Ints]:
        """Where the content of a field of bytes lies in each point."""
        return self._reader.only(self.points, self.fields, self.rows(meaning))

    def attributes(self) -> tuple[Ints, Ints]:
        """From the first attribute's tag to the last one's end; other fields between them are a doubt."""
        rows = self.rows(_ATTRIBUTES)
        owner, begin, end = self.fields.owner[rows], self.fields.begin[rows], self.fields.stop[rows]
        start, stop = self.points.start.copy(), self.points.start.copy()
        stop[owner] = end
        start[owner[::-1]] = begin[::-1]
        sizes = np.bincount(owner, end - begin, len(start))
        self._reader.doubt(self.points, sizes != stop - start)
        return start, stop


def read_values(own: PointReader, reader: Reader, likeness: Likeness) -> Values:
    """The values of the points of all requests, which this reader has and which are like those whose points were read."""
    return _Points(own, reader, likeness).values()


class _Points:
    def __init__(self, own: PointReader, reader: Reader, likeness: Likeness) -> None:
        self._own, self._reader, self._likeness = own, reader, likeness
        self._copied = likeness.copied(own.points.record)

    def values(self) -> Values:
        value, has_value = self._value()
        return Values(
            self._own.attributes(),
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

    def _bits(self, meaning: int) -> tuple[Bits, Bools]:
        fields, rows = self._own.fields, self._own.rows(meaning)
        if meaning not in _FREE or self._copied.is_whole:
            value, has = self._own.placed(fields.value, rows)
            return self._copied.of(value), self._copied.of(has)
        at, has = self._own.placed(fields.at.view(np.uint64), rows)
        found, has = self._reader.octets.words[self._copied.moved(at.view(np.int64))], self._copied.of(has)
        return found if has.all() else np.where(has, found, np.uint64(0)), has

    def _double(self, meaning: int) -> tuple[Floats, Bools]:
        bits, has = self._bits(meaning)
        return bits.view(np.float64), has

    def _span(self, meaning: int) -> tuple[Ints, Ints]:
        start, stop = self._own.span(meaning)
        return self._copied.moved(start), self._copied.moved(stop)

    def _value(self) -> tuple[Floats, Bools]:
        (double, has_double), (integer, has_integer) = self._double(_DOUBLE), self._bits(_INT)
        self._reader.doubtful[self._copied.record[has_double & has_integer]] = True
        return np.where(has_integer, integer.view(np.int64).astype(np.float64), double), has_double | has_integer

    def _quantiles(self) -> tuple[Ints, Ints, Rows]:
        fields, rows = self._own.fields, self._own.rows(_QUANTILES)
        rows = rows[np.argsort(fields.at[rows], kind="stable")]
        owner = fields.owner[rows].astype(np.intp)
        every = self._likeness.copied(self._own.points.record[owner])
        return every.moved(fields.at[rows]), every.moved(fields.stop[rows]), every.above(owner, self._copied)


def _meanings(fields: Fields, form: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    number = np.minimum(fields.number, 15)  # 15 itself means nothing
    meanings: npt.NDArray[np.uint8] = _MEANING[(form.astype(np.int32)[fields.owner] << 7) | (number << 3) | fields.wire]
    return meanings


def as_zigzag32(value: Bits) -> Ints:
    """The sint32 that varints stand for."""
    low = (value & np.uint64(0xFFFFFFFF)).astype(np.int64)
    signed: Ints = (low >> 1) ^ -(low & 1)
    return signed
