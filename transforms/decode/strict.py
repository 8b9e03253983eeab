"""The strict reader: one record after the other, one Python object after the other. It says what a posting means; the columnar path must agree with it.

A record is an object with a `type`, an array (a bare API payload of host points), or `{}` (nothing); an array of records (listing.py) is its elements. A broken
envelope is a dead letter of the whole record, a broken point of that point alone. A point is broken before it is dropped; what is looked at, in this order:
object, hostId (bare arrays), name, time, value. Roles are a host's: in other postings the field is unknown.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.flat import FlatMapping
from transforms.core.model import DeadLetter, DecodedObject, DecodeTally, Points, Postings
from transforms.decode import causes, otlp
from transforms.decode.collecting import Collected, Envelope, Message, Part
from transforms.decode.envelopes import is_envelope
from transforms.decode.framing import Frame, element_spans, frames
from transforms.decode.joining import in_record_order
from transforms.decode.json_schemas import json_reader
from transforms.decode.listing import elements
from transforms.decode.otlp import request_bytes
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.scalars import ARRIVAL_WANTED, EXACT_BELOW, Json, arrival_of, is_text, number, time_s

IDENTITY: Final = {"host": "hostId", "service": "service"}
"""Metric types that are decoded, and the field that names a posting's entity."""

LABELED: Final = "labeled"
"""The metric type of postings that hold an OTLP request."""

MAX_BROKEN_POINTS: Final = 100_000
"""A record with more of them is one dead letter."""

