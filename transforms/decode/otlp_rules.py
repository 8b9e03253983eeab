"""What OTLP metrics mean: the rules for one point after the other. The columnar path (otlp_columns.py) must agree with them.

    gauge, non-monotonic cumulative sum  → gauge                 delta sum               → delta
    monotonic cumulative sum             → counter               histogram of any form   → histogram, cumulative histogram
    summary                              → counters NAME.count and NAME.sum, and a gauge NAME with the label `quantile` for each of its values
    summary that is a statistic set      → histogram of which count, sum, min (quantile 0) and max (quantile 1) are known

A summary is a statistic set, of its own period alone, if a CloudWatch metric stream sent it (`is_of_metric_stream`), whatever quantiles it has: percentiles
can't be merged and are not kept, as in the stream's JSON. Of other producers it is one if it has exactly the quantiles 0 and 1; any other summary of theirs
counts from its start on, as OTLP says.

A point is broken before it is dropped; what is looked at, in this order: name, labels, time, temporality, no-recorded-value flag, value. An empty name is a
missing one. A histogram is broken unless its bounds are finite and strictly increasing, there is one bucket more than bounds (or there are neither), and the
buckets add up to the count. It is dropped if its sum, min or max is not finite. A summary's points share its fate if it is broken.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from transforms.core.errors import DecodeError
from transforms.decode.attributes import Pairs, is_of_metric_stream, joined_labels, quantile_text
from transforms.decode.causes import BAD_NAME, BAD_TEMPORALITY, BAD_TIME, BAD_VALUE
from transforms.decode.exponential import layout
from transforms.decode.scalars import TIME_FROM_S, TIME_TO_S

GAUGE, COUNTER, DELTA, HISTOGRAM, CUMULATIVE = range(5)
"""Indexes into POINT_KINDS."""

NO_RECORDED_VALUE: Final = "no recorded value"
MAX_COUNT: Final = (1 << 63) - 1
DELTA_TEMPORALITY, CUMULATIVE_TEMPORALITY = 1, 2

Form = Literal["gauge", "sum", "histogram", "exponential", "summary"]


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """One value of the type HISTOGRAM."""

    count: int
    sum: float | None
    min: float | None
    max: float | None
    bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()


class Row(NamedTuple):
    """One point; with a reason in `dropped` it is none."""

    name: str
    labels: str
    kind: int
    start_us: int
    time_us: int
    value: float
    histogram: HistogramValue | None = None
    dropped: str = ""


@dataclass(slots=True, kw_only=True)
class Metric:
    """A metric without its points; `name` is None if it is no text."""

    name: str | None
    form: Form
    temporality: int = 0
    is_monotonic: bool = False


@dataclass(slots=True, kw_only=True)
class Point:
    """A point of any form; `raw` is what stands for it in a dead letter."""

    raw: bytes = b""
    attributes: Pairs | DecodeError = ()
    start_ns: int = 0
    time_ns: int = 0
    flags: int = 0
    value: float | None = None
    count: int = 0
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()
    scale: int = 0
    zero_count: int = 0
    zero_threshold: float = 0.0
    positive: tuple[int, tuple[int, ...]] = (0, ())
    negative: tuple[int, tuple[int, ...]] = (0, ())
    quantiles: list[tuple[float, float]] = field(default_factory=list)


def rows(metric: Metric, point: Point, context: Pairs | DecodeError) -> list[Row]:
    """The points that a point of OTLP is; `context` are the labels of resource and scope. Raises DecodeError for a broken one."""
    if not metric.name:
        raise DecodeError(BAD_NAME, "no name" if metric.name == "" else "the name is not UTF-8")
    is_set = metric.form == "summary" and _is_statistic_set(metric.name, point, context)
    ranks = [] if is_set or metric.form != "summary" else [quantile_text(quantile) for quantile, _ in point.quantiles]
    labels, ranked = _labels(point, context, ranks)
    time_us = _time_us(point.time_ns)
    blank = Row(metric.name, labels, _kind(metric), point.start_ns // 1000, time_us, 0.0)
    flagged = NO_RECORDED_VALUE if point.flags & 1 else ""
    if metric.form == "summary" and not is_set:
        return _summary(blank, point, ranked, flagged)
    if flagged:
        return [blank._replace(dropped=flagged)]
    if metric.form in ("gauge", "sum"):
        return [valued(blank, point.value)]
    return [measured(blank, _statistics(point) if is_set else _histogram(metric, point))]


def of_series(error: DecodeError, entity: str, name: str | None, *labels: Pairs | DecodeError) -> DecodeError:
    """What is wrong with a point, and of which series it is as far as that can be told: its bytes alone don't say."""
    parts = [f"entity {entity!a:.60}"] if entity else []
    parts += [] if name is None else [f"name {name!a:.60}"]
    good = [one for one in labels if not isinstance(one, DecodeError)]
    if len(good) == len(labels):
        with suppress(DecodeError):
            parts.append(f"labels {joined_labels(*good)}")
    return DecodeError(error.cause, "; ".join(filter(None, [error.detail, ", ".join(parts)])))


