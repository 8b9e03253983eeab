"""Decoded parts of an object put together."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.arrivals import Arrivals, united
from transforms.core.errors import DecodeError
from transforms.core.model import HISTOGRAM, DeadLetter, DecodedObject, DecodeTally, Ints, Points, Postings
from transforms.decode.causes import DETAIL_CHARS
from transforms.decode.collecting import Part

_TEXT: Final = pa.string()
_NO_TEXTS: Final = pa.nulls(0, _TEXT)
NOTHING: Final = DecodedObject(
    Postings(_NO_TEXTS, _NO_TEXTS, _NO_TEXTS, pa.nulls(0, pa.list_(_TEXT)), np.empty(0, np.int64)),
    Points(np.empty(0, np.int32), _NO_TEXTS.dictionary_encode(), np.empty(0, np.int64), np.empty(0, np.float64)),
    DecodeTally(),
    (),
)
"""An object without anything in it."""


def dead_record(key: str, offset: int, problem: DecodeError, raw: bytes) -> DecodedObject:
    """A record of the object `key` that could not be processed."""
    letter = DeadLetter(key, offset, problem.cause, problem.detail[:DETAIL_CHARS], raw)
    return replace(NOTHING, tally=DecodeTally(records=1, dead_records=1), dead_letters=(letter,))


def as_dropped(part: DecodedObject, reason: str) -> DecodedObject:
    """The part without its postings, points and dead letters: all of its points are dropped, those that are not for another reason for this one."""
    tally = part.tally
    kept = Counter(tally.points)
    for counts in tally.dropped.values():
        kept.subtract(counts)
    dropped = tally.dropped | ({reason: dict(+kept)} if +kept else {})
    counted = DecodeTally(records=tally.records, decoded_records=tally.records, points=tally.points, dropped=dropped)
    return replace(NOTHING, tally=counted, arrivals=Arrivals(part.arrivals.records))


def joined(parts: Sequence[DecodedObject]) -> DecodedObject:
    """The parts, at least one, one after the other."""
    filled = [part for part in parts if len(part.postings.entity)] or parts[:1]
    return DecodedObject(
        _joined_postings([part.postings for part in filled]) if len(filled) > 1 else filled[0].postings,
        _joined_points(filled) if len(filled) > 1 else filled[0].points,
        _summed([part.tally for part in parts]),
        tuple(letter for part in parts for letter in part.dead_letters),
        united(part.arrivals for part in parts),
    )


def in_record_order(parts: Sequence[Part]) -> Part:
    """Parts of which the records may lie between each other's, in the order of their records."""
    filled = [part for part in parts if part.decoded.tally.records]
    if len(filled) == 1:
        return filled[0]
    whole = joined([NOTHING, *(part.decoded for part in filled)])
    posting_record, letter_record = _records([part.posting_record for part in filled]), _records([part.letter_record for part in filled])
    letters = np.argsort(letter_record, kind="stable")
    whole = replace(whole, dead_letters=tuple(whole.dead_letters[one] for one in letters.tolist()))
    if not (posting_record[1:] < posting_record[:-1]).any():
        return Part(whole, posting_record, letter_record[letters])
    order = np.argsort(posting_record, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    points = taken(whole.points, np.argsort(posting_record[whole.points.posting], kind="stable"))
    whole = replace(whole, postings=_taken_postings(whole.postings, order), points=replace(points, posting=place[points.posting]))
    return Part(whole, posting_record[order], letter_record[letters])


def _records(columns: Sequence[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *columns])


def taken(points: Points, rows: npt.NDArray[np.intp]) -> Points:
    """These points."""
    at = pa.array(rows)
    return Points(
        points.posting[rows],
        points.name.take(at),
        points.time_s[rows],
        points.value[rows],
        labels=None if points.labels is None else points.labels.take(at),
        kind=None if points.kind is None else points.kind[rows],
        start_us=None if points.start_us is None else points.start_us[rows],
        time_us=None if points.time_us is None else points.time_us[rows],
        histogram=None if points.histogram is None else points.histogram.take(at),
    )


def _taken_postings(postings: Postings, rows: npt.NDArray[np.intp]) -> Postings:
    at = pa.array(rows)
    types, orgs, entities, roles = (column.take(at) for column in (postings.metric_type, postings.org, postings.entity, postings.roles))
    return Postings(types, orgs, entities, roles, postings.arrival_us[rows])


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
    points = [part.points for part in parts]
    return Points(
        np.concatenate([part.points.posting + np.int32(first) for part, first in zip(parts, firsts, strict=False)]),
        _dictionaries([one.name for one in points]),
        np.concatenate([one.time_s for one in points]),
        np.concatenate([one.value for one in points]),
        _optional(points, "labels", lambda one: pa.repeat(pa.scalar("{}", _TEXT), len(one.value)).dictionary_encode(), _dictionaries),
        _optional(points, "kind", lambda one: np.zeros(len(one.value), np.int8), np.concatenate),
        _optional(points, "start_us", lambda one: np.zeros(len(one.value), np.int64), np.concatenate),
        _optional(points, "time_us", lambda one: one.time_s * 1_000_000, np.concatenate),
        _optional(points, "histogram", lambda one: pa.nulls(len(one.value), HISTOGRAM), pa.concat_arrays),
    )


def _optional(points: Sequence[Points], name: str, absent: Callable[[Points], Any], join: Callable[[list[Any]], Any]) -> Any:  # noqa: ANN401  # any column
    """The column of all parts, None if none has it; `absent` makes what it means not to have it."""
    columns = [(one, getattr(one, name)) for one in points]
    if all(column is None for _, column in columns):
        return None
    return join([absent(one) if column is None else column for one, column in columns])


def _dictionaries(columns: list[pa.DictionaryArray]) -> pa.DictionaryArray:
    return pa.chunked_array(columns).unify_dictionaries().combine_chunks()


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
        error_output=sum(tally.error_output for tally in tallies),
    )


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(total)