_ROLES: Final = pa.list_(pa.string())
_Point = TypeVar("_Point")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a record comes from, and what holds where it doesn't say so itself. `labels` remembers those of OTLP points."""

    key: str
    arrival_us: int
    org: str = ""
    max_record_bytes: int = 1 << 26
    flat: FlatMapping | None = None
    labels: LabelReader = field(default_factory=LabelReader, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StrictPart:
    """What was read, up to byte `end`, and what its dead letters cost: 1 each, and 1 for each KiB parsed in vain.

    `tail` is where a record starts that the end of the object cuts off (only if asked for).
    """

    decoded: DecodedObject
    end: int
    cost: int
    tail: int | None = None


def read(
    data: bytes,
    start: int,
    stop: int,
    source: Source,
    *,
    is_cut: bool = False,
    is_spread: bool = False,
    max_cost: int = 1_000_000,
    ends_at: Callable[[Json], bool] = is_envelope,
) -> StrictPart:
    """Read the records that start in [start, stop); `start` must be a record's border.

    A record of which `ends_at` is true, as of an envelope, is not read: it ends the part, `end` is its start.
    With `is_spread` the records are elements of arrays: arrays among them are payloads, whatever they hold.
    With `is_cut` the object is known to end early: a last record that is incomplete is not a dead letter here, its start is returned as `tail`.
    Reading ends early after the record that brings the cost of dead letters to its maximum.
    """
    columns = Columns(source)
    end, in_vain = stop, 0
    for frame in frames(data, start, stop, source.max_record_bytes):
        if is_cut and frame.incomplete:
            return _part(columns, len(data), 0, frame.start)
        if ends_at(frame.value):
            return _part(columns, frame.start, in_vain)
        for one in (frame,) if is_spread else elements(frame, data, source.flat):
            columns.add_record(one, data[one.start : one.end])
        end = max(stop, frame.end)
        in_vain += frame.in_vain >> 10
        if columns.letters + in_vain >= max_cost:
            return _part(columns, frame.end, in_vain)
    return _part(columns, end, in_vain)


@dataclass(slots=True)
class Columns:
    """Postings, points, counts and dead letters as they are collected; dead letters at `offset`, if there is one, wherever they are found."""

    source: Source
    offset: int | None = None
    postings: list[tuple[str, str, str, list[str] | None, int]] = field(default_factory=list)
    posting_record: list[int] = field(default_factory=list)
    letter_record: list[int] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)
    request_record: list[int] = field(default_factory=list)
    others: Collected = field(default_factory=Collected)
    points: list[tuple[int, str, int, float]] = field(default_factory=list)
    records: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    dropped: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    inexact: Counter[str] = field(default_factory=Counter)
    decoded_records: int = 0
    dead_records: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)
    _ordinal: int = -1

    @property
    def letters(self) -> int:
        """How many dead letters there are, but for those of OTLP requests, which are decoded at the end."""
        return len(self.dead_letters) + len(self.others.letters)

    def add_record(self, frame: Frame, raw: bytes) -> None:
        """Count a record; add what is in it."""
        self._ordinal += 1
        self.records += 1
        try:
            is_own = self._add_value(_value(frame), frame.start, raw)
        except DecodeError as broken:
            self.dead_records += 1
            self._bury(frame.start, broken, raw)
        else:
            self.decoded_records += is_own
            self.records -= not is_own

    def _bury(self, offset: int, broken: DecodeError, raw: bytes) -> None:
        offset = offset if self.offset is None else self.offset
        self.letter_record.append(self._ordinal)
        self.dead_letters.append(DeadLetter(self.source.key, offset, broken.cause, broken.detail[: causes.DETAIL_CHARS], raw))

    def _bury_points(self, broken: dict[int, DecodeError], array: str | None, offset: int, raw: bytes) -> None:
        """Dead letters of some elements, by index, of the record's array; their spans are looked for once a record."""
        spans = element_spans(raw, array) if broken else []
        for index, error in broken.items():
            start, end = spans[index]
            self._bury(offset + start, error, raw[start:end])

    def _add_value(self, value: Json, offset: int, raw: bytes) -> bool:
        """Add what is in a record; False if it is counted where it is decoded."""
        read_record = json_reader(value, self.source.flat)
        place = offset if self.offset is None else self.offset
        if read_record:
            record = read_record(Envelope(raw, value, self.source.org, self.source.arrival_us))
            self.others.add_record(self._ordinal, self.source.key, place, record)
            return False
        if isinstance(value, list):
            self._add_bare(value, offset, raw)
        elif not isinstance(value, dict):
            raise DecodeError(causes.NOT_A_POSTING, f"{_shown(value)} is neither an object nor an array")
        elif value:
            metric_type = _type(value)
            if metric_type == LABELED:
                self._add_labeled(value, place, raw)
                return False
            self._add_typed(metric_type, value, offset, raw)
        return True

    def _add_labeled(self, record: dict[str, Json], place: int, raw: bytes) -> None:
        request = request_bytes(_text(record, "otlp", causes.BAD_OTLP))
        org = self.source.org if record.get("org") is None else _text(record, "org", causes.BAD_ORG)
        self.requests.append(Message(request, org, _arrival(record, self.source.arrival_us), place, raw))
        self.request_record.append(self._ordinal)

    def _add_typed(self, metric_type: str, record: dict[str, Json], offset: int, raw: bytes) -> None:
        entity = _text(record, IDENTITY[metric_type], causes.BAD_IDENTITY)
        org = self.source.org if record.get("org") is None else _text(record, "org", causes.BAD_ORG)
        roles = _roles(record) if metric_type == "host" else None
        arrival = _arrival(record, self.source.arrival_us)
        points, broken = _sift(_metrics(record), _point)
        posting = self._add_posting(metric_type, org, entity, roles, arrival)
        for point in points:
            self._add_point(metric_type, posting, *point)
        self._bury_points(broken, "metrics", offset, raw)

    def _add_posting(self, metric_type: str, org: str, entity: str, roles: list[str] | None, arrival: int) -> int:
        self.postings.append((metric_type, org, entity, roles, arrival))
        self.posting_record.append(self._ordinal)
        return len(self.postings) - 1

    def _add_bare(self, elements: list[Json], offset: int, raw: bytes) -> None:
        points, broken = _sift(elements, _host_point)
        postings: dict[str, int] = {}
        for host, point in points:
            if host not in postings:
                postings[host] = self._add_posting("host", self.source.org, host, None, self.source.arrival_us)
            self._add_point("host", postings[host], *point)
        self._bury_points(broken, None, offset, raw)

    def _add_point(self, metric_type: str, posting: int, name: str, time: int, value: float | None) -> None:
        self.counts[metric_type] += 1
        if value is None or not math.isfinite(value):
            reason = "null" if value is None else "nan" if math.isnan(value) else "infinite"
            self.dropped[reason][metric_type] += 1
            return
        if abs(value) >= EXACT_BELOW:
            self.inexact[metric_type] += 1
        self.points.append((posting, name, time, value))

    def decoded(self) -> DecodedObject:
        """All of it, as columns. To be called once."""
        own = Part(self._own(), np.array(self.posting_record, np.int64), np.array(self.letter_record, np.int64))
        return in_record_order([own, self.others.part(), otlp.read(self.requests, self.source.key, self.source.labels).numbered(self.request_record)]).decoded

    def _own(self) -> DecodedObject:
        types, orgs, entities, roles, arrivals = zip(*self.postings, strict=True) if self.postings else ((),) * 5
        postings, names, times, values = zip(*self.points, strict=True) if self.points else ((),) * 4
        tally = DecodeTally(
            records=self.records,
            decoded_records=self.decoded_records,
            dead_records=self.dead_records,
            dead_points=len(self.dead_letters) - self.dead_records,
            points=dict(self.counts),
            dropped={reason: dict(counts) for reason, counts in self.dropped.items()},
            inexact=dict(self.inexact),
        )
        return DecodedObject(
            Postings(_texts(types), _texts(orgs), _texts(entities), pa.array(roles, _ROLES), np.array(arrivals, np.int64)),
            Points(np.array(postings, np.int32), _texts(names).dictionary_encode(), np.array(times, np.int64), np.array(values, np.float64)),
            tally,
            tuple(self.dead_letters),
        )


