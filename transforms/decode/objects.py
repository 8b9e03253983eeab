"""One archive object: container, records, postings, points. What the rest of the program calls."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import DeadLetter, DecodedObject, DecodeTally, Points, Postings
from transforms.decode import columnar, strict
from transforms.decode.causes import DETAIL_CHARS
from transforms.decode.containers import Unpacked, UnpackLimits, unpack
from transforms.decode.framing import border
from transforms.decode.strict import Source

_LARGE_BYTES: Final = 1 << 22
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
    """What the configuration says about decoding: the org of postings that name none, and bounds of an object's inflated size."""

    org: str = ""
    max_object_bytes: int = 1 << 30
    max_expansion: int = 1000


def decode_object(body: bytes, *, key: str, arrival_us: int, rules: DecodeRules) -> DecodedObject:
    """Decode an archive object as it was stored under `key`. Never raises for what the bytes are: what can't be read is a dead letter.

    `arrival_us` is the arrival of postings that don't tell theirs. Points are in the order of their position in the object.
    """
    unpacked = unpack(body, UnpackLimits(max_bytes=rules.max_object_bytes, max_expansion=rules.max_expansion))
    source = Source(key=key, arrival_us=arrival_us, org=rules.org)
    return _joined([_NOTHING, *_parts(unpacked, source)])


def _parts(unpacked: Unpacked, source: Source) -> Iterator[DecodedObject]:
    """Consecutive stretches of the object; last, what is wrong with the container."""
    data, at, small_until, tail = unpacked.data, 0, 0, len(unpacked.data)
    while at < len(data):
        is_small = at < small_until
        end = border(data, at + (_SMALL_BYTES if is_small else _LARGE_BYTES))
        part = _columnar(data[at:end], source)
        if part is None and not is_small and end - at > _SMALL_BYTES:
            small_until = end
            continue
        if part is None:
            read = strict.read(data, at, end, source, is_cut=unpacked.is_cut)
            part, end, tail = read.decoded, read.end, tail if read.tail is None else read.tail
        yield part
        at = end
    if unpacked.problem:
        yield _container_letter(unpacked.problem, tail, data[tail:] + unpacked.rest, source)


def _columnar(piece: bytes, source: Source) -> DecodedObject | None:
    try:
        return columnar.read(piece, source)
    except DecodeError:
        return None


def _container_letter(problem: DecodeError, offset: int, raw: bytes, source: Source) -> DecodedObject:
    letter = DeadLetter(source.key, offset, problem.cause, problem.detail[:DETAIL_CHARS], raw)
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
