"""From very many OTLP points to the points that they are, what becomes of each, and the columns of those that are kept."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.core.model import Bools, Floats, Ints, Points
from transforms.decode import otlp_histograms
from transforms.decode.causes import BAD_LABELS, BAD_NAME, BAD_TEMPORALITY, BAD_TIME, BAD_VALUE
from transforms.decode.otlp_labels import LabelReader
from transforms.decode.otlp_rules import COUNTER, GAUGE, MAX_COUNT, NO_RECORDED_VALUE
from transforms.decode.otlp_spans import Reader, Rows, Spans
from transforms.decode.otlp_summaries import Summaries
from transforms.decode.otlp_values import EXPONENTIAL, HISTOGRAM, NUMBER, Values

VERDICTS: Final = ("", BAD_NAME, BAD_LABELS, BAD_TIME, BAD_TEMPORALITY, NO_RECORDED_VALUE, BAD_VALUE, "null", "nan", "infinite")
"""What becomes of a point; of several the first. Empty: it is kept."""

NAME, LABELS, TIME, TEMPORALITY, FLAGGED, VALUE, NULL, NAN, INFINITE = range(1, 10)
BROKEN: Final = (NAME, LABELS, TIME, TEMPORALITY, VALUE)

Verdicts = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that may become points; `source` is the OTLP point. `name` is an index into `names`, `labels` a code of the LabelReader, `verdict` of VERDICTS."""

    names: list[str]
    name: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    value: Floats
    verdict: Verdicts
    source: Rows

    def only(self, where: Bools) -> "Candidates":
        """Those rows."""
        if where.all():
            return self
        return replace(
            self,
            name=self.name[where],
            labels=self.labels[where],
            kind=self.kind[where],
            value=self.value[where],
            verdict=self.verdict[where],
            source=self.source[where],
        )


def mark(verdict: Verdicts, where: Bools, what: int) -> None:
    """Set a verdict where none stands."""
    verdict[where & (verdict == 0)] = what


def judge(verdict: Verdicts, values: Values, form: npt.NDArray[np.int8], summaries: Summaries) -> None:
    """Mark OTLP points for what is wrong with counts and quantiles, and with values of numbers."""
    is_number = form == NUMBER
    bad_quantile = summaries.owner[~((summaries.quantile >= 0) & (summaries.quantile <= 1))]
    is_bad = ~is_number & (values.count > MAX_COUNT)
    is_bad[bad_quantile] = True
    mark(verdict, is_bad, VALUE)
    mark(verdict, is_number & ~values.has_value, NULL)


def expanded(candidates: Candidates, values: Values, summaries: Summaries, ranked: npt.NDArray[np.int32]) -> Candidates:
    """Put count, sum and quantiles in the place of summaries; `ranked` are the labels of the quantiles."""
    if not summaries.is_plain.any():
        return candidates
    sizes = np.where(summaries.is_plain, 2 + summaries.sizes, 1)
    source = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(source)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_plain = summaries.is_plain[source]
    is_count, is_sum, is_quantile = is_plain & (place == 0), is_plain & (place == 1), is_plain & (place >= 2)
    which = (summaries.first[source] + place - 2)[is_quantile]
    names, name = len(candidates.names), candidates.name[source]
    labels, kind, value = candidates.labels[source], candidates.kind[source], candidates.value[source]
    name[is_count] += names
    name[is_sum] += 2 * names
    kind[is_count | is_sum], kind[is_quantile] = COUNTER, GAUGE
    labels[is_quantile] = ranked[which]
    value[is_count] = values.count[source[is_count]].astype(np.float64)
    value[is_sum] = values.sum[source[is_sum]]
    value[is_quantile] = summaries.value[which]
    texts = [text + suffix for suffix in ("", ".count", ".sum") for text in candidates.names]
    return Candidates(texts, name, labels, kind, value, candidates.verdict[source], source)


