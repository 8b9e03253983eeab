"""OTLP metrics in JSON as columns: msgspec's parser makes typed values of a whole text, array operations make points of them.

Attributes, bounds and counts stay text in the first pass: equal texts are read once, by the strict reader's functions, and counts all together. A request in
which anything is broken or unusual (summaries, large counts) is read by otlp_json.py; what the parser refuses is a doubt about the whole text.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.errors import DecodeError
from transforms.core.model import Bools, DecodedObject, DecodeTally, Floats, Ints, Points, Postings
from transforms.decode import otlp_json
from transforms.decode.attributes import Pairs
from transforms.decode.collecting import Collected, Envelope, Part
from transforms.decode.flat import exact
from transforms.decode.framing import are_too_deep
from transforms.decode.joining import in_record_order
from transforms.decode.json_numbers import count_lists, distinct_texts, doubles, integers
from transforms.decode.labeled import Places
from transforms.decode.otlp_histograms import LARGE, Buckets, Run, explicit_buckets, exponential_buckets, listed, structs
from transforms.decode.otlp_labels import Context, LabelReader
from transforms.decode.otlp_rules import COUNTER, CUMULATIVE, DELTA, GAUGE, HISTOGRAM, MAX_COUNT, NO_RECORDED_VALUE
from transforms.decode.proof import DOUBT
from transforms.decode.scalars import EXACT_BELOW, TIME_FROM_S, TIME_TO_S
from transforms.decode.strict import Source

_Integer = int | str | None
_Double = float | str | None

_NONE: Final = msgspec.Raw()
_UNSET: Final = msgspec.UNSET
_NS: Final = 1_000_000_000
_HEAD_BYTES: Final = 4096
_FORMS: Final = attrgetter("gauge", "sum", "histogram", "exponential_histogram")
_GAUGE, _SUM, _EXPLICIT, _EXPONENTIAL = range(4)
_TEMPORALITIES: Final = {"AGGREGATION_TEMPORALITY_DELTA": 1, "AGGREGATION_TEMPORALITY_CUMULATIVE": 2, 1: 1, 2: 2}
_DROPPED: Final = ("", NO_RECORDED_VALUE, "null", "nan", "infinite")
_KEPT, _FLAGGED, _NULL, _NAN, _INFINITE = range(5)


class _Message(msgspec.Struct, gc=False, rename="camel"):
    """A message of the mapping to JSON."""


class _Buckets(_Message):
    offset: int | None = None
    bucket_counts: msgspec.Raw = _NONE


class _Point(_Message):
    attributes: msgspec.Raw = _NONE
    start_time_unix_nano: _Integer = None
    time_unix_nano: _Integer = None
    flags: _Integer = None
    as_int: _Integer = None
    as_double: _Double = None
    count: _Integer = None
    sum: _Double = None
    min: _Double = None
    max: _Double = None
    explicit_bounds: msgspec.Raw = _NONE
    bucket_counts: msgspec.Raw = _NONE
    scale: int | None = None
    zero_count: _Integer = None
    zero_threshold: _Double = None
    positive: _Buckets | None = None
    negative: _Buckets | None = None
    quantile_values: Any = None


class _Data(_Message):
    data_points: list[_Point] | None = None
    aggregation_temporality: _Integer = None
    is_monotonic: bool | None = None


class _Metric(_Message):
    name: str = ""
    gauge: _Data | None = None
    sum: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None
    summary: Any = None


class _ScopeMetrics(_Message):
    scope: msgspec.Raw = _NONE
    metrics: list[_Metric] | None = None


class _ResourceMetrics(_Message):
    resource: msgspec.Raw = _NONE
    scope_metrics: list[_ScopeMetrics] | None = None


class _Request(_Message):
    """The fields behind the first are those of envelopes and postings."""

    resource_metrics: list[_ResourceMetrics] | None
    records: Any = _UNSET
    capital_records: Any = msgspec.field(default=_UNSET, name="Records")
    kinesis: Any = _UNSET
    kinesis_record_metadata: Any = _UNSET
    data: Any = _UNSET
    raw_data: Any = _UNSET
    type: Any = _UNSET


_REQUESTS: Final = msgspec.json.Decoder(_Request)
_OTHERS: Final = attrgetter("records", "capital_records", "kinesis", "kinesis_record_metadata", "data", "raw_data", "type")


def seems_otlp(text: bytes, at: int = 0) -> bool:
    """A guess by the beginning of the text, to save reading it as anything else first."""
    return b'"resourceMetrics"' in text[at : at + _HEAD_BYTES]


def read(text: bytes, arrivals: Ints, source: Source, places: Places) -> DecodedObject:
    """Decode a text of requests, one for each arrival. Raises DecodeError unless sure that the strict reader would say the same."""
    try:
        requests = _REQUESTS.decode_lines(text)
        if len(requests) != len(arrivals) or set(chain.from_iterable(map(_OTHERS, requests))) - {_UNSET} or are_too_deep(text):
            raise DecodeError(DOUBT, "not only requests")
        batch = _Batch(requests, arrivals, source)
        part = batch.part()
    except (msgspec.DecodeError, RecursionError, pa.ArrowInvalid, TypeError, ValueError, OverflowError) as error:
        raise DecodeError(DOUBT, str(error)[:80]) from error
    if not batch.doubtful.any():
        return part.decoded
    return in_record_order([part, _strictly(np.flatnonzero(batch.doubtful).tolist(), arrivals, source, places())]).decoded


def _strictly(records: Sequence[int], arrivals: Ints, source: Source, places: Sequence[tuple[int, bytes]]) -> Part:
    collected = Collected()
    for record in records:
        offset, raw = places[record]
        try:
            found = otlp_json.read_record(Envelope(raw, None, source.org, int(arrivals[record])), exact(raw))
        except DecodeError as error:
            collected.bury_record(record, source.key, offset, error, raw)
        else:
            collected.add_record(record, source.key, offset, found)
    return collected.part()


def _level(lists: Iterable[list[Any] | None]) -> tuple[list[Any], npt.NDArray[np.intp]]:
    """The elements of all lists, and the place of the list that each is in."""
    filled = [one or () for one in lists]
    return list(chain.from_iterable(filled)), np.repeat(np.arange(len(filled)), np.fromiter(map(len, filled), np.int64, len(filled)))


def _context(resource: bytes, scope: bytes) -> Context:
    entity, labels = otlp_json.context(exact(resource or b"null"), exact(scope or b"null"))
    return Context(entity, labels)


def _attributes(text: bytes) -> Pairs:
    return otlp_json.pairs(exact(text or b"null"))


class _Batch:
    """Requests in a text. `doubtful` are those that are left out."""

    def __init__(self, requests: Sequence[_Request], arrivals: Ints, source: Source) -> None:
        self._arrivals, self._source = arrivals, source
        self._resources, self._record = _level([one.resource_metrics for one in requests])
        self._scopes, self._resource_of = _level([one.scope_metrics for one in self._resources])
        self._metrics, self._scope_of = _level([one.metrics for one in self._scopes])
        forms = list(chain.from_iterable(map(_FORMS, self._metrics)))
        filled = [place for place, one in enumerate(forms) if one is not None]
        self._data = [forms[place] for place in filled]
        self._metric_of, self._form_of = np.divmod(np.array(filled, np.intp), 4)
        self._points, data_of = _level([one.data_points for one in self._data])
        self._data_of = data_of
        self._form = self._form_of[data_of]
        metric_record = self._record[self._resource_of[self._scope_of]]
        self._point_record = metric_record[self._metric_of[data_of]]
        self.doubtful = np.zeros(len(requests), np.bool_)
        self.doubtful[metric_record[[one.summary is not None for one in self._metrics]]] = True
        self._labels = LabelReader(_context, _attributes)

    def _doubt(self, points: Bools) -> None:
        self.doubtful[self._point_record[points]] = True

    def _column(self, name: str) -> list[Any]:
        return list(map(attrgetter(name), self._points))

    def part(self) -> Part:
        """All requests that are not doubtful. To be called once."""
        context, entities = self._contexts()
        names, name = self._names()
        labels = self._label_codes(context)
        kind = self._kinds()
        time_ns = integers(self._column("time_unix_nano"), pa.uint64())
        self._doubt((time_ns < TIME_FROM_S * _NS) | (time_ns >= TIME_TO_S * _NS))
        start_ns = integers(self._column("start_time_unix_nano"), pa.uint64())
        verdict, value = self._values()
        rows, histograms = self._histograms(verdict)
        verdict[integers(self._column("flags"), pa.uint64()) & 1 != 0] = _FLAGGED
        self._doubt(np.array([one is not None for one in self._column("quantile_values")], np.bool_))
        is_sure = ~self.doubtful[self._point_record]
        kept = np.flatnonzero(is_sure & (verdict == _KEPT))
        time_us = (time_ns[kept] // 1000).astype(np.int64)
        postings, posting = self._postings(entities)
        points = Points(
            posting[self._resource_of[self._scope_of[self._metric_of[self._data_of[kept]]]]].astype(np.int32),
            pa.DictionaryArray.from_arrays(pa.array(name[kept]), pa.array(names, pa.string())),
            time_us // 1_000_000,
            value[kept],
            labels=self._labels.column(labels[kept]),
            kind=kind[kept],
            start_us=(start_ns[kept] // 1000).astype(np.int64),
            time_us=time_us,
            histogram=_taken(histograms, rows, kept, len(kind)),
        )
        decoded = DecodedObject(postings, points, self._tally(verdict[is_sure], points.value), ())
        return Part(decoded, self._record[~self.doubtful[self._record]].astype(np.int64), np.empty(0, np.int64))

    def _contexts(self) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Each scope's context, and each resource's entity."""
        resources = [bytes(one.resource) for one in self._resources]
        alone = [self._labels.contexts[self._labels.context(one, b"")] for one in resources]
        pairs = zip(self._resource_of.tolist(), self._scopes, strict=True)
        context = [self._labels.context(resources[place], bytes(scope.scope)) for place, scope in pairs]
        is_bad = [isinstance(self._labels.contexts[one].labels, DecodeError) for one in context]
        self.doubtful[self._record[self._resource_of[np.array(is_bad, np.bool_)]]] = True
        self.doubtful[self._record[[isinstance(one.labels, DecodeError) for one in alone]]] = True
        return np.array(context, np.int32), [one.entity or "" for one in alone]

    def _names(self) -> tuple[list[str], npt.NDArray[np.int32]]:
        encoded = pa.array([one.name for one in self._metrics], pa.string()).dictionary_encode()
        names: list[str] = encoded.dictionary.to_pylist()
        codes: npt.NDArray[np.int32] = encoded.indices.to_numpy()[self._metric_of[self._data_of]]
        self._doubt(np.array([not one for one in names], np.bool_)[codes])
        return names, codes

    def _label_codes(self, context: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        attributes, distinct = distinct_texts(self._column("attributes"))
        codes = self._labels.codes(context[self._scope_of[self._metric_of[self._data_of]]], attributes, distinct)
        self._doubt(codes < 0)
        return codes

    def _kinds(self) -> npt.NDArray[np.int8]:
        temporality = np.array([_TEMPORALITIES.get(one.aggregation_temporality, 0) for one in self._data], np.int8)
        is_delta, is_monotonic = temporality == 1, np.array([one.is_monotonic is True for one in self._data], np.bool_)
        of_sum = np.where(is_delta, DELTA, np.where(is_monotonic, COUNTER, GAUGE))
        of_data = np.select([self._form_of == _GAUGE, self._form_of == _SUM], [GAUGE, of_sum], np.where(is_delta, HISTOGRAM, CUMULATIVE))
        self._doubt(((self._form_of != _GAUGE) & (temporality == 0))[self._data_of])
        return of_data[self._data_of].astype(np.int8)

    def _values(self) -> tuple[npt.NDArray[np.uint8], Floats]:
        """What becomes of each number, and its value; 0 for a histogram."""
        texts = self._column("as_int")
        has_integer = np.array([one is not None for one in texts], np.bool_)
        double, has_double = doubles(self._column("as_double"))
        value = np.where(has_integer, integers(texts, pa.int64()).astype(np.float64), double)
        verdict = np.zeros(len(value), np.uint8)
        is_number = self._form <= _SUM
        verdict[is_number & np.isnan(value)] = _NAN
        verdict[is_number & np.isinf(value)] = _INFINITE
        verdict[is_number & ~has_integer & ~has_double] = _NULL
        return verdict, np.where(is_number, value, 0.0)

    def _histograms(self, verdict: npt.NDArray[np.uint8]) -> tuple[Ints, pa.StructArray]:
        """Histograms and the points that have them; `verdict` learns of those that are dropped."""
        count = integers(self._column("count"), pa.uint64())
        self._doubt(count > MAX_COUNT)
        total = count.astype(np.int64)
        explicit, exponential = np.flatnonzero(self._form == _EXPLICIT), np.flatnonzero(self._form == _EXPONENTIAL)
        groups = [self._explicit(explicit, total), self._exponential(exponential, total)]
        rows = np.concatenate([explicit, exponential])
        is_broken = np.concatenate([group.is_broken for group in groups])
        self.doubtful[self._point_record[rows[is_broken]]] = True
        known = [doubles(self._column(name)) for name in ("sum", "min", "max")]
        of_rows = [(value[rows], has[rows]) for value, has in known]
        for test, what in ((np.isinf, _INFINITE), (np.isnan, _NAN)):
            verdict[rows[np.logical_or.reduce([test(value) & has for value, has in of_rows])]] = what
        low, middle, high = (pa.array(value, mask=~has) for value, has in of_rows)
        return rows, structs(groups, total[rows], (low, middle, high))

    def _foreign(self, name: str, nothing: object, rows: Ints) -> list[Any]:
        """A field of these points; others that have it are a doubt."""
        column = self._column(name)
        has = np.array([one is not nothing for one in column], np.bool_)
        has[rows] = False
        self._doubt(has)
        return [column[row] for row in rows.tolist()]

    def _explicit(self, rows: Ints, total: Ints) -> Buckets:
        counts = count_lists(self._foreign("bucket_counts", _NONE, rows))
        code, distinct = distinct_texts(self._foreign("explicit_bounds", _NONE, rows))
        lists = [otlp_json.bounds(exact(text or b"null")) for text in distinct]
        buckets, are_large = explicit_buckets(listed(lists, code), counts, total[rows])
        self.doubtful[self._point_record[rows[are_large]]] = True
        return buckets

    def _exponential(self, rows: Ints, total: Ints) -> Buckets:
        above, below = (self._run(self._foreign(name, None, rows), rows) for name in ("positive", "negative"))
        zero_count = integers(self._column("zero_count"), pa.uint64())
        self._doubt(zero_count >= LARGE)
        threshold, has_threshold = doubles(self._column("zero_threshold"))
        zeros = zero_count[rows].astype(np.int64), np.where(has_threshold, threshold, 0.0)[rows]
        return exponential_buckets(_small(self._column("scale"))[rows], above, below, zeros, total[rows])

    def _run(self, buckets: list[_Buckets | None], rows: Ints) -> Run:
        first = _small([None if one is None else one.offset for one in buckets])
        counts, sizes = count_lists([_NONE if one is None else one.bucket_counts for one in buckets])
        owner = np.repeat(rows, sizes)
        self.doubtful[self._point_record[owner[counts >= LARGE]]] = True
        return Run(first, sizes, counts)

    def _postings(self, entities: Sequence[str]) -> tuple[Postings, Ints]:
        """A posting for each resource of the requests that are not doubtful, and the number of each."""
        sure = np.flatnonzero(~self.doubtful[self._record])
        number = np.zeros(len(self._record), np.int64)
        number[sure] = np.arange(len(sure))
        types, orgs = (pa.repeat(pa.scalar(text, pa.string()), len(sure)) for text in ("labeled", self._source.org))
        names = pa.array([entities[one] for one in sure.tolist()], pa.string())
        return Postings(types, orgs, names, pa.nulls(len(sure), pa.list_(pa.string())), self._arrivals[self._record[sure]]), number

    def _tally(self, verdict: npt.NDArray[np.uint8], values: Floats) -> DecodeTally:
        counts = np.bincount(verdict, minlength=len(_DROPPED)).tolist()
        inexact = int(np.count_nonzero(np.abs(values) >= EXACT_BELOW))
        records = int(np.count_nonzero(~self.doubtful))
        return DecodeTally(
            records=records,
            decoded_records=records,
            points={"labeled": len(verdict)} if len(verdict) else {},
            dropped={_DROPPED[one]: {"labeled": count} for one, count in enumerate(counts) if count and one},
            inexact={"labeled": inexact} if inexact else {},
        )


def _small(values: list[int | None]) -> Ints:
    """Integers of 32 bits, 0 for None."""
    numbers = np.array([one or 0 for one in values], np.int64)
    if ((numbers < -(1 << 31)) | (numbers >= 1 << 31)).any():
        raise ValueError("an offset or scale beyond 32 bits")
    return numbers


def _taken(histograms: pa.StructArray, rows: Ints, kept: Ints, points: int) -> pa.StructArray | None:
    """The histograms, of the points in `rows`, of the kept points, null where there is none; None if all are."""
    place = np.full(points, -1, np.int64)
    place[rows] = np.arange(len(rows))
    at = place[kept]
    if not (at >= 0).any():
        return None
    if len(at) == len(histograms) and (at == np.arange(len(at))).all():
        return histograms
    return histograms.take(pa.array(at, mask=at < 0))