def _part(columns: Columns, end: int, in_vain: int, tail: int | None = None) -> StrictPart:
    decoded = columns.decoded()
    return StrictPart(decoded, end, len(decoded.dead_letters) + in_vain, tail)


def _value(frame: Frame) -> Json:
    if frame.cause:
        raise DecodeError(frame.cause, frame.detail)
    return frame.value


def _texts(texts: Sequence[str]) -> pa.StringArray:
    return pa.array(texts, pa.string())


def _type(record: dict[str, Json]) -> str:
    metric_type = record.get("type")
    if isinstance(metric_type, str) and (metric_type in IDENTITY or metric_type == LABELED):
        return metric_type
    raise DecodeError(causes.UNKNOWN_TYPE, f"type {_shown(metric_type)}" if "type" in record else "no type")


def _text(fields: dict[str, Json], name: str, cause: str) -> str:
    value = fields.get(name)
    if isinstance(value, str) and is_text(value):
        return value
    raise DecodeError(cause, f"{name} {_shown(value)} is not a string of Unicode characters" if name in fields else f"no {name}")


def _roles(record: dict[str, Json]) -> list[str] | None:
    roles = record.get("roles")
    if roles is None:
        return None
    texts = [role for role in roles if isinstance(role, str) and is_text(role)] if isinstance(roles, list) else []
    if isinstance(roles, list) and len(texts) == len(roles):
        return texts
    raise DecodeError(causes.BAD_ROLES, f"roles {_shown(roles)} is neither null nor a list of strings")


def _arrival(record: dict[str, Json], default_us: int) -> int:
    received = record.get("receivedAt")
    if received is None:
        return default_us
    arrival_us = arrival_of(received)
    if arrival_us is None:
        raise DecodeError(causes.BAD_RECEIVED_AT, f"receivedAt {_shown(received)} is not {ARRIVAL_WANTED}")
    return arrival_us


def _metrics(record: dict[str, Json]) -> list[Json]:
    metrics = record.get("metrics")
    if isinstance(metrics, list):
        return metrics
    if metrics is None and "metrics" in record:
        return []
    raise DecodeError(causes.BAD_METRICS, f"metrics {_shown(metrics)} is not an array" if "metrics" in record else "no metrics")


def _sift(elements: list[Json], read_point: Callable[[Json], _Point]) -> tuple[list[_Point], dict[int, DecodeError]]:
    """The points that can be read, and what is wrong with the others, by index."""
    points: list[_Point] = []
    broken: dict[int, DecodeError] = {}
    for index, element in enumerate(elements):
        try:
            points.append(read_point(element))
        except DecodeError as error:
            broken[index] = error.with_traceback(None)
        if len(broken) > MAX_BROKEN_POINTS:
            raise DecodeError(causes.BAD_POINTS, f"more than {MAX_BROKEN_POINTS} of {len(elements)}")
    return points, broken


def _host_point(element: Json) -> tuple[str, tuple[str, int, float | None]]:
    return _text(_object(element), "hostId", causes.BAD_HOST), _point(element)


def _object(element: Json) -> dict[str, Json]:
    if isinstance(element, dict):
        return element
    raise DecodeError(causes.BAD_ELEMENT, f"{_shown(element)} is not an object")


def _point(element: Json) -> tuple[str, int, float | None]:
    """Name, time and value (None if null or missing)."""
    point = _object(element)
    name = _text(point, "name", causes.BAD_NAME)
    time = time_s(point.get("time"))
    if time is None:
        raise DecodeError(
            causes.BAD_TIME, f"time {_shown(point.get('time'))} is not a time in seconds between the years 2000 and 2100" if "time" in point else "no time"
        )
    value = point.get("value")
    if value is None:
        return name, time, None
    measured = number(value)
    if measured is None:
        raise DecodeError(causes.BAD_VALUE, f"value {_shown(value)} is not a number")
    return name, time, measured


def _shown(value: Json) -> str:
    """The value as ASCII JSON, not more of it than a detail needs."""
    pieces: Iterator[str] = json.JSONEncoder().iterencode(value)
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > causes.DETAIL_CHARS:
            break
    return text[: causes.DETAIL_CHARS]