def with_finite_values(candidates: Candidates) -> Candidates:
    """Mark values that are NaN or infinite."""
    mark(candidates.verdict, np.isnan(candidates.value), NAN)
    mark(candidates.verdict, np.isinf(candidates.value), INFINITE)
    return candidates


@dataclass(frozen=True, slots=True)
class Measured:
    """Histograms of some OTLP points: `rows[i]` has the value `structs[i]`."""

    rows: Rows
    structs: pa.StructArray

    def column(self, source: Rows, kind: npt.NDArray[np.int8], points: int) -> pa.StructArray | None:
        """The values of points from these sources, null where the kind is none of a histogram; None if there is none at all."""
        is_one = kind >= 3
        if not is_one.any():
            return None
        place = np.full(points, -1, np.int64)
        place[self.rows] = np.arange(len(self.rows))
        at = np.where(is_one, place[source], -1)
        if len(at) == len(self.structs) and (at == np.arange(len(at))).all():
            return self.structs
        return self.structs.take(pa.array(at, mask=at < 0))


def measured(reader: Reader, points: Spans, values: Values, form: npt.NDArray[np.int8], summaries: Summaries, verdict: Verdicts) -> Measured:
    """Build all histograms, and mark the OTLP points of which they are broken, NaN or infinite."""
    explicit, exponential, sets = np.flatnonzero(form == HISTOGRAM), np.flatnonzero(form == EXPONENTIAL), np.flatnonzero(summaries.is_set)
    count = values.count.astype(np.int64)
    groups = [otlp_histograms.bare(count[sets])]
    if len(exponential):
        groups.insert(0, otlp_histograms.exponential(reader, points, values, exponential))
    if len(explicit):
        groups.insert(0, otlp_histograms.explicit(reader, points, values, explicit))
    rows = np.concatenate([explicit, exponential, sets])
    is_broken = np.zeros(len(form), np.bool_)
    is_broken[rows] = np.concatenate([group.is_broken for group in groups])
    mark(verdict, is_broken, VALUE)
    known = _measures(values, summaries)
    of_rows = [(value[rows], has[rows]) for value, has in known]
    for test, what in ((np.isnan, NAN), (np.isinf, INFINITE)):
        is_one = np.zeros(len(form), np.bool_)
        is_one[rows] = np.logical_or.reduce([test(value) & has for value, has in of_rows])
        mark(verdict, is_one, what)
    low, middle, high = (pa.array(value, mask=~has) for value, has in of_rows)
    return Measured(rows, otlp_histograms.structs(groups, count[rows], (low, middle, high)))


def _measures(values: Values, summaries: Summaries) -> list[tuple[Floats, Bools]]:
    """Sum, minimum and maximum, and where they are known."""
    is_set = summaries.is_set
    return [
        (values.sum, values.has_sum | is_set),
        (np.where(is_set, summaries.low, values.min), np.where(is_set, summaries.has_low, values.has_min)),
        (np.where(is_set, summaries.high, values.max), np.where(is_set, summaries.has_high, values.has_max)),
    ]


def kept_points(candidates: Candidates, labels: LabelReader, values: Values, found: Measured, posting: Ints) -> Points:
    """The columns of the candidates without a verdict; `posting` is each OTLP point's."""
    kept = np.flatnonzero(candidates.verdict == 0)
    source, kind = candidates.source[kept], candidates.kind[kept]
    time_us = (values.time_ns[source] // np.uint64(1000)).astype(np.int64)
    names = pa.DictionaryArray.from_arrays(pa.array(candidates.name[kept]), pa.array(candidates.names, pa.string()))
    return Points(
        posting[source].astype(np.int32),
        names,
        time_us // 1_000_000,
        candidates.value[kept],
        labels=labels.column(candidates.labels[kept]),
        kind=kind,
        start_us=(values.start_ns[source] // np.uint64(1000)).astype(np.int64),
        time_us=time_us,
        histogram=found.column(source, kind, len(values.time_ns)),
    )
