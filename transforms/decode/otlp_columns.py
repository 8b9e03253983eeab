"""The columnar path of OTLP metrics in protobuf: very many requests become columns at once.

It says what otlp_strict.py would say of every request that it does not hand over to it: those that are malformed, and those that write something in an unusual
way (a message in parts, a packed list unpacked, attributes with other fields between them, counts of 2^40 and more in a bucket).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import Bools, DeadLetter, DecodedObject, DecodeTally, Ints, Postings
from transforms.decode.causes import BAD_OTLP, DETAIL_CHARS
from transforms.decode.collecting import MAX_BROKEN_POINTS, Message, Part
from transforms.decode.otlp_alike import Likeness
from transforms.decode.otlp_candidates import (
    BROKEN,
    FLAGGED,
    LABELS,
    NAME,
    TEMPORALITY,
    TIME,
    VERDICTS,
    Candidates,
    Measured,
    Verdicts,
    expanded,
    judge,
    kept_points,
    mark,
    measured,
    with_finite_values,
)  # fmt: skip
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.otlp_read import RequestsRead, read_instead
from transforms.decode.otlp_rules import COUNTER, CUMULATIVE, DELTA, GAUGE, HISTOGRAM, Metric
from transforms.decode.otlp_spans import Reader, Spans
from transforms.decode.otlp_strict import FORMS, name_of, read_point
from transforms.decode.otlp_summaries import read_summaries
from transforms.decode.otlp_values import SUMMARY, read_values
from transforms.decode.scalars import EXACT_BELOW, TIME_FROM_S, TIME_TO_S

_NS: Final = 1_000_000_000


def read(messages: Sequence[Message], key: str, labels: LabelReader) -> tuple[Part, Bools]:
    """Decode these records. Those marked in the second result are in doubt and left out."""
    reader = Reader(messages)
    own, likeness = read_instead(reader, messages, labels)
    return _Batch(reader, own, likeness, messages, key, labels).part(), reader.doubtful


class _Batch:
    """What of each point of all requests is known.

    Levels are of the requests that were read, `_data_of` is each point's place in them.
    """

    def __init__(self, reader: Reader, own: RequestsRead, likeness: Likeness, messages: Sequence[Message], key: str, labels: LabelReader) -> None:
        self._reader, self._own, self._likeness, self._messages, self._key, self._labels = reader, own, likeness, messages, key, labels
        self._levels = levels = own.reader.levels()
        self._copied = every = likeness.copied(levels.points.record)
        self._data_of = every.of(levels.points.parent.astype(np.intp, copy=False))
        self._points = Spans(every.moved(levels.points.start), every.moved(levels.points.stop), self._data_of, every.record)
        self._form = every.of(own.points.form)
        self._values = read_values(own.points, reader, likeness)
        self._contexts()

    def part(self) -> Part:
        """All records that are not in doubt. To be called once."""
        names, name, is_named = self._names()
        attributes, distinct = self._attributes()
        self._reader.doubtful |= self._own.reader.doubtful[self._likeness.read]
        context = self._context[self._levels.metrics.parent[self._levels.data.parent[self._levels.points.parent]]]
        codes = self._copied.of(self._labels.codes(context, attributes, distinct))
        summaries = read_summaries(self._reader, self._own.reader, self._points, self._values, self._form == SUMMARY)
        of_quantile = self._copied.row[summaries.owner]
        ranked = self._labels.codes(context[of_quantile], attributes[of_quantile], distinct, summaries.quantile)
        codes[summaries.owner[(ranked < 0) & ~summaries.is_set[summaries.owner]]] = -1
        verdict, kind = self._verdicts(is_named, codes)
        judge(verdict, self._values, self._form, summaries)
        found = measured(self._reader, self._points, self._values, self._form, summaries, verdict)
        single = Candidates(names, name, codes, kind, self._values.value, verdict, np.arange(len(name)))
        candidates = with_finite_values(expanded(single, self._values, summaries, ranked))
        return self._part(candidates, found, verdict)

    def _contexts(self) -> None:
        """Numbers of the contexts of scopes, and entities of resources."""
        levels, data = self._levels, self._own.reader.octets.data
        resources = [data[start:stop] for start, stop in zip(*(ends.tolist() for ends in levels.resource), strict=True)]
        alone = [self._labels.context(resource, b"") for resource in resources]
        scopes = zip(levels.scopes.parent.tolist(), *(ends.tolist() for ends in levels.scope), strict=True)
        numbers = [self._labels.context(resources[parent], data[start:stop]) for parent, start, stop in scopes]
        self._context = np.array(numbers, np.int32)
        self._entities = [self._labels.contexts[one].entity for one in alone]
        self._own.reader.doubt(levels.scopes, np.array([self._labels.contexts[one].entity is None for one in numbers], np.bool_))
        self._own.reader.doubt(levels.resources, np.array([one is None for one in self._entities], np.bool_))

    def _names(self) -> tuple[list[str], npt.NDArray[np.int32], Bools]:
        """Distinct names, each point's place among them, and whether it has one."""
        encoded = self._own.reader.octets.binary(*self._levels.name).dictionary_encode()
        texts = [one.decode("utf-8", "replace") for one in encoded.dictionary.to_pylist()]
        is_good = np.array([bool(one) and _is_utf8(one) for one in encoded.dictionary.to_pylist()], np.bool_)
        codes = encoded.indices.to_numpy()[self._levels.data.parent]
        return texts, codes[self._data_of], is_good[codes][self._data_of]

    def _attributes(self) -> tuple[npt.NDArray[np.int32], list[bytes]]:
        """The attributes of each point that was read as an index into the distinct ones; those that are no messages are a doubt."""
        encoded = self._own.reader.octets.binary(*self._values.attributes).dictionary_encode()
        distinct: list[bytes] = encoded.dictionary.to_pylist()
        codes: npt.NDArray[np.int32] = encoded.indices.to_numpy()
        pairs = [self._labels.attributes(one) for one in distinct]
        is_bad = np.array([getattr(one, "cause", "") == BAD_OTLP for one in pairs], np.bool_)
        if is_bad.any():
            self._own.reader.doubt(self._levels.points, is_bad[codes])
        return codes, distinct

    def _verdicts(self, is_named: Bools, codes: npt.NDArray[np.int32]) -> tuple[Verdicts, npt.NDArray[np.int8]]:
        """What is known of each OTLP point before its value is looked at, and the kind of what it becomes."""
        temporality, number = self._levels.temporality, self._levels.form
        is_delta, is_monotonic = temporality == 1, self._levels.is_monotonic
        of_sum = np.where(is_delta, DELTA, np.where(is_monotonic, COUNTER, GAUGE))
        of_histogram = np.where(is_delta, HISTOGRAM, CUMULATIVE)
        kind = np.select([number == 5, number == 7, number == 11], [GAUGE, of_sum, HISTOGRAM], of_histogram).astype(np.int8)
        is_wrong = (number != 5) & (number != 11) & (temporality != 1) & (temporality != 2)
        verdict = np.zeros(len(self._data_of), np.uint8)
        mark(verdict, ~is_named, NAME)
        mark(verdict, codes < 0, LABELS)
        mark(verdict, (self._values.time_ns < TIME_FROM_S * _NS) | (self._values.time_ns >= TIME_TO_S * _NS), TIME)
        mark(verdict, is_wrong[self._data_of], TEMPORALITY)
        mark(verdict, self._values.is_flagged, FLAGGED)
        return verdict, kind[self._data_of]

    def _part(self, candidates: Candidates, found: Measured, verdict: Verdicts) -> Part:
        """What is left when the doubtful records are out."""
        points, resources = self._points, self._likeness.copied(self._levels.resources.record)
        broken = np.flatnonzero(np.isin(verdict, BROKEN))
        floods = np.bincount(points.record[broken], minlength=len(self._messages)) > MAX_BROKEN_POINTS
        self._reader.doubtful |= floods
        is_doubtful = self._reader.doubtful
        broken = broken[~is_doubtful[points.record[broken]]]
        sure = np.flatnonzero(~is_doubtful[resources.record])
        number = np.zeros(len(is_doubtful[resources.record]), np.int64)
        number[sure] = np.arange(len(sure))
        own = self._levels.scopes.parent[self._levels.metrics.parent[self._levels.data.parent[self._levels.points.parent]]]
        posting = number[self._copied.above(own, resources)]
        candidates = candidates.only(~is_doubtful[points.record[candidates.source]])
        letters = tuple(self._letter(one, int(verdict[one])) for one in broken.tolist())
        kept = kept_points(candidates, self._labels, self._values, found, posting)
        record = resources.record[sure].astype(np.int64)
        decoded = DecodedObject(self._postings(record, resources.row[sure]), kept, self._tally(candidates, len(letters)), letters)
        return Part(decoded, record, points.record[broken].astype(np.int64))

    def _letter(self, point: int, verdict: int) -> DeadLetter:
        start, stop = int(self._points.start[point]), int(self._points.stop[point])
        message = self._messages[int(self._points.record[point])]
        raw = self._reader.octets.data[start:stop]
        return DeadLetter(self._key, message.offset, VERDICTS[verdict], self._detail(point, raw)[:DETAIL_CHARS], raw)

    def _detail(self, point: int, raw: bytes) -> str:
        """What the strict reader says of a broken point."""
        levels, data = self._levels, int(self._data_of[point])
        metric = int(levels.data.parent[data])
        scope = int(levels.metrics.parent[metric])
        name = name_of(self._own.reader.octets.data[int(levels.name[0][metric]) : int(levels.name[1][metric])])
        what = Metric(name=name, form=FORMS[int(levels.form[data])], temporality=int(levels.temporality[data]), is_monotonic=bool(levels.is_monotonic[data]))
        try:
            read_point(raw, what, self._labels.contexts[int(self._context[scope])].labels, self._entities[int(levels.scopes.parent[scope])] or "")
        except DecodeError as error:
            return error.detail
        return ""

    def _postings(self, record: Ints, resource: Ints) -> Postings:
        """Of these records and resources."""
        messages = [self._messages[one] for one in record.tolist()]
        types, orgs, entities = (["labeled"] * len(record), [one.org for one in messages], [self._entities[one] for one in resource.tolist()])
        arrivals = np.array([one.arrival_us for one in messages], np.int64)
        types, orgs, entities = (pa.array(column, pa.string()) for column in (types, orgs, entities))
        return Postings(types, orgs, entities, pa.nulls(len(record), pa.list_(pa.string())), arrivals)

    def _tally(self, candidates: Candidates, dead_points: int) -> DecodeTally:
        verdict = candidates.verdict[~np.isin(candidates.verdict, BROKEN)]
        counts = np.bincount(verdict, minlength=len(VERDICTS)).tolist()
        inexact = int(np.count_nonzero(np.abs(candidates.value[candidates.verdict == 0]) >= EXACT_BELOW))
        records = int(np.count_nonzero(~self._reader.doubtful))
        return DecodeTally(
            records=records,
            decoded_records=records,
            dead_points=dead_points,
            points={"labeled": len(verdict)} if len(verdict) else {},
            dropped={VERDICTS[one]: {"labeled": count} for one, count in enumerate(counts) if count and one},
            inexact={"labeled": inexact} if inexact else {},
        )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