def _is_statistic_set(name: str, point: Point, context: Pairs | DecodeError) -> bool:
    is_of_stream = not isinstance(context, DecodeError) and is_of_metric_stream(name, context)
    return is_of_stream or sorted(quantile for quantile, _ in point.quantiles) == [0.0, 1.0]


def valued(row: Row, value: float | None) -> Row:
    """The row with a value, or dropped for having none."""
    if value is None or not math.isfinite(value):
        return row._replace(dropped="null" if value is None else "nan" if math.isnan(value) else "infinite")
    return row._replace(value=float(value))


def _labels(point: Point, context: Pairs | DecodeError, ranks: list[str]) -> tuple[str, list[str]]:
    for part in (context, point.attributes):
        if isinstance(part, DecodeError):
            raise part.with_traceback(None)
    parts: tuple[Pairs, Pairs] = context, point.attributes  # type: ignore[assignment]
    return joined_labels(*parts), [joined_labels(*parts, (("quantile", rank),)) for rank in ranks]


def _time_us(time_ns: int) -> int:
    if TIME_FROM_S <= time_ns // 1_000_000_000 < TIME_TO_S:
        return time_ns // 1000
    raise DecodeError(BAD_TIME, f"time {time_ns} is not a time in nanoseconds between the years 2000 and 2100" if time_ns else "no time")


def _kind(metric: Metric) -> int:
    if metric.form == "gauge":
        return GAUGE
    if metric.form == "summary":
        return HISTOGRAM
    if metric.temporality not in (DELTA_TEMPORALITY, CUMULATIVE_TEMPORALITY):
        raise DecodeError(BAD_TEMPORALITY, f"aggregation temporality {metric.temporality} is neither delta (1) nor cumulative (2)")
    is_delta = metric.temporality == DELTA_TEMPORALITY
    if metric.form == "sum":
        return DELTA if is_delta else COUNTER if metric.is_monotonic else GAUGE
    return HISTOGRAM if is_delta else CUMULATIVE


def _summary(blank: Row, point: Point, ranked: list[str], flagged: str) -> list[Row]:
    counters = [blank._replace(name=blank.name + suffix, kind=COUNTER) for suffix in (".count", ".sum")]
    gauges = [blank._replace(labels=labels, kind=GAUGE) for labels in ranked]
    if flagged:
        return [row._replace(dropped=flagged) for row in counters + gauges]
    _require_summary(point)
    values = [float(point.count), _sum(point), *(value for _, value in point.quantiles)]
    return [valued(row, value) for row, value in zip(counters + gauges, values, strict=True)]


def _statistics(point: Point) -> HistogramValue:
    _require_summary(point)
    values = dict(point.quantiles)
    return HistogramValue(point.count, _sum(point), values.get(0.0), values.get(1.0), (), (point.count,))


def _histogram(metric: Metric, point: Point) -> HistogramValue:
    _require_count(point.count)
    bounds, counts = (point.bounds, point.bucket_counts) if metric.form == "histogram" else _exponential(point)
    if not bounds and not counts:
        counts = (point.count,)
    is_rising = all(left < right for left, right in pairwise(bounds)) and all(map(math.isfinite, bounds))
    if not is_rising or len(counts) != len(bounds) + 1 or sum(counts) != point.count:
        what = "bounds that are not finite and increasing" if not is_rising else f"{len(counts)} buckets with {sum(counts)} of {point.count} observations"
        raise DecodeError(BAD_VALUE, f"a histogram of {len(bounds)} bounds: {what}")
    return HistogramValue(point.count, point.sum, point.min, point.max, bounds, counts)


def _exponential(point: Point) -> tuple[tuple[float, ...], tuple[int, ...]]:
    (first, above), (lowest, below) = point.positive, point.negative
    place = layout(point.scale, (first, len(above)), (lowest, len(below)), point.zero_threshold if point.zero_count else None)
    if not place.bounds:
        return (), ()
    counts = [0] * (len(place.bounds) + 1)
    counts[place.negative_at : place.negative_at + len(below)] = reversed(below)
    counts[place.positive_at : place.positive_at + len(above)] = above
    if point.zero_count:
        counts[place.zero_at] = point.zero_count
    return place.bounds, tuple(counts)


def measured(row: Row, histogram: HistogramValue) -> Row:
    """The row with a histogram, or dropped for one with a sum, minimum or maximum that is not finite."""
    known = [value for value in (histogram.sum, histogram.min, histogram.max) if value is not None]
    if not all(map(math.isfinite, known)):
        return row._replace(dropped="nan" if any(map(math.isnan, known)) else "infinite")
    return row._replace(histogram=histogram)


def _require_summary(point: Point) -> None:
    _require_count(point.count)
    if not all(0 <= quantile <= 1 for quantile, _ in point.quantiles):
        raise DecodeError(BAD_VALUE, f"quantiles {[quantile for quantile, _ in point.quantiles]} are not all between 0 and 1")


def _require_count(count: int) -> None:
    if count > MAX_COUNT:
        raise DecodeError(BAD_VALUE, f"a count of {count}")


def _sum(point: Point) -> float:
    """A summary's sum, which is 0 where it is missing."""
    return 0.0 if point.sum is None else point.sum
