"""One archive object: container, records, postings, points. What the rest of the program calls."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError, ObjectUnreadable
from transforms.core.model import DeadLetter, DecodedObject, DecodeTally, Points, Postings
from transforms.decode import columnar, strict
from transforms.decode.causes import DETAIL_CHARS, TOO_MANY
from transforms.decode.containers import Unpacked, UnpackLimits, unpack
from transforms.decode.framing import border
from transforms.decode.strict import Source

_LARGE_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 1 << 16
"""The columnar path reads stretches of the first size; where one is in doubt, of the second, so that few records need the strict reader."""

_TEXT: Final = pa.string()
_NO_TEXTS: Final = pa.nulls(0, _TEXT)
_NOTHING: Final = DecodedObject(
    Postings(_NO_TEXTS, _NO_TEXTS, _NO_TEXTS, pa.nulls(0, pa.list_(_TEXT)), np.empty(0, np.int64)),
    Points(np.empty(0, np.int32), _NO_TEXTS.dictionary_encode(), np.empty(0, np.int64), np.empty(0, np.float64)),
    DecodeTally(),
    (),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRules:
    """What the configuration says about decoding: the org of postings that name none, and bounds that keep memory in hand whatever the input.

    An object that inflates to more than `max_object_bytes` or `max_expansion` times its stored size is one dead letter, and nothing of it is kept. So is
    a record of more than `max_record_bytes`. After `max_dead_letters` of an object its rest is one more; each KiB that was parsed in vain counts as one, too,
    which bounds the time.
    """

    org: str = ""
    max_object_bytes: int = 1 << 30
    max_expansion: int = 1000
    max_record_bytes: int = 1 << 26
    max_dead_letters: int = 1_000_000


def decode_object(body: bytes, *, key: str, arrival_us: int, rules: DecodeRules) -> DecodedObject:
    """Decode an archive object as it was stored under `key`. Never raises for what the bytes are: what can't be read is a dead letter.

    `arrival_us` is the arrival of postings that don't tell theirs. Points are in the order of their position in the object.
    """
    unpacked = unpack(body, UnpackLimits(max_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion))
    source = Source(key=key, arrival_us=arrival_us, org=rules.org, max_record_bytes=rules.max_record_bytes)
    return _joined([_NOTHING, *_Stretches(unpacked, source, rules.max_dead_letters).parts()])


def unreadable_object(problem: ObjectUnreadable) -> DecodedObject:
    """What stands for an object that the archive did not hand out: one record, a dead letter without bytes."""
    letter = DeadLetter(problem.key, 0, problem.cause, problem.detail[:DETAIL_CHARS], b"")
    return replace(_NOTHING, tally=DecodeTally(records=1, dead_records=1), dead_letters=(letter,))


class _Stretches:
    """Reads an object from front to back, each stretch by the columnar path if it can prove itself, else by the strict reader."""

    def __init__(self, unpacked: Unpacked, source: Source, max_dead_letters: int) -> None:
        self._unpacked = unpacked
        self._data = unpacked.data
        self._source = source
        self._letters_left = max_dead_letters
        self._at = 0
        self._tail = len(unpacked.data)

    def parts(self) -> Iterator[DecodedObject]:
        """Consecutive stretches; last, what is wrong with the container."""
        while self._at < len(self._data):
            stop = border(self._data, self._at + _LARGE_BYTES)
            part = self._columnar(stop)
            yield from [part] if part else self._small_parts(stop)
        if self._unpacked.problem:
            yield self._letter(self._unpacked.problem, self._tail, self._unpacked.rest)

    def _small_parts(self, until: int) -> Iterator[DecodedObject]:
        is_tried = until - self._at <= _SMALL_BYTES
        while self._at < until and self._letters_left > 0:
            stop = border(self._data, self._at + _SMALL_BYTES)
            part = None if is_tried else self._columnar(stop)
            yield part or self._strict(stop)
        if self._letters_left <= 0 and self._at < self._tail:
            problem = DecodeError(TOO_MANY, f"{len(self._data) - self._at} bytes of the object are left")
            yield self._letter(problem, self._at, b"")
            self._at = self._tail = len(self._data)

    def _columnar(self, stop: int) -> DecodedObject | None:
        # A stretch has at most one record beyond its size. What is longer holds no records, but perhaps more scalars than fit into memory.
        if stop - self._at > _LARGE_BYTES + self._source.max_record_bytes:
            return None
        try:
            part = columnar.read(self._data[self._at : stop], self._source)
        except DecodeError:
            return None
        self._at = stop
        return part

    def _strict(self, stop: int) -> DecodedObject:
        part = strict.read(self._data, self._at, stop, self._source, is_cut=self._unpacked.is_cut, max_cost=self._letters_left)
        self._at = part.end
        self._tail = self._tail if part.tail is None else part.tail
        self._letters_left -= part.cost
        return part.decoded

    def _letter(self, problem: DecodeError, offset: int, rest: bytes) -> DecodedObject:
        """What stands for all from `offset` on, and for what follows the container."""
        letter = DeadLetter(self._source.key, offset, problem.cause, problem.detail[:DETAIL_CHARS], self._data[offset:] + rest)
        return replace(_NOTHING, tally=DecodeTally(records=1, dead_records=1), dead_letters=(letter,))


def _joined(parts: Sequence[DecodedObject]) -> DecodedObject:
    return DecodedObject(
        _joined_postings([part.postings for part in parts]),
        _joined_points(parts),
        _summed([part.tally for part in parts]),
        tuple(letter for part in parts for letter in part.dead_letters),
    )


def _joined_postings(parts: Sequence[Postings]) -> Postings:
    return Postings(
        pa.concat_arrays([part.metric_type for part in parts]),
        pa.concat_arrays([part.org for part in parts]),
        pa.concat_arrays([part.entity for part in parts]),
        pa.concat_arrays([part.roles for part in parts]),
        np.concatenate([part.arrival_us for part in parts]),
    )


def _joined_points(parts: Sequence[DecodedObject]) -> Points:
    firsts = accumulate((len(part.postings.entity) for part in parts), initial=0)
    return Points(
        np.concatenate([part.points.posting + np.int32(first) for part, first in zip(parts, firsts, strict=False)]),
        pa.chunked_array([part.points.name for part in parts]).unify_dictionaries().combine_chunks(),
        np.concatenate([part.points.time_s for part in parts]),
        np.concatenate([part.points.value for part in parts]),
    )


def _summed(tallies: Sequence[DecodeTally]) -> DecodeTally:
    reasons = sorted({reason for tally in tallies for reason in tally.dropped})
    return DecodeTally(
        records=sum(tally.records for tally in tallies),
        decoded_records=sum(tally.decoded_records for tally in tallies),
        dead_records=sum(tally.dead_records for tally in tallies),
        dead_points=sum(tally.dead_points for tally in tallies),
        points=_added(tally.points for tally in tallies),
        dropped={reason: _added(tally.dropped.get(reason, {}) for tally in tallies) for reason in reasons},
        inexact=_added(tally.inexact for tally in tallies),
    )


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(total)
