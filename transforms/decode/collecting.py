"""What readers of one point after the other collect, and the columns it becomes."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import HISTOGRAM, DeadLetter, DecodedObject, DecodeTally, Ints, Points, Postings
from transforms.decode import causes
from transforms.decode.otlp_rules import Row
from transforms.decode.scalars import EXACT_BELOW

MAX_BROKEN_POINTS = 100_000
"""A record with more of them is one dead letter."""


class Message(NamedTuple):
    """The bytes of one record's metrics, and what holds for all of them. `raw` is the record as it stands in the object, from `offset` on."""

    data: bytes
    org: str
    arrival_us: int
    offset: int
    raw: bytes


class Envelope(NamedTuple):
    """A JSON record: its bytes, what it holds, and what is true of it where it doesn't say so itself."""

    raw: bytes
    value: object
    org: str
    arrival_us: int


class Part(NamedTuple):
    """What some records of an object hold; `posting_record` and `letter_record` tell of which record (by its place in a list) each is, in rising order."""

    decoded: DecodedObject
    posting_record: Ints
    letter_record: Ints

    def numbered(self, records: Sequence[int]) -> "Part":
        """The same when the record at a place has this number."""
        numbers = np.array(records, np.int64)
        return self._replace(posting_record=numbers[self.posting_record], letter_record=numbers[self.letter_record])


@dataclass(slots=True)
class Record:
    """What one record holds, until it is known to be good."""

    postings: list[tuple[str, str, str, int]] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    broken: list[tuple[DecodeError, bytes]] = field(default_factory=list)

    def add_posting(self, metric_type: str, org: str, entity: str, arrival_us: int) -> int:
        """Its number among the record's postings."""
        self.postings.append((metric_type, org, entity, arrival_us))
        return len(self.postings) - 1

    def bury(self, error: DecodeError, raw: bytes) -> None:
        """A broken point. Raises DecodeError when there are too many."""
        self.broken.append((error.with_traceback(None), raw))
        if len(self.broken) > MAX_BROKEN_POINTS:
            raise DecodeError(causes.BAD_POINTS, f"more than {MAX_BROKEN_POINTS}")


@dataclass(slots=True)
class Collected:
    """Records as they are read."""

    postings: list[tuple[str, str, str, int]] = field(default_factory=list)
    posting_record: list[int] = field(default_factory=list)
    points: list[tuple[int, Row]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    letter_record: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    inexact: Counter[str] = field(default_factory=Counter)
    dropped: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    records: int = 0
    dead_records: int = 0

    def add_record(self, ordinal: int, key: str, offset: int, record: Record) -> None:
        """A record of the object `key` that could be read."""
        self.records += 1
        first = len(self.postings)
        self.postings += record.postings
        self.posting_record += [ordinal] * len(record.postings)
        for posting, row in record.rows:
            self._add_row(first + posting, row)
        for error, raw in record.broken:
            self._bury(ordinal, key, offset, error, raw)

    def bury_record(self, ordinal: int, key: str, offset: int, error: DecodeError, raw: bytes) -> None:
        """A record that could not."""
        self.records += 1
        self.dead_records += 1
        self._bury(ordinal, key, offset, error, raw)

    def _bury(self, ordinal: int, key: str, offset: int, error: DecodeError, raw: bytes) -> None:
        self.letters.append(DeadLetter(key, offset, error.cause, error.detail[: causes.DETAIL_CHARS], raw))
        self.letter_record.append(ordinal)

    def _add_row(self, posting: int, row: Row) -> None:
        metric_type = self.postings[posting][0]
        self.counts[metric_type] += 1
        if row.dropped:
            self.dropped[row.dropped][metric_type] += 1
            return
        if abs(row.value) >= EXACT_BELOW:
            self.inexact[metric_type] += 1
        self.points.append((posting, row))

    def part(self) -> Part:
        """All of it, as columns."""
        tally = DecodeTally(
            records=self.records,
            decoded_records=self.records - self.dead_records,
            dead_records=self.dead_records,
            dead_points=len(self.letters) - self.dead_records,
            points=dict(self.counts),
            dropped={reason: dict(counts) for reason, counts in self.dropped.items()},
            inexact=dict(self.inexact),
        )
        decoded = DecodedObject(_postings(self.postings), _points(self.points), tally, tuple(self.letters))
        return Part(decoded, np.array(self.posting_record, np.int64), np.array(self.letter_record, np.int64))


def _postings(postings: Sequence[tuple[str, str, str, int]]) -> Postings:
    types, orgs, entities, arrivals = zip(*postings, strict=True) if postings else ((),) * 4
    types, orgs, entities = (pa.array(column, pa.string()) for column in (types, orgs, entities))
    return Postings(types, orgs, entities, pa.nulls(len(postings), pa.list_(pa.string())), np.array(arrivals, np.int64))


def _points(points: Sequence[tuple[int, Row]]) -> Points:
    rows = [row for _, row in points]
    histograms = [None if row.histogram is None else asdict(row.histogram) for row in rows]
    return Points(
        np.array([posting for posting, _ in points], np.int32),
        pa.array([row.name for row in rows], pa.string()).dictionary_encode(),
        np.array([row.time_us // 1_000_000 for row in rows], np.int64),
        np.array([row.value for row in rows], np.float64),
        labels=pa.array([row.labels for row in rows], pa.string()).dictionary_encode(),
        kind=np.array([row.kind for row in rows], np.int8),
        start_us=np.array([row.start_us for row in rows], np.int64),
        time_us=np.array([row.time_us for row in rows], np.int64),
        histogram=pa.array(histograms, HISTOGRAM) if any(histograms) else None,
    )
