"""One archive object: container, records, postings, points. What the rest of the program calls."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from transforms.core.arrivals import Arrivals, hour_of, in_hour, united
from transforms.core.errors import DecodeError, ObjectUnreadable
from transforms.core.flat import FlatMapping
from transforms.core.model import DeadLetter, DecodedObject, DecodeTally
from transforms.core.plan import Request
from transforms.decode import columnar, schemas, strict
from transforms.decode.arriving import Origins
from transforms.decode.causes import DETAIL_CHARS, ERROR_OUTPUT, TOO_MANY
from transforms.decode.containers import TABLES, unpack
from transforms.decode.envelopes import is_envelope, opened, seems_envelope
from transforms.decode.framing import Frame, border, frames
from transforms.decode.joining import NOTHING, as_dropped, dead_record, joined
from transforms.decode.kpl import MAGIC
from transforms.decode.listing import holds_records, seems_listed, spread
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.payload import Payload
from transforms.decode.payloads import Allowance, PayloadReader
from transforms.decode.scalars import Json
from transforms.decode.strict import Source
from transforms.decode.tables import read_table
from transforms.decode.unpacked import Lost, Unpacked, UnpackLimits

_LARGE_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 1 << 16
"""The columnar path reads stretches of the first size; where one is in doubt, of the second, so that few records need the strict reader."""

_DROPPED: Final = "dropped by the transform"
"""Why points are dropped that stand in records of which Firehose's transform says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRules:
    """What the configuration says about decoding: the org of postings that name none, and bounds that keep memory in hand whatever the input.

    An object that inflates to more than `max_object_bytes` or `max_expansion` times its stored size is one dead letter, and nothing of it is kept. So is
    a record of more than `max_record_bytes`. After `max_dead_letters` of an object its rest is one more; each KiB that was parsed in vain counts as one, too,
    which bounds the time. `flat` says what the fields of flat rows are. `read_error_output`: records that Firehose could not deliver are read as any others.
    """

    org: str = ""
    max_object_bytes: int = 1 << 30
    max_expansion: int = 1000
    max_record_bytes: int = 1 << 26
    max_dead_letters: int = 1_000_000
    read_error_output: bool = False
    flat: FlatMapping | None = None


def rules_of(request: Request) -> DecodeRules:
    """The rules of what the user asked for."""
    return DecodeRules(org=request.default_org, flat=request.flat, max_object_bytes=request.max_object_bytes, read_error_output=request.read_firehose_errors)


def decode_object(body: bytes, *, key: str, arrival_us: int, rules: DecodeRules, labels: LabelReader | None = None) -> DecodedObject:
    """Decode an archive object as it was stored under `key`. Never raises for what the bytes are: what can't be read is a dead letter.

    `arrival_us` is the arrival of postings that don't tell theirs. Points are in the order of their position in the object. `labels` remembers those of OTLP
    points from one object to the next, on one thread; it changes nothing but the time.
    """
    limits = UnpackLimits(max_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion)
    unpacked = unpack(body, limits)
    known = LabelReader() if labels is None else labels
    source = Source(key=key, arrival_us=arrival_us, org=rules.org, max_record_bytes=rules.max_record_bytes, flat=rules.flat, labels=known)
    allowance = Allowance(letters=rules.max_dead_letters, inflated_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion)
    is_table = unpacked.container in TABLES and not unpacked.problem
    parts = read_table(body, unpacked.container, source, allowance, limits) if is_table else _parts(unpacked, source, allowance, rules)
    return _timed(joined([NOTHING, *parts]), key, arrival_us)


def _timed(decoded: DecodedObject, key: str, arrival_us: int) -> DecodedObject:
    """With the records that were in no envelope in the object's hour, and the object as undecoded if no point came of it, but dead letters.

    What Firehose could not deliver are records that were read, and left.
    """
    tally, told = decoded.tally, decoded.arrivals
    records, dead = tally.records - sum(told.records.values()), tally.dead_records - sum(told.dead_records.values())
    is_undecoded = not any(tally.points.values()) and any(one.cause != ERROR_OUTPUT for one in decoded.dead_letters)
    undecoded = Arrivals(undecoded=frozenset([key] if is_undecoded else []))
    return replace(decoded, arrivals=united([told, in_hour(hour_of(arrival_us), records, dead), undecoded]))


