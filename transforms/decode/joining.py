"""Decoded parts of an object put together."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final

import numpy as np
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import HISTOGRAM, DeadLetter, DecodedObject, DecodeTally, Points, Postings
from transforms.decode.causes import DETAIL_CHARS

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


def joined(parts: Sequence[DecodedObject]) -> DecodedObject:
    """The parts, at least one, one after the other."""
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
