"""Decoded parts of one object as one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.model import HISTOGRAM, DecodedObject, DecodeTally, Ints, Points, Postings
from transforms.decode.collecting import Part

_TEXT: Final = pa.string()
_NO_TEXTS: Final = pa.nulls(0, _TEXT)
NOTHING: Final = DecodedObject(
    Postings(_NO_TEXTS, _NO_TEXTS, _NO_TEXTS, pa.nulls(0, pa.list_(_TEXT)), np.empty(0, np.int64)),
    Points(np.empty(0, np.int32), _NO_TEXTS.dictionary_encode(), np.empty(0, np.int64), np.empty(0, np.float64)),
    DecodeTally(),
    (),
)
"""What an object without a record holds."""


def joined(parts: Sequence[DecodedObject]) -> DecodedObject:
    """One after the other."""
    parts = parts or [NOTHING]
    return DecodedObject(
        _joined_postings([part.postings for part in parts]),
        _joined_points(parts),
        _summed([part.tally for part in parts]),
        tuple(letter for part in parts for letter in part.dead_letters),
    )


def in_record_order(parts: Sequence[Part]) -> Part:
    """Parts of which the records may lie between each other's, in the order of their records."""
    filled = [part for part in parts if part.decoded.tally.records]
    if len(filled) == 1:
        return filled[0]
    whole = joined([part.decoded for part in filled])
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
        _united([part.name for part in points]),
        np.concatenate([part.time_s for part in points]),
        np.concatenate([part.value for part in points]),
        labels=_joined_labels(points),
        kind=_joined_kinds(points),
        start_us=_joined_starts(points),
        time_us=_joined_times(points),
        histogram=_joined_histograms(points),
    )


def _united(columns: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    return pa.chunked_array(columns).unify_dictionaries().combine_chunks()


def _joined_labels(points: Sequence[Points]) -> pa.DictionaryArray | None:
    if all(part.labels is None for part in points):
        return None
    return _united([pa.array(["{}"] * len(part.value), _TEXT).dictionary_encode() if part.labels is None else part.labels for part in points])


def _joined_kinds(points: Sequence[Points]) -> npt.NDArray[np.int8] | None:
    if all(part.kind is None for part in points):
        return None
    return np.concatenate([np.zeros(len(part.value), np.int8) if part.kind is None else part.kind for part in points])


def _joined_starts(points: Sequence[Points]) -> Ints | None:
    if all(part.start_us is None for part in points):
        return None
    return np.concatenate([np.zeros(len(part.value), np.int64) if part.start_us is None else part.start_us for part in points])


def _joined_times(points: Sequence[Points]) -> Ints | None:
    if all(part.time_us is None for part in points):
        return None
    return np.concatenate([part.time_s * 1_000_000 if part.time_us is None else part.time_us for part in points])


def _joined_histograms(points: Sequence[Points]) -> pa.StructArray | None:
    if all(part.histogram is None for part in points):
        return None
    return pa.concat_arrays([pa.nulls(len(part.value), HISTOGRAM) if part.histogram is None else part.histogram for part in points])


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