def _parts(unpacked: Unpacked, source: Source, allowance: Allowance, rules: DecodeRules) -> Iterator[DecodedObject]:
    """What is in the container; then, what is wrong with it."""
    tail, data = len(unpacked.data), unpacked.data
    if not data.startswith(MAGIC) and schemas.is_protobuf(data):
        yield from PayloadReader(source, allowance).parts(schemas.split(data, source.arrival_us))
    elif data.startswith(MAGIC):
        yield from PayloadReader(source, allowance).parts([Payload(data, 0, source.arrival_us)])
    else:
        stretches = _Stretches(unpacked, source, allowance, read_error_output=rules.read_error_output)
        yield from stretches.parts()
        tail = stretches.tail
    for lost in unpacked.lost:
        yield dead_record(source.key, lost.offset, lost.problem, lost.raw)
    if unpacked.problem:
        yield dead_record(source.key, tail, unpacked.problem, data[tail:] + unpacked.rest)


def unreadable_object(problem: ObjectUnreadable, arrival_us: int) -> DecodedObject:
    """What stands for an object that the archive did not hand out: one record, a dead letter without bytes."""
    letter = DeadLetter(problem.key, 0, problem.cause, problem.detail[:DETAIL_CHARS], b"")
    return _timed(replace(NOTHING, tally=DecodeTally(records=1, dead_records=1), dead_letters=(letter,)), problem.key, arrival_us)


def _moved(part: DecodedObject, by: int) -> DecodedObject:
    """The part of a text that stands at this offset of the object."""
    return replace(part, dead_letters=tuple(one._replace(offset=one.offset + by) for one in part.dead_letters)) if part.dead_letters else part


