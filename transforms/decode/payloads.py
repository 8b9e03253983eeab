"""Payloads: what envelopes and aggregates hold. Each may itself be an aggregate of the KPL, or compressed; then the readers take many of them at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from transforms.core.arrivals import hour_of, in_hour
from transforms.core.errors import DecodeError
from transforms.core.model import DecodedObject
from transforms.decode import columnar, schemas
from transforms.decode.arriving import timed
from transforms.decode.causes import TOO_DEEP, TOO_MANY
from transforms.decode.containers import TABLES, unpack
from transforms.decode.framing import Frame, frames
from transforms.decode.joining import dead_record
from transforms.decode.kpl import MAGIC, user_records
from transforms.decode.listing import elements, holds_records, seems_listed, spread
from transforms.decode.payload import Payload
from transforms.decode.schemas import is_text
from transforms.decode.strict import Columns, Source
from transforms.decode.unpacked import Lost, UnpackLimits

_LARGE_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 1 << 16
_LARGEST_BYTES: Final = 1 << 26
"""The columnar path reads batches of the first size; where one is in doubt, of the second. A batch larger than the third, of one payload, is not tried."""

_BINARY_BYTES: Final = 1 << 22
"""Size of batches without JSON."""

MAX_DEPTH: Final = 8
"""Aggregates and containers within each other."""

_PLAIN_STARTS: Final = (b'{"', b"[{")
"""What no aggregate and no container begins with."""


@dataclass(slots=True)
class Allowance:
    """What an object may still cost: `letters` as `DecodeRules.max_dead_letters` counts them, and the inflated bytes of all its payloads together.

    A batch of payloads is read to its end: of each payload that is too much one dead letter is left.
    """

    letters: int
    inflated_bytes: int
    max_expansion: int


class PayloadReader:
    """Decodes payloads in their order."""

    def __init__(self, source: Source, allowance: Allowance) -> None:
        """`source` is the object; payloads have arrivals of their own."""
        self._source = source
        self._allowance = allowance

    def parts(self, contents: Iterable[Payload | Lost]) -> Iterator[DecodedObject]:
        """What the contents hold, a part for each batch and each dead letter."""
        batch, size, limit = list[Payload](), 0, 0
        for one in self._unwrapped_all(contents):
            if isinstance(one, Lost):
                yield self._dead(one)
                continue
            if batch and (size >= limit or is_text(one.data) != is_text(batch[0].data)):
                yield from self._read(batch)
                batch, size = [], 0
            if not batch:
                limit = _LARGE_BYTES * columnar.size_factor(one.data) if is_text(one.data) else _BINARY_BYTES
            batch.append(one if one.data[:1] != b"[" else self._spread(one))
            size += len(one.data)
        yield from self._read(batch)

    def _spread(self, payload: Payload) -> Payload:
        """A payload that is an array of records without its brackets and commas, so that the columnar path can read it; not if there are arrays in it."""
        if not seems_listed(payload.data):
            return payload
        first, *others = islice(frames(payload.data, 0, len(payload.data), self._source.max_record_bytes), 2)
        if others or not holds_records(first.value, self._source.flat) or any(isinstance(one, list) for one in first.value):
            return payload
        return payload._replace(data=payload.data[: first.start] + spread(payload.data[first.start : first.end]))

    def _dead(self, lost: Lost) -> DecodedObject:
        self._allowance.letters -= 1
        dead = dead_record(self._source.key, lost.offset, lost.problem, lost.raw)
        return dead if lost.arrival_us is None else replace(dead, arrivals=in_hour(hour_of(lost.arrival_us), 1, 1))

    def _unwrapped_all(self, contents: Iterable[Payload | Lost]) -> Iterator[Payload | Lost]:
        for one in contents:
            if isinstance(one, Lost):
                yield one
            else:
                yield from self._unwrapped(one, MAX_DEPTH)

    def _unwrapped(self, payload: Payload, depth: int) -> Iterator[Payload | Lost]:
        """The payloads that are neither aggregates nor compressed, and what is wrong with those that are."""
        if payload.data.startswith(_PLAIN_STARTS):
            yield payload
            return
        is_aggregate = payload.data.startswith(MAGIC)
        found = None if is_aggregate else unpack(payload.data, self._limits())
        if found and found.container in ("none", *TABLES):
            yield payload
            return
        if depth == 0:
            yield Lost(
                payload.offset, DecodeError(TOO_DEEP, f"more than {MAX_DEPTH} aggregates and containers within each other"), payload.data, payload.arrival_us
            )
            return
        inner = [found.data] if found else []
        if found:
            self._allowance.inflated_bytes -= len(found.data)
            for problem in [*(lost.problem for lost in found.lost), *filter(None, [found.problem])]:
                yield Lost(payload.offset, problem, payload.data, payload.arrival_us)
        else:
            try:
                inner = user_records(payload.data)
            except DecodeError as error:
                yield Lost(payload.offset, error.with_traceback(None), payload.data, payload.arrival_us)
        for data in inner:
            yield from self._unwrapped(payload._replace(data=data), depth - 1)

    def _limits(self) -> UnpackLimits:
        return UnpackLimits(max_bytes=max(0, self._allowance.inflated_bytes), max_expansion=self._allowance.max_expansion)

    def _read(self, batch: Sequence[Payload]) -> Iterator[DecodedObject]:
        """A batch of nothing but JSON, or without any."""
        if not batch or not is_text(batch[0].data):
            if batch:
                binaries = schemas.read(batch, self._source)
                self._allowance.letters -= len(binaries.dead_letters)
                yield timed(binaries, batch)
        elif part := self._columnar(batch):
            yield timed(part, batch)
        else:
            portions = list(_portions(batch))
            for portion in portions:
                yield timed((self._columnar(portion) if len(portions) > 1 else None) or self._strict(portion), portion)

    def _columnar(self, batch: Sequence[Payload]) -> DecodedObject | None:
        if sum(len(one.data) for one in batch) > _LARGEST_BYTES:
            return None
        try:
            part = columnar.read_payloads(batch, self._source)
        except DecodeError:
            return None
        if len(part.dead_letters) >= self._allowance.letters:
            return None
        self._allowance.letters -= len(part.dead_letters)
        return part

    def _strict(self, batch: Sequence[Payload]) -> DecodedObject:
        """The records of each payload, one after the other; when dead letters have cost too much, the rest of a payload is one."""
        columns, in_vain = Columns(self._source), 0
        for data, offset, arrival_us in batch:
            columns.source, columns.offset = replace(self._source, arrival_us=arrival_us), offset
            for frame in self._records(data):
                if columns.letters + in_vain >= self._allowance.letters:
                    rest = data[frame.start :]
                    columns.add_record(frame._replace(cause=TOO_MANY, detail=f"{len(rest)} bytes of the payload are left"), rest)
                    break
                columns.add_record(frame, data[frame.start : frame.end])
                in_vain += frame.in_vain >> 10
        decoded = columns.decoded()
        self._allowance.letters -= len(decoded.dead_letters) + in_vain
        return decoded

    def _records(self, data: bytes) -> Iterator[Frame]:
        for frame in frames(data, 0, len(data), self._source.max_record_bytes):
            yield from elements(frame, data, self._source.flat)


def _portions(batch: Sequence[Payload]) -> Iterator[Sequence[Payload]]:
    """The batch in parts of about `_SMALL_BYTES`."""
    start, size = 0, 0
    for at, one in enumerate(batch):
        if size >= _SMALL_BYTES:
            yield batch[start:at]
            start, size = at, 0
        size += len(one.data)
    yield batch[start:]