class _Stretches:
    """Reads a text from front to back, each stretch by the columnar path if it can prove itself, else by the strict reader; envelopes are opened.

    Arrays of records are read as texts of their own, which are `is_spread`. `tail` is where the record begins that is cut off by the end of the container.
    """

    def __init__(self, unpacked: Unpacked, source: Source, allowance: Allowance, *, read_error_output: bool, is_spread: bool = False) -> None:
        self._is_cut = unpacked.is_cut
        self._data = unpacked.data
        self._source = source
        self._allowance = allowance
        self._read_error_output = read_error_output
        self._is_spread = is_spread
        self._error_output = 0
        self._at = 0
        self._next: Frame | None = None
        self.tail = len(unpacked.data)

    def parts(self) -> Iterator[DecodedObject]:
        """Consecutive stretches."""
        while self._at < len(self._data):
            stop = border(self._data, self._at + self._large_bytes())
            part = None if self._seems_special() else self._columnar(stop)
            yield from [part] if part else self._small_parts(stop)

    def _seems_special(self) -> bool:
        is_listed = not self._is_spread and not self._source.flat and seems_listed(self._data, self._at)
        return is_listed or seems_envelope(self._data, self._at)

    def _large_bytes(self) -> int:
        return _LARGE_BYTES * columnar.size_factor(self._data, self._at)

    def _small_parts(self, until: int) -> Iterator[DecodedObject]:
        is_tried = until - self._at <= _SMALL_BYTES
        while self._at < until and self._allowance.letters > 0:
            start = self._at
            yield from self._enveloped()
            yield from self._listed()
            if self._at > start:
                continue
            stop = border(self._data, self._at + _SMALL_BYTES)
            part = None if is_tried else self._columnar(stop)
            yield part or self._strict(stop)
        if self._allowance.letters <= 0 and self._at < self.tail:
            problem = DecodeError(TOO_MANY, f"{len(self._data) - self._at} bytes of the object are left")
            yield dead_record(self._source.key, self._at, problem, self._data[self._at :])
            self._at = self.tail = len(self._data)

    def _columnar(self, stop: int) -> DecodedObject | None:
        # A stretch has at most one record beyond its size. What is longer holds no records, but perhaps more scalars than fit into memory.
        if stop - self._at > self._large_bytes() + self._source.max_record_bytes:
            return None
        try:
            part = columnar.read(self._data[self._at : stop], self._source, self._at)
        except DecodeError:
            return None
        if len(part.dead_letters) >= self._allowance.letters:
            return None
        self._allowance.letters -= len(part.dead_letters)
        self._at = stop
        return part

    def _strict(self, stop: int) -> DecodedObject:
        ends_at = is_envelope if self._is_spread else self._is_special
        part = strict.read(
            self._data, self._at, stop, self._source, is_cut=self._is_cut, is_spread=self._is_spread, max_cost=self._allowance.letters, ends_at=ends_at
        )
        self._at = part.end
        self.tail = self.tail if part.tail is None else part.tail
        self._allowance.letters -= part.cost
        return part.decoded

    def _enveloped(self) -> Iterator[DecodedObject]:
        """What is in the envelopes that stand here one after the other; if there are any, `_at` moves behind them."""
        origins, dropped, self._next = Origins(), list[Payload | Lost](), None
        yield from PayloadReader(self._source, self._allowance).parts(self._contents(origins, dropped))
        yield from self._dropped(dropped)
        if self._error_output:
            yield replace(NOTHING, tally=DecodeTally(error_output=self._error_output))
            self._error_output = 0
        if (shards := origins.shards()).num_rows:
            yield replace(NOTHING, arrivals=Arrivals(shards=shards))

    def _is_special(self, value: Json) -> bool:
        return is_envelope(value) or holds_records(value, self._source.flat)

    def _listed(self) -> Iterator[DecodedObject]:
        """What is in the arrays of records that stand here one after the other, as many as make a stretch; if there are any, `_at` moves behind them."""
        start, parts, first = self._at, list[bytes](), self._next
        self._next = None
        if self._is_spread or first is None or not holds_records(first.value, self._source.flat):
            return
        others = frames(self._data, first.end, min(len(self._data), start + _LARGE_BYTES), self._source.max_record_bytes)
        for frame in chain((first,), others):
            if not holds_records(frame.value, self._source.flat):
                break
            parts += [self._data[self._at : frame.start], spread(self._data[frame.start : frame.end])]
            self._at = frame.end
        text = Unpacked(b"".join(parts))
        inner = _Stretches(text, self._source, self._allowance, read_error_output=self._read_error_output, is_spread=True)
        yield from (_moved(part, start) for part in inner.parts())

    def _dropped(self, contents: list[Payload | Lost]) -> Iterator[DecodedObject]:
        """What a transform dropped: only counted, so that its dead letters cost nothing."""
        allowance = replace(self._allowance)
        yield from (as_dropped(part, _DROPPED) for part in PayloadReader(self._source, allowance).parts(contents))
        self._allowance.inflated_bytes = allowance.inflated_bytes

    def _contents(self, origins: Origins, dropped: list[Payload | Lost]) -> Iterator[Payload | Lost]:
        """What is in the envelopes; what a transform dropped goes into the list."""
        for frame in frames(self._data, self._at, len(self._data), self._source.max_record_bytes):
            if not isinstance(frame.value, dict) or not is_envelope(frame.value):
                self._next = frame
                return
            raw = self._data[frame.start : frame.end]
            arrival_us = self._source.arrival_us
            for content, is_error, is_dropped in opened(frame.value, raw, frame.start, arrival_us, origins, read_error_output=self._read_error_output):
                if self._allowance.letters <= 0:
                    self._at = content.offset
                    return
                self._error_output += is_error
                if is_dropped:
                    dropped.append(content)
                else:
                    yield content
            self._at = frame.end
